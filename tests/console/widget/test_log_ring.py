from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.log_ring import LogRing
from opsconsole_console.widget.log_run import LINE_OVERHEAD_BYTES, Change, LogRun
from opsconsole_protocol.log import LogLine
from tests.console.widget.fleet import log_line, log_lines


def numbers(ring: LogRing) -> list[int]:
    return [line.line_number for line in ring.lines]


def texts(run: LogRun | LogRing) -> list[str]:
    return [line.data for line in run.lines]


def ring_of(count: int, lines_max: int = 100, bytes_max: int = 10**9) -> LogRing:
    ring = LogRing(lines_max, bytes_max)
    ring.feed(log_lines(count))
    return ring


def test_lines_come_at_the_end() -> None:
    ring = LogRing(100, 10**9)
    assert ring.feed(log_lines(3)) == Change(appended=3)
    assert ring.feed(log_lines(2, start=3)) == Change(appended=2)
    assert numbers(ring) == [0, 1, 2, 3, 4]
    assert (ring.base, ring.end) == (0, 5)
    assert ring.feed([]) == Change()


def test_a_fragment_continues_its_line() -> None:
    ring = LogRing(100, 10**9)
    ring.feed([log_line(0, "epoch 1", partial=True)])
    change = ring.feed([log_line(0, "/40", start=7), log_line(1, "next")])
    assert texts(ring) == ["epoch 1/40", "next"]
    assert ring.lines[0].partial is False
    assert change == Change(appended=1, changed=(0,))


def test_fragments_in_one_batch_are_one_line() -> None:
    ring = LogRing(100, 10**9)
    change = ring.feed([log_line(0, "a", partial=True), log_line(0, "b", start=1), log_line(1, "c")])
    assert texts(ring) == ["ab", "c"]
    assert change == Change(appended=2)


def test_a_line_again_replaces_itself() -> None:
    ring = ring_of(3)
    assert ring.feed([log_line(1, "again")]) == Change(changed=(1,))
    assert texts(ring)[1] == "again"


def test_the_rest_of_a_line_may_come_after_other_sources_lines() -> None:
    ring = LogRing(100, 10**9)
    ring.feed([log_line(0, "out", partial=True), log_line(1, "err")])
    ring.feed([log_line(2, "err2"), log_line(0, "put", start=3)])
    assert texts(ring) == ["output", "err", "err2"]


def test_a_line_that_was_missing_goes_to_its_place() -> None:
    ring = LogRing(100, 10**9)
    ring.feed([log_line(0, "a"), log_line(2, "c")])
    assert ring.feed([log_line(1, "b")]).moved
    assert texts(ring) == ["a", "b", "c"]


def test_what_was_trimmed_does_not_come_back() -> None:
    ring = LogRing(100, 10**9)
    ring.feed(log_lines(3, start=10))
    assert ring.feed([log_line(4, "old")]) == Change()
    assert numbers(ring) == [10, 11, 12]


def test_a_progress_bar_does_not_grow_for_ever() -> None:
    ring = LogRing(100, 10**9)
    ring.feed([log_line(0, "0 %", partial=True)])
    for step in range(5_000):
        ring.feed([log_line(0, f"\r{step} %", partial=True, start=1)])
    assert len(ring.lines[0].data) < 10_000
    assert ring.lines[0].data.endswith("4999 %")


def test_trimming_keeps_the_newest_lines_and_their_indexes() -> None:
    ring = ring_of(111)
    assert ring.trim() == 11
    assert (ring.base, ring.end) == (11, 111)
    assert ring.get(50).line_number == 50
    assert ring.trim() == 0


def test_memory_is_bounded_too() -> None:
    ring = LogRing(1_000, 10 * (LINE_OVERHEAD_BYTES + 100))
    ring.feed([log_line(number, "x" * 100) for number in range(30)])
    assert ring.trim() == 20
    assert len(ring.lines) == 10


