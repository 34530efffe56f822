"""What the GPUs of attempts are used for, as lines of their reports."""

from collections.abc import Sequence

import msgspec

from opsconsole_agent.report.gpu_recorder import EVERY_MS, GpuHistory, GpuRecorder, Holder
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Gpu
from opsconsole_protocol.report import GPU_METRICS, parse_line

A, B = AttemptId("a.0.0.x"), AttemptId("b.0.0.x")
DAY_MS = 24 * 3_600_000


def gpu(uuid: str, used: int | None = 100, total: int | None = 1_000, busy: int | None = 50) -> Gpu:
    return Gpu(index=0, uuid=uuid, name="GPU", memory_used_mb=used, memory_total_mb=total, utilization_percent=busy)


def said(line: bytes) -> dict[str, float] | None:
    return parse_line(line.removesuffix(b"\n"), 0).gpu_sample


def test_a_line_has_all_gpus_of_an_attempt_together_and_no_others() -> None:
    gpus = [gpu("g0", 100, 1_000, 50), gpu("g1", 300, 2_000, 75), gpu("g2", 7, 7, 7)]
    lines = GpuHistory().lines({A: Holder(("g0", "g1"), 0), B: Holder(("g2",), 0)}, gpus, 1_000)
    assert said(lines[A]) == {"memory_mb": 400, "memory_total_mb": 3_000, "utilization_percent": 62.5}
    assert tuple(said(lines[A]) or ()) == GPU_METRICS
    assert said(lines[B]) == {"memory_mb": 7, "memory_total_mb": 7, "utilization_percent": 7}
    assert parse_line(lines[A], 0).at_ms == 1_000


def test_what_can_not_be_read_is_left_out() -> None:
    history = GpuHistory()
    one = {A: Holder(("g0", "g1"), 0)}
    assert said(history.lines(one, [gpu("g0", None, None, 10)], 0)[A]) == {"utilization_percent": 10}
    assert history.lines(one, [gpu("g0", None, None, None)], EVERY_MS) == {}
    assert history.lines(one, [], 2 * EVERY_MS) == {}
    assert history.lines(one, [gpu("g1", 5, 9, None)], 3 * EVERY_MS).keys() == {A}


def test_lines_get_rarer_as_an_attempt_gets_older() -> None:
    history, gpus, holders = GpuHistory(), [gpu("g0")], {A: Holder(("g0",), 0)}
    hour = range(DAY_MS // 24 // EVERY_MS)
    counts = [
        sum(bool(history.lines(holders, gpus, start_ms + turn * EVERY_MS)) for turn in hour)
        for start_ms in (0, 30 * DAY_MS)
    ]
    assert counts[0] == 720
    assert 10 < counts[1] < 25
    assert history.lines({A: Holder(("g0",), 31 * DAY_MS)}, gpus, 0), "a clock that was set back stops nothing"


async def test_gpus_are_read_only_for_attempts_that_hold_some_and_still_do_afterwards() -> None:
    holders: dict[AttemptId, Holder] = {}
    reads: list[int] = []
    added: list[AttemptId] = []

    async def sample() -> Sequence[Gpu]:
        reads.append(1)
        holders.pop(B, None)
        return [gpu("g0"), gpu("g1")]

    recorder = GpuRecorder(
        lambda: holders,
        sample,
        lambda attempt_id, line: added.append(attempt_id) if msgspec.json.decode(line) else None,
    )
    await recorder.look()
    assert (reads, added) == ([], [])
    holders |= {A: Holder(("g0",), 0), B: Holder(("g1",), 0)}
    await recorder.look()
    assert (reads, added) == ([1], [A])
