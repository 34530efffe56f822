"""One run: the points of all attempts of a task as one curve. Pure.

An attempt that goes on from a checkpoint repeats some steps: what it says of them, and of all later ones, is what counts.
"""

from array import array
from collections.abc import Mapping, Sequence

from opsconsole_coordinator.report.series import Series


def merged(attempts: Sequence[Mapping[str, Series]]) -> dict[str, Series]:
    """The metrics of a task from those of its attempts, oldest first."""
    run: dict[str, Series] = {}
    for attempt in attempts:
        for name, series in attempt.items():
            before = run.get(name)
            run[name] = series if before is None else _followed(before, series)
    return run


def _followed(before: Series, later: Series) -> Series:
    if not later.steps:
        return before
    first = min(later.steps)
    kept = [place for place, step in enumerate(before.steps) if step < first]
    made = Series()
    made.extend(*(array("d", [one[place] for place in kept]) for one in (before.steps, before.at_ms, before.values)))
    made.extend(later.steps, later.at_ms, later.values)
    return made
