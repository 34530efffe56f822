"""The whole way of log bytes: a file, the agent's shipper, frames, the store. Both ends die again and again."""

from pathlib import Path

from opsconsole_agent.log import LogShipper
from opsconsole_coordinator.log import LogStore
from opsconsole_protocol.link import decode_frame, encode_frame
from opsconsole_protocol.log import LogQuery, Source
from tests.coordinator.log.oracle import ERR, KEY, OUT, pages

_LINES = 300_000


def watch(store: LogStore, folder: Path) -> LogShipper:
    """A new life of the agent: it goes on from what the coordinator says it has."""
    shipper = LogShipper(window_bytes=1024 * 1024)
    offsets = store.offsets(KEY)
    for source in (OUT, ERR):
        shipper.watch(KEY.attempt_id, source, folder / source, offsets.get(source, 0))
    return shipper


def exchange(shipper: LogShipper, store: LogStore, now_ms: int, *, lose_one: bool) -> None:
    """One turn over the link, of which one frame may get lost."""
    frames = [encode_frame(chunk) for chunk in shipper.poll(now_ms)]
    if lose_one and len(frames) > 1:
        del frames[len(frames) // 2]
    for result in store.append_many([(KEY, decode_frame(frame)) for frame in frames]):
        if result.outcome == "gap":
            shipper.rewind(KEY.attempt_id, result.source, result.durable_offset)
        else:
            shipper.acknowledge(KEY.attempt_id, result.source, result.durable_offset)


def test_no_byte_is_lost_or_doubled(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "logs")
    shipper = watch(store, tmp_path)
    written = {OUT: b"", ERR: b""}
    turn = 0
    for start in range(0, _LINES, 10_000):
        for source in (OUT, ERR):
            data = b"".join(b"%s line %d\n" % (source.encode(), number) for number in range(start, start + 10_000))
            with (tmp_path / source).open("ab") as file:
                file.write(data)
            written[source] += data
        turn += 1
        exchange(shipper, store, turn * 1000, lose_one=turn % 3 == 0)
        if turn % 4 == 0:
            shipper = watch(store, tmp_path)
        if turn % 5 == 0:
            store.close()
            store = LogStore(tmp_path / "logs")
            shipper.rewind_all()
    sizes = shipper.finish(KEY.attempt_id)
    assert sizes == {source: len(data) for source, data in written.items()}
    settled = shipper.take_settled()
    while not settled:
        turn += 1
        exchange(shipper, store, turn * 1000, lose_one=False)
        settled = shipper.take_settled()
    assert settled[0].sizes == sizes == store.offsets(KEY)
    store.seal(KEY)
    for source, data in written.items():
        assert store.read_bytes(KEY, source, 0, len(data) + 1) == data
    check_lines(store)
    store.close()


def check_lines(store: LogStore) -> None:
    """Each source's lines in order, all numbers used once."""
    numbers: list[int] = []
    counts: dict[Source, int] = {OUT: 0, ERR: 0}
    for page in pages(store, LogQuery(max_lines=50_000, max_bytes=8 * 1024 * 1024), ended=True):
        for line in page.lines:
            assert not line.partial
            assert line.data == f"{line.source} line {counts[line.source]}"
            counts[line.source] += 1
            numbers.append(line.line_number)
    assert counts == {OUT: _LINES, ERR: _LINES}
    assert sorted(numbers) == list(range(2 * _LINES))
