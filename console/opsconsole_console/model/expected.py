"""Estimates in words: always a range, and on what it rests. Pure."""

from collections.abc import Sequence

from opsconsole_console import format as fmt
from opsconsole_protocol.api import Verdict, WhyAnswer
from opsconsole_protocol.estimate import Estimate, EstimateError


def range_text(estimate: Estimate) -> str:
    """`30m–2h`; `40m` where both ends are written alike."""
    low, high = fmt.duration(estimate.low_ms), fmt.duration(estimate.high_ms)
    return high if low == high else f"{low}–{high}"


def basis_words(estimate: Estimate) -> str:
    """`by 12 runs of train on A100; 9 of 10 earlier estimates held`."""
    if not estimate.runs:
        return ""
    runs = f"by {estimate.runs} run{'s' if estimate.runs > 1 else ''} of {estimate.alike}"
    if not estimate.judged:
        return runs
    return f"{runs}; {estimate.held} of {estimate.judged} earlier estimates held"


def takes_words(estimate: Estimate) -> str:
    """The range, its middle where that says more than its ends, and on what it rests."""
    basis, middle = basis_words(estimate), fmt.duration(estimate.mid_ms)
    is_end = middle in {fmt.duration(estimate.low_ms), fmt.duration(estimate.high_ms)}
    half = "" if is_end else f", half of them within {fmt.duration(estimate.mid_ms, figures=2)}"
    return f"{range_text(estimate)}{half}" + (f" ({basis})" if basis else "")


def start_text(estimate: Estimate) -> str:
    """`now`, or `in 5m–20m`."""
    return "now" if estimate.high_ms <= 0 else f"in {range_text(estimate)}"


def verdict_start(verdict: Verdict) -> str:
    """When a worker could start a job, in a few characters; empty where nobody knows."""
    if verdict.start is not None:
        return start_text(verdict.start)
    at = verdict.estimated_start_ms
    return "" if at is None else "now" if at <= 0 else f"in {fmt.duration(at)}"


def first_start(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The worker that is expected to have room first; None where nobody knows of any."""
    known = [one for one in verdicts if one.start is not None and not one.lacks_file and not one.lacks_content]
    return min(
        known, key=lambda one: (one.start.mid_ms, one.start.high_ms) if one.start is not None else (0, 0), default=None
    )


def shared_takes(verdicts: Sequence[Verdict]) -> Estimate | None:
    """How long a job is expected to take, where it is the same range on all workers of which that is known."""
    known = [one.takes for one in verdicts if one.takes is not None]
    return known[0] if len({range_text(one) for one in known}) == 1 else None


def unsaid(answer: WhyAnswer) -> list[Verdict]:
    """The verdicts that say more than the answer's own words, or all where they differ in how long the job would take."""
    if shared_takes(answer.verdicts) is None and any(one.takes is not None for one in answer.verdicts):
        return list(answer.verdicts)
    first = first_start(answer.verdicts)
    return [
        one for one in answer.verdicts
        if not one.said or one.supply or len(one.inputs) > 1 or (one is not first and verdict_start(one))
    ]  # fmt: skip


def wait_words(answer: WhyAnswer) -> list[str]:
    """Who is ahead of a job that waits, and when it is expected to start, each in a line."""
    if not answer.verdicts:
        return []
    found: list[str] = []
    if answer.ahead:
        more = answer.ahead - len(answer.ahead_jobs)
        names = ", ".join(answer.ahead_jobs) + (f" and {more:,} more" if more > 0 else "")
        are = "jobs are" if answer.ahead > 1 else "job is"
        found.append(f"{fmt.count(answer.ahead)} {are} ahead of it, as things stand: {names}")
    first = first_start(answer.verdicts)
    if first is not None and first.start is not None and first.start.high_ms > 0:
        found.append(f"expected to start {start_text(first.start)}, on {first.worker}")
    return found


def error_words(error: EstimateError) -> str:
    """`9 of 10 held, half within 12 % of the middle`; empty where none was judged."""
    if not error.judged:
        return ""
    return f"{error.held} of {error.judged} held, half within {error.off_percent} % of the middle"


def errors_text(errors: Sequence[EstimateError]) -> str:
    """How wrong all estimates were, in one line; empty where none was judged."""
    judged, held = sum(one.judged for one in errors), sum(one.held for one in errors)
    return f"{held:,} of the last {judged:,} estimates held" if judged else ""
