"""A transfer over streams that die: it goes on by another way, ends at last, and says what it does."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from opsconsole_protocol.content.error import PeerCancelled
from opsconsole_protocol.error import Forbidden, InvalidRequest, OpsconsoleError, Unavailable
from opsconsole_protocol.host.stream import responder, rtc
from opsconsole_protocol.host.stream import transfer as module
from opsconsole_protocol.host.stream.negotiation import open_stream
from opsconsole_protocol.host.stream.stream import SocketStream, Stream
from opsconsole_protocol.host.stream.transfer import move
from opsconsole_protocol.stream.error import NoWay, StreamCancelled, StreamLost
from opsconsole_protocol.stream.message import OpenStream, Via, Way
from opsconsole_protocol.stream.persistence import PROGRESS_BYTES, TRIES_WITHOUT_PROGRESS_MAX
from tests.protocol.host.stream.fake_broker import FakeBroker, Summary, broker
from tests.protocol.host.stream.fake_coordinator import coordinator
from tests.protocol.host.stream.lab import NOWHERE, PURPOSE, receive

DATA = bytes(range(256)) * (3 * PROGRESS_BYTES // 256)


@dataclass
class Worker:
    """Has DATA, and serves it from wherever the initiator wants it; a stream ends after so many bytes as `lives` says."""

    lives: list[int | None]

    def serve(self, stream: Stream) -> None:
        life = self.lives.pop(0) if self.lives else None
        with contextlib.suppress(StreamLost):
            offset = receive(stream, 8)
            if len(offset) < 8:
                raise StreamLost
            start = int.from_bytes(offset)
            end = len(DATA) if life is None else min(len(DATA), start + life)
            stream.send(DATA[start:end])
        stream.close()


@dataclass
class Fetch:
    """The initiator's work: gets DATA, from where the stream before has ended."""

    found: bytearray = field(default_factory=bytearray)

    def __call__(self, stream: Stream) -> Summary:
        stream.send(len(self.found).to_bytes(8))
        view = memoryview(bytearray(1 << 16))
        while len(self.found) < len(DATA):
            size = stream.receive_into(view)
            if not size:
                raise StreamLost("the other end is gone")
            self.found += view[:size]
        return Summary(len(self.found))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc, "engine_names", lambda: ())
    monkeypatch.setattr("opsconsole_protocol.stream.persistence.FIRST_DELAY_S", 0.001)


def run(one: FakeBroker, work: Callable[[Stream], Summary], *, via: Via = Via.AUTO) -> tuple[Summary, list[str]]:
    lines: list[str] = []
    cancel = threading.Event()
    summary = move(one, PURPOSE, peer="gpu-3", via=via, home=one.home, work=work, tell=lines.append, cancel=cancel)
    return summary, lines


def test_one_stream_is_enough_where_it_lives() -> None:
    with broker(Worker([]).serve) as one:
        fetch = Fetch()
        summary, lines = run(one, fetch)
    assert fetch.found == DATA
    assert summary == Summary(len(DATA))
    assert lines == ["direct: connected to gpu-3 (both ends are on one machine)"]
    assert one.told == [("s0", len(DATA), Way.DIRECT, "")]
    assert one.asked == [OpenStream(purpose=PURPOSE, peer="gpu-3")]


def test_the_engine_that_moved_the_bytes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SocketStream, "engine", "aiortc")
    with broker(Worker([]).serve) as one:
        _, lines = run(one, Fetch())
    assert one.engines == ["aiortc"]
    assert lines == ["direct with aiortc: connected to gpu-3 (both ends are on one machine)"]


