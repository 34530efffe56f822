"""The shipper: fair turns, bounded windows, nothing lost, nothing invented."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from opsconsole_agent.log import LogShipper, SettledLog
from opsconsole_protocol.link import PAYLOAD_BYTES_MAX, LogChunk
from opsconsole_protocol.log import Source

KIB = 1024
OUT, ERR, ERROR = Source.STDOUT, Source.STDERR, Source.ERROR


class Sink:
    """A coordinator in a few lines: takes chunks in order, refuses gaps, acknowledges."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, Source], bytes] = {}

    def take(self, shipper: LogShipper, chunk: LogChunk) -> None:
        key = (chunk.attempt_id, chunk.source)
        known = self.held.get(key, b"")
        if chunk.offset > len(known):
            shipper.rewind(*key, len(known))
            return
        self.held[key] = known + chunk.data[len(known) - chunk.offset :]
        shipper.acknowledge(*key, len(self.held[key]))

    def drain(self, shipper: LogShipper, now_ms: int) -> int:
        """Poll and take until nothing comes; the time then."""
        while True:
            chunks = shipper.poll(now_ms)
            for chunk in chunks:
                self.take(shipper, chunk)
            now_ms += 500
            if not chunks and pending_bytes(shipper) == 0:
                return now_ms


def pending_bytes(shipper: LogShipper) -> int:
    """Bytes that are in files, as far as known, and not acknowledged yet."""
    return shipper._in_flight + sum(file.unread for one in shipper._attempts.values() for file in one.files.values())


