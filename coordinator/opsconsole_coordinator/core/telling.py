"""Why jobs wait is written into all rows of a large group over several batches: each row takes a tenth of a millisecond."""

from bisect import bisect_right

from opsconsole_coordinator.core.fleet import Fleet

LOOKED_AT_ONCE = 10_000
TOLD_AT_ONCE = 500
"""How many jobs a batch looks at, and how many rows it writes that it wouldn't write anyway."""


def tell_some(fleet: Fleet) -> None:
    """Tell some more jobs why they wait, of those whose groups were explained for the first time. The rest is told with later batches."""
    looked = told = 0
    for group, last in list(fleet.order.untold.items()):
        at = bisect_right(group.jobs, last)
        some = group.jobs[at : at + LOOKED_AT_ONCE - looked]
        for place in some:
            if told == TOLD_AT_ONCE:
                return
            job = fleet.jobs[place[1]]
            told += job.reason != group.reason and not fleet.is_noted(job)
            fleet.note_reason(job, group.reason)
            fleet.order.untold[group] = place
        looked += len(some)
        if looked == LOOKED_AT_ONCE:
            return
        del fleet.order.untold[group]
