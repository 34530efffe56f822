"""What is said of failed jobs to somebody who looks elsewhere. Pure."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from opsconsole_protocol.api import JobRow

Notify: TypeAlias = Literal["none", "bell", "osc9"]

GAP_S = 3.0
"""No more often than this, however many jobs fail."""

_NAMES = 3


def announcement(jobs: Sequence[JobRow]) -> str:
    """`train-lr2 failed: exit code 1`, `5 jobs failed: a, b, c and 2 more`."""
    if len(jobs) == 1:
        reason = f": {jobs[0].reason}" if jobs[0].reason else ""
        return f"{jobs[0].name} failed{reason}"
    names = ", ".join(job.name for job in jobs[:_NAMES])
    more = f" and {len(jobs) - _NAMES} more" if len(jobs) > _NAMES else ""
    return f"{len(jobs)} jobs failed: {names}{more}"