def write(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_ships_in_blocks_and_stamps_them(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(os.urandom(600 * KIB))
    shipper = LogShipper()
    shipper.watch("a", OUT, path, 10)
    chunks = shipper.poll(1234)
    assert [(one.offset, len(one.data), one.at_ms) for one in chunks] == [
        (10, 256 * KIB, 1234),
        (10 + 256 * KIB, 256 * KIB, 1234),
        (10 + 512 * KIB, 88 * KIB - 10, 1234),
    ]
    assert b"".join(one.data for one in chunks) == path.read_bytes()[10:]


def test_the_window_bounds_what_is_in_flight(tmp_path: Path) -> None:
    shipper = LogShipper(window_bytes=1024 * KIB, file_window_bytes=512 * KIB)
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "stdout").write_bytes(b"x" * 2048 * KIB)
        shipper.watch(name, OUT, tmp_path / name / "stdout")
    chunks = shipper.poll(0)
    assert sum(len(one.data) for one in chunks) == 1024 * KIB == shipper._in_flight
    per_file = {name: sum(len(one.data) for one in chunks if one.attempt_id == name) for name in "abc"}
    assert max(per_file.values()) <= 512 * KIB
    assert min(per_file.values()) >= 256 * KIB
    assert shipper.poll(1000) == []
    assert pending_bytes(shipper) == 3 * 2048 * KIB
    shipper.acknowledge("a", OUT, 256 * KIB)
    (more,) = shipper.poll(1001)
    assert len(more.data) == 256 * KIB


def test_a_torrent_does_not_starve_a_trickle(tmp_path: Path) -> None:
    shipper = LogShipper()
    (tmp_path / "torrent").write_bytes(b"x" * 4096 * KIB)
    shipper.watch("torrent", OUT, tmp_path / "torrent")
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(b"line\n")
        shipper.watch(f"{number}", OUT, tmp_path / f"{number}")
    chunks = shipper.poll(0)
    last_trickle = max(place for place, one in enumerate(chunks) if one.attempt_id != "torrent")
    assert last_trickle == 20


def test_room_comes_in_useful_pieces(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(b"x" * 4096 * KIB)
    shipper = LogShipper(window_bytes=512 * KIB)
    shipper.watch("a", OUT, tmp_path / "stdout")
    shipper.poll(0)
    shipper.acknowledge("a", OUT, 100)
    assert shipper.poll(1) == []
    assert shipper.next_poll_ms == 50
    shipper.acknowledge("a", OUT, 16 * KIB)
    assert shipper.next_poll_ms == 1
    assert [len(one.data) for one in shipper.poll(1)] == [16 * KIB]


def test_a_growing_file_is_polled_often_and_a_quiet_one_rarely(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    shipper = LogShipper()
    shipper.watch("a", OUT, path)
    due, now = [], 0
    for _ in range(8):
        assert shipper.poll(now) == []
        wait = shipper.next_poll_ms
        assert wait is not None
        due.append(wait - now)
        now = wait
    assert due[0] <= 100
    assert due == sorted(due)
    assert due[-1] == 500
    write(path, b"x")
    assert len(shipper.poll(now)) == 1
    write(path, b"y")
    assert shipper.poll(now + 49) == []
    assert len(shipper.poll(now + 50)) == 1


def test_a_clock_set_back_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    shipper = LogShipper()
    shipper.watch("a", OUT, path)
    shipper.poll(1_000_000)
    write(path, b"x")
    (chunk,) = shipper.poll(5)
    assert chunk.at_ms == 5


def test_what_was_not_acknowledged_is_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"0123456789")
    shipper = LogShipper()
    shipper.watch("a", OUT, path)
    shipper.poll(0)
    shipper.acknowledge("a", OUT, 4)
    assert shipper._in_flight == 6
    shipper.rewind_all()
    assert shipper._in_flight == 0
    assert [(one.offset, one.data) for one in shipper.poll(1)] == [(4, b"456789")]
    shipper.rewind("a", OUT, 2)
    assert [(one.offset, one.data) for one in shipper.poll(2)] == [(2, b"23456789")]
    shipper.rewind("a", OUT, 9)
    assert [(one.offset, one.data) for one in shipper.poll(3)] == [(9, b"9")]


def test_a_coordinator_that_knows_more_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"0123456789")
    shipper = LogShipper()
    shipper.watch("a", OUT, path)
    shipper.acknowledge("a", OUT, 8)
    assert [(one.offset, one.data) for one in shipper.poll(0)] == [(8, b"89")]


def test_a_coordinator_that_has_lost_some_gets_it_again(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"0123456789")
    shipper = LogShipper(block_bytes=2)
    shipper.watch("a", OUT, path)
    shipper.poll(0)
    shipper.acknowledge("a", OUT, 6)
    # It says so once for each chunk that it can't use.
    shipper.acknowledge("a", OUT, 4)
    shipper.acknowledge("a", OUT, 4)
    assert [(one.offset, one.data) for one in shipper.poll(1)] == [(4, b"45"), (6, b"67"), (8, b"89")]


def test_words_about_strangers_are_ignored() -> None:
    shipper = LogShipper()
    shipper.acknowledge("a", OUT, 5)
    shipper.rewind("a", OUT, 5)
    shipper.drop("a")
    shipper.note("a", "text")
    assert shipper.finish("a") == {}
    assert shipper.poll(0) == []
    assert shipper.next_poll_ms is None


class TestFinish:
    def test_sizes_at_once_and_settled_when_all_is_acknowledged(self, tmp_path: Path) -> None:
        (tmp_path / "stdout").write_bytes(b"out\n")
        shipper = LogShipper()
        shipper.watch("a", OUT, tmp_path / "stdout")
        shipper.watch("a", ERR, tmp_path / "stderr")
        assert shipper.finish("a") == {OUT: 4, ERR: 0}
        assert shipper.take_settled() == []
        (chunk,) = shipper.poll(0)
        assert chunk.data == b"out\n"
        assert shipper.take_settled() == []
        shipper.acknowledge("a", OUT, 4)
        assert shipper.take_settled() == [SettledLog("a", {OUT: 4, ERR: 0})]
        assert shipper.take_settled() == []
        shipper.drop("a")
        assert shipper.poll(10_000) == []
        assert shipper.next_poll_ms is None

    def test_nothing_written_settles_at_once(self, tmp_path: Path) -> None:
        shipper = LogShipper()
        shipper.watch("a", OUT, tmp_path / "stdout")
        shipper.finish("a")
        assert shipper.take_settled() == [SettledLog("a", {OUT: 0})]

    def test_what_survivors_write_later_is_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / "stdout"
        path.write_bytes(b"in time")
        shipper = LogShipper()
        shipper.watch("a", OUT, path)
        shipper.finish("a")
        write(path, b" too late")
        assert [one.data for one in shipper.poll(0)] == [b"in time"]
        assert shipper.poll(5000) == []

    def test_a_rewind_settles_again(self, tmp_path: Path) -> None:
        path = tmp_path / "stdout"
        path.write_bytes(b"text")
        sink, shipper = Sink(), LogShipper()
        shipper.watch("a", OUT, path)
        shipper.finish("a")
        now = sink.drain(shipper, 0)
        assert len(shipper.take_settled()) == 1
        sink.held.clear()
        shipper.rewind("a", OUT, 0)
        assert shipper.take_settled() == []
        sink.drain(shipper, now)
        assert len(shipper.take_settled()) == 1
        assert sink.held["a", OUT] == b"text"

    def test_a_file_lost_at_the_end_does_not_hold_the_log_open(self, tmp_path: Path) -> None:
        path = tmp_path / "stdout"
        path.write_bytes(b"text")
        sink, shipper = Sink(), LogShipper()
        shipper.watch("a", OUT, path)
        assert shipper.finish("a") == {OUT: 4}
        path.unlink()
        sink.drain(shipper, 0)
        ((settled),) = shipper.take_settled()
        assert settled.sizes[OUT] == 0
        assert settled.sizes[ERROR] == len(sink.held["a", ERROR]) > 0

    def test_watching_after_the_end_reads_what_is_there(self, tmp_path: Path) -> None:
        """A new life of the agent learns of an attempt that ended meanwhile, in any order."""
        (tmp_path / "stdout").write_bytes(b"out")
        (tmp_path / "stderr").write_bytes(b"err")
        sink, shipper = Sink(), LogShipper()
        shipper.watch("a", OUT, tmp_path / "stdout", 3)
        shipper.finish("a")
        shipper.watch("a", ERR, tmp_path / "stderr", 1)
        sink.held["a", ERR] = b"e"
        sink.drain(shipper, 0)
        assert sink.held["a", ERR] == b"err"
        assert shipper.final_sizes("a") == {OUT: 3, ERR: 3}


class TestTrouble:
    def lines(self, sink: Sink) -> list[str]:
        return sink.held.get(("a", ERROR), b"").decode().splitlines()

    def run(self, shipper: LogShipper, sink: Sink, rounds: int = 20) -> None:
        for number in range(rounds):
            for chunk in shipper.poll(number * 1000):
                sink.take(shipper, chunk)

    def test_removed_is_said_once(self, tmp_path: Path) -> None:
        path = tmp_path / "stdout"
        path.write_bytes(b"text")
        sink, shipper = Sink(), LogShipper()
        shipper.watch("a", OUT, path)
        self.run(shipper, sink)
        path.unlink()
        self.run(shipper, sink)
        (line,) = self.lines(sink)
        assert "stdout file of this task was removed" in line
        # Nor does the next life of the agent say it again.
        shipper = LogShipper()
        shipper.watch("a", OUT, path, 4)
        shipper.watch("a", ERR, tmp_path / "stderr")
        self.run(shipper, sink)
        assert self.lines(sink) == [line]

    def test_removed_and_remade_over_and_over_is_said_once_each(self, tmp_path: Path) -> None:
        path = tmp_path / "stdout"
        sink, shipper = Sink(), LogShipper()
        shipper.watch("a", OUT, path)
        path.write_bytes(b"first")
        self.run(shipper, sink)
        keep = tmp_path / "keep"
        path.rename(keep)
        for _ in range(5):
            self.run(shipper, sink, 3)
            path.write_bytes(b"another and longer")
            self.run(shipper, sink, 3)
            path.unlink()
        assert len(self.lines(sink)) == 2
        assert sink.held["a", OUT] == b"first"

    def test_cut_short_is_said_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        path = tmp_path / "stdout"
        path.write_bytes(b"0123456789")
        sink, shipper = Sink(), LogShipper()
        shipper.watch("a", OUT, path)
        self.run(shipper, sink)
        os.truncate(path, 0)
        self.run(shipper, sink)
        assert ["was cut short" in line for line in self.lines(sink)] == [True]
        path.write_bytes(b"abcdefghijkl")
        self.run(shipper, sink)
        assert sink.held["a", OUT] == b"0123456789kl"
        assert shipper.finish("a")[OUT] == 12

    def test_a_note_of_an_earlier_life_is_shipped(self, tmp_path: Path) -> None:
        (tmp_path / "error").write_bytes(b"opsconsole: something\n")
        sink, shipper = Sink(), LogShipper()
        shipper.watch("a", OUT, tmp_path / "stdout")
        self.run(shipper, sink)
        assert self.lines(sink) == ["opsconsole: something"]

    def test_notes_of_the_agents_own(self, tmp_path: Path) -> None:
        sink, shipper = Sink(), LogShipper()
        shipper.watch("a", OUT, tmp_path / "stdout")
        shipper.watch("a", ERROR, tmp_path / "notes")
        shipper.note("a", "can't stage input.bin: no such file")
        self.run(shipper, sink)
        shipper.finish("a")
        shipper.take_settled()
        shipper.note("a", "one more")
        assert shipper.take_settled() == []
        self.run(shipper, sink)
        assert self.lines(sink) == ["can't stage input.bin: no such file", "one more"]
        assert len(shipper.take_settled()) == 1
        assert not (tmp_path / "error").exists()

    @pytest.mark.parametrize("finished", [False, True])
    def test_the_limit_is_said_once_and_the_file_stays(self, tmp_path: Path, finished: bool) -> None:
        (tmp_path / "stdout").write_bytes(b"x" * 700)
        (tmp_path / "stderr").write_bytes(b"y" * 700)
        sink, shipper = Sink(), LogShipper(attempt_bytes_max=1000)
        shipper.watch("a", OUT, tmp_path / "stdout")
        shipper.watch("a", ERR, tmp_path / "stderr")
        if finished:
            promised = shipper.finish("a")
            assert promised[OUT] + promised[ERR] == 1000
            promised = shipper.final_sizes("a")
        self.run(shipper, sink)
        write(tmp_path / "stdout", b"x")
        self.run(shipper, sink)
        assert len(sink.held["a", OUT]) + len(sink.held["a", ERR]) == 1000
        assert all("limit of 1000 bytes" in line for line in self.lines(sink))
        assert 1 <= len(self.lines(sink)) <= 2
        sizes = shipper.finish("a")
        assert {source: len(sink.held["a", source]) for source in (OUT, ERR, ERROR)} == sizes
        assert len(shipper.take_settled()) == 1
        # A coordinator that lost some gets exactly the same again.
        before = dict(sink.held)
        sink.held["a", OUT] = sink.held["a", OUT][:10]
        shipper.rewind("a", OUT, 10)
        self.run(shipper, sink)
        assert sink.held == before
        assert len(shipper.take_settled()) == 1


def test_a_block_larger_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="block_bytes"):
        LogShipper(block_bytes=PAYLOAD_BYTES_MAX + 1)