def test_a_way_that_dies_is_changed_in_the_middle() -> None:
    with coordinator() as fake, broker(Worker([100_000]).serve, home=fake.home, relay=True, fake=fake) as one:
        fetch = Fetch()
        _, lines = run(one, fetch)
    assert fetch.found == DATA
    assert lines == [
        "direct: connected to gpu-3 (both ends are on one machine)",
        "direct broke: the other end is gone",
        "goes on where it stopped, in 0.001 s (the other end is gone)",
        "relay: connected to gpu-3 (the coordinator joins both ends)",
    ]
    assert [told[2:] for told in one.told] == [(Way.DIRECT, "the other end is gone"), (Way.RELAY, "")]
    assert [failure.way for failure in one.asked[1].failed] == [Way.DIRECT]


def test_a_way_that_died_with_the_other_end_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is killed and begins anew: nothing was wrong with the way."""

    def begin_anew(number: int) -> None:
        monkeypatch.setattr(responder, "own_life", lambda: f"life {number}")

    with coordinator() as fake, broker(Worker([100_000]).serve, home=fake.home, relay=True, fake=fake) as one:
        one.before = begin_anew
        fetch = Fetch()
        run(one, fetch)
    assert fetch.found == DATA
    assert [told[2] for told in one.told] == [Way.DIRECT, Way.DIRECT]
    assert [failure.life for failure in one.asked[1].failed] == ["life 0"]


def test_a_way_isnt_blamed_for_an_end_that_was_cancelled_there() -> None:
    """The same program goes on a moment later, and the relay was taken for what the direct way had no part in."""
    fetch = Fetch()
    ends = [PeerCancelled("the other end stopped: the transfer was cancelled")]

    def work(stream: Stream) -> Summary:
        if ends:
            raise ends.pop()
        return fetch(stream)

    with coordinator() as fake, broker(Worker([]).serve, home=fake.home, relay=True, fake=fake) as one:
        _, lines = run(one, work)
    assert fetch.found == DATA
    assert [told[2] for told in one.told] == [Way.DIRECT, Way.DIRECT]
    assert one.asked[1].failed == ()
    assert not any("broke" in line for line in lines)


def test_a_way_that_died_is_tried_again_when_the_other_end_has_been_away() -> None:
    away = {1: Unavailable("worker gpu-3 is not connected")}
    with (
        coordinator() as fake,
        broker(Worker([100_000]).serve, home=fake.home, relay=True, fake=fake, refusals=dict(away)) as one,
    ):
        fetch = Fetch()
        run(one, fetch)
    assert fetch.found == DATA
    assert [told[2] for told in one.told] == [Way.DIRECT, Way.DIRECT]


@pytest.mark.parametrize("cut", [1, 2, 9, 1_000, 1 << 20, PROGRESS_BYTES + 77])
def test_a_relay_is_cut_at_any_byte(cut: int) -> None:
    """Relays die again and again; whatever they have brought is kept."""
    with coordinator() as fake, broker(Worker([]).serve, home=fake.home, relay=True, fake=fake) as one:
        one.before = lambda number: setattr(fake, "cut_after_bytes", cut if number < 4 else None)
        fetch = Fetch()
        run(one, fetch, via=Via.RELAY)
    assert fetch.found == DATA


def test_it_ends_where_nothing_gets_ahead() -> None:
    with broker(Worker([10] * 100).serve) as one, pytest.raises(StreamLost, match="the other end is gone"):
        run(one, Fetch())
    assert len(one.asked) == TRIES_WITHOUT_PROGRESS_MAX


def test_it_goes_on_as_long_as_it_gets_ahead() -> None:
    with broker(Worker([PROGRESS_BYTES + 1, PROGRESS_BYTES + 1]).serve) as one:
        fetch = Fetch()
        run(one, fetch)
    assert fetch.found == DATA
    assert len(one.asked) == 3


def test_what_is_refused_at_first_is_refused_at_once() -> None:
    for refusal in (Forbidden("not yours"), Unavailable("worker gpu-3 is not connected"), NoWay("no")):
        with broker(Worker([]).serve, refusals={0: refusal}) as one, pytest.raises(type(refusal)):
            run(one, Fetch())
        assert len(one.asked) == 1


def test_a_coordinator_that_is_away_for_a_while_is_waited_for() -> None:
    away = {number: Unavailable("the coordinator can't be reached") for number in range(1, 4)}
    with broker(Worker([100_000]).serve, refusals=dict(away)) as one:
        fetch = Fetch()
        _, lines = run(one, fetch)
    assert fetch.found == DATA
    assert lines[2].startswith("goes on where it stopped, in ")
    assert lines[3].endswith("(the coordinator can't be reached)")
    assert len(one.asked) == 5


def test_a_stream_that_the_coordinator_ends_before_it_stands_is_asked_for_again() -> None:
    with broker(Worker([]).serve, reachable=lambda number: number > 0) as one:
        fetch = Fetch()
        run(one, fetch)
    assert fetch.found == DATA
    assert one.told[0][2:] == (None, "the coordinator has ended the stream")


def test_what_is_forbidden_later_ends_it() -> None:
    with (
        broker(Worker([100_000]).serve, refusals={1: Forbidden("your role was changed")}) as one,
        pytest.raises(Forbidden),
    ):
        run(one, Fetch())
    assert len(one.asked) == 2


@pytest.mark.parametrize("failure", [InvalidRequest("the disk is full"), Unavailable("it is busy")])
def test_a_failure_that_no_stream_can_help_ends_it(failure: OpsconsoleError) -> None:
    def work(stream: Stream) -> Summary:
        raise failure

    with broker(Worker([]).serve) as one, pytest.raises(type(failure)):
        run(one, work)
    assert one.told == [("s0", None, Way.DIRECT, failure.message)]


def test_a_fault_of_this_program_is_told_and_not_hidden() -> None:
    def work(stream: Stream) -> Summary:
        raise ZeroDivisionError

    with broker(Worker([]).serve) as one, pytest.raises(ZeroDivisionError):
        run(one, work)
    assert one.told == [("s0", None, Way.DIRECT, "the program at this end has failed")]


def test_a_cancel_wakes_who_waits_for_the_other_end() -> None:
    lines: list[str] = []
    cancel = threading.Event()

    def work(stream: Stream) -> Summary:
        cancel.set()
        stream.receive_into(bytearray(1))  # the worker waits, too
        raise AssertionError

    with broker(Worker([]).serve) as one, pytest.raises(StreamCancelled):
        move(one, PURPOSE, peer="gpu-3", via=Via.AUTO, home=NOWHERE, work=work, tell=lines.append, cancel=cancel)
    assert one.told == [("s0", None, Way.DIRECT, "cancelled")]


def test_a_cancel_ends_the_wait_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsconsole_protocol.stream.persistence.FIRST_DELAY_S", 30.0)
    cancel = threading.Event()

    def tell(line: str) -> None:
        if "goes on" in line:
            cancel.set()

    with broker(Worker([1]).serve) as one, pytest.raises(StreamCancelled):
        move(one, PURPOSE, peer="gpu-3", via=Via.AUTO, home=NOWHERE, work=Fetch(), tell=tell, cancel=cancel)


def test_nothing_is_begun_after_a_cancel() -> None:
    cancel = threading.Event()
    cancel.set()
    with broker(Worker([]).serve) as one, pytest.raises(StreamCancelled):
        move(one, PURPOSE, peer="gpu-3", via=Via.AUTO, home=NOWHERE, work=Fetch(), tell=print, cancel=cancel)
    assert one.asked == []


def test_what_is_moved_is_counted() -> None:
    with broker(Worker([]).serve) as one:
        grant, signaller = one.ask(OpenStream(purpose=PURPOSE))
        stream = module._Counted(open_stream(grant, signaller, NOWHERE, tell=print, cancel=threading.Event()))
        Fetch()(stream)
        assert stream.moved_bytes == len(DATA) + 8
        stream.close()