def test_one_line_stays_however_big() -> None:
    ring = LogRing(10, 100)
    ring.feed([log_line(0, "x" * 5_000)])
    ring.trim()
    assert len(ring.lines) == 1


def test_held_nothing_goes_from_the_top() -> None:
    ring = ring_of(100)
    ring.hold()
    ring.feed(log_lines(150, start=100))
    assert ring.trim() == 0
    assert numbers(ring)[0] == 0


def test_what_is_held_has_a_bound_and_the_rest_waits() -> None:
    ring = ring_of(100)
    ring.hold()
    for start in range(100, 300, 50):
        ring.feed(log_lines(50, start=start))
        ring.trim()
    assert len(ring.lines) == 200
    assert ring.waiting == 100
    assert ring.full


def test_let_go_nothing_is_missing_as_long_as_the_waiting_ones_fit() -> None:
    ring = ring_of(200)
    ring.hold()
    ring.feed(log_lines(60, start=200))
    assert ring.release()
    assert numbers(ring) == list(range(260))
    ring.trim()
    assert numbers(ring) == list(range(160, 260))


def test_else_the_newest_ones_are_kept() -> None:
    ring = ring_of(200)
    ring.hold()
    for start in range(200, 1_000, 100):
        ring.feed(log_lines(100, start=start))
        ring.trim()
    assert ring.waiting == 800
    end = ring.end
    assert ring.release()
    assert numbers(ring)[-1] == 999
    assert numbers(ring)[0] > 200
    assert ring.base >= end
    assert ring.waiting == 0


def test_fragments_find_their_line_also_while_others_wait() -> None:
    ring = LogRing(1, 10**9)
    ring.feed([log_line(0, "a", partial=True), log_line(1, "b")])
    ring.hold()
    ring.feed([log_line(2, "c", partial=True)])
    ring.feed([log_line(0, "A", start=1), log_line(2, "C", start=1)])
    assert texts(ring) == ["aA", "b"]
    ring.release()
    assert texts(ring) == ["aA", "b", "cC"]


def test_history_goes_in_front_once() -> None:
    ring = LogRing(100, 10**9)
    ring.feed(log_lines(5, start=20))
    assert ring.prepend(log_lines(8, start=14)) == 6
    assert numbers(ring) == list(range(14, 25))
    assert ring.base == -6
    assert ring.get(0).line_number == 20
    assert ring.prepend([]) == 0


def test_history_of_nothing() -> None:
    ring = LogRing(100, 10**9)
    assert ring.prepend(log_lines(3)) == 3
    assert numbers(ring) == [0, 1, 2]


batches = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.integers(0, 40)),
        st.tuples(st.just("prepend"), st.integers(0, 40)),
        st.sampled_from([("hold", 0), ("release", 0), ("trim", 0)]),
    ),
    max_size=30,
)


@given(batches)
def test_numbers_rise_and_bounds_hold_whatever_happens(history: list[tuple[str, int]]) -> None:
    ring = LogRing(20, 10**9)
    next_number = 1_000
    for step, count in history:
        if step == "feed":
            ring.feed(log_lines(count, start=next_number))
            next_number += count
        elif step == "prepend" and ring.lines and not ring.full:
            first = ring.lines[0].line_number
            ring.prepend(log_lines(count, start=first - count))
        elif step == "hold":
            ring.hold()
        elif step == "release":
            ring.release()
        ring.trim()
        assert numbers(ring) == sorted(set(numbers(ring)))
        assert len(ring.lines) <= 2 * 20 + 40
        assert ring.run.size_bytes == sum(len(line.data) + LINE_OVERHEAD_BYTES for line in ring.lines)
        if not ring.holding and ring.lines:
            assert ring.lines[-1].line_number == next_number - 1 or next_number == 1_000
        for index, line in enumerate(ring.lines, ring.base):
            assert ring.get(index) is line


def test_lines_are_shared_not_copied() -> None:
    line = LogLine(0, log_line(0, "").source, "x", 0)
    ring = LogRing(10, 10**9)
    ring.feed([line])
    assert ring.lines[0] is line