class ShipperMachine(RuleBasedStateMachine):
    """Tasks write, frames get lost, agent and coordinator come and go: what arrives is what was written."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.written: dict[tuple[str, Source], bytes] = {
            (name, source): b"" for name in ("a", "b") for source in (OUT, ERR)
        }
        self.finished: set[str] = set()
        self.wire: list[LogChunk] = []
        self.sink = Sink()
        self.now_ms = 0
        self.restart_agent()

    def path(self, key: tuple[str, Source]) -> Path:
        folder = Path(self.folder.name) / key[0]
        folder.mkdir(exist_ok=True)
        return folder / key[1]

    @rule(
        name=st.sampled_from("ab"),
        source=st.sampled_from((OUT, ERR)),
        data=st.one_of(st.binary(max_size=20), st.integers(0, 200_000).map(lambda size: b"z" * size)),
    )
    def task_writes(self, name: str, source: Source, data: bytes) -> None:
        if name not in self.finished:
            write(self.path((name, source)), data)
            self.written[name, source] += data

    @rule(step_ms=st.integers(-100, 1000))
    def poll(self, step_ms: int) -> None:
        self.now_ms = max(0, self.now_ms + step_ms)
        self.wire += self.shipper.poll(self.now_ms)

    @rule(count=st.integers(0, 5))
    def deliver(self, count: int) -> None:
        for chunk in self.wire[:count]:
            self.sink.take(self.shipper, chunk)
        del self.wire[:count]

    @rule(data=st.data())
    def lose_one(self, data: st.DataObject) -> None:
        if self.wire:
            del self.wire[data.draw(st.integers(0, len(self.wire) - 1))]

    @rule()
    def reconnect(self) -> None:
        self.wire.clear()
        self.shipper.rewind_all()
        for key in self.written:
            self.shipper.rewind(*key, len(self.sink.held.get(key, b"")))

    @rule(data=st.data())
    def coordinator_loses_its_tail(self, data: st.DataObject) -> None:
        for key, held in self.sink.held.items():
            self.sink.held[key] = held[: data.draw(st.integers(0, len(held)))]
        self.reconnect()

    @rule()
    def restart_agent(self) -> None:
        self.wire.clear()
        self.shipper = LogShipper(window_bytes=300_000, file_window_bytes=120_000, block_bytes=50_000)
        for key in self.written:
            self.shipper.watch(*key, self.path(key), len(self.sink.held.get(key, b"")))
        for name in self.finished:
            self.shipper.finish(name)

    @rule(name=st.sampled_from("ab"))
    def task_ends(self, name: str) -> None:
        self.finished.add(name)
        sizes = self.shipper.finish(name)
        assert sizes == {source: len(self.written[name, source]) for source in (OUT, ERR)}

    @invariant()
    def window_holds(self) -> None:
        assert 0 <= self.shipper._in_flight <= 300_000

    @invariant()
    def nothing_is_invented(self) -> None:
        for key, held in self.sink.held.items():
            assert self.written[key].startswith(held)

    @invariant()
    def settled_means_all_is_there(self) -> None:
        for settled in self.shipper.take_settled():
            for source in (OUT, ERR):
                assert self.sink.held.get((settled.attempt_id, source), b"") == self.written[settled.attempt_id, source]

    def teardown(self) -> None:
        self.reconnect()
        for name in ("a", "b"):
            self.shipper.finish(name)
        self.sink.drain(self.shipper, self.now_ms)
        for key, written in self.written.items():
            assert self.sink.held.get(key, b"") == written
        self.folder.cleanup()


TestShipperModel = ShipperMachine.TestCase
TestShipperModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
