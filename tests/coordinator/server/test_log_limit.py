"""`max_task_log_mb` holds whatever an agent sends (hard use 59): what is beyond is dropped and counts as seen."""

from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.server.log_limit import NOTES_BYTES, within
from opsconsole_protocol.link import LogChunk
from opsconsole_protocol.log import Source
from opsconsole_protocol.report import REPORT_BYTES_MAX

LIMIT = 1_000


def chunk(offset: int, size: int, source: Source = Source.STDOUT) -> LogChunk:
    return LogChunk(attempt_id="a.0.0.x", source=source, offset=offset, at_ms=1, data=b"x" * size)


def test_what_an_honest_agent_sends_is_stored() -> None:
    chunks = [chunk(0, LIMIT), chunk(0, 500, Source.ERROR)]
    assert within(chunks, lambda _: {}, LIMIT) == (chunks, {})


def test_what_is_beyond_the_limit_is_dropped_and_counts_as_seen() -> None:
    size = NOTES_BYTES // 2
    chunks = [chunk(size * number, size) for number in range(4)]
    kept, dropped = within(chunks, lambda _: {}, LIMIT)
    assert kept == chunks[:2]
    assert dropped == {("a.0.0.x", "stdout"): 4 * size}
    again, more = within([chunk(4 * size, 10)], lambda _: {"stdout": 4 * size}, LIMIT)
    assert (again, more) == ([], {("a.0.0.x", "stdout"): 4 * size + 10})


def test_what_is_known_already_and_what_leaves_a_gap_is_for_the_store_to_say() -> None:
    full = {"stdout": 10 * NOTES_BYTES}
    chunks = [chunk(0, 10), chunk(20 * NOTES_BYTES, 10)]
    assert within(chunks, lambda _: full, LIMIT) == (chunks, {})


@given(st.lists(st.tuples(st.integers(1, 300_000), st.sampled_from(list(Source))), max_size=40))
def test_never_more_is_kept_than_the_limit(sizes: list[tuple[int, Source]]) -> None:
    reached: dict[str, int] = {}
    chunks = []
    for size, source in sizes:
        chunks.append(chunk(reached.get(source, 0), size, source))
        reached[str(source)] = reached.get(str(source), 0) + size
    kept, dropped = within(chunks, lambda _: {}, LIMIT)
    reports = sum(len(one.data) for one in kept if one.source is Source.REPORT)
    assert reports <= REPORT_BYTES_MAX
    assert sum(len(one.data) for one in kept) - reports <= LIMIT + NOTES_BYTES
    assert all(end == reached[source] for (_, source), end in dropped.items())
