"""What is told of jobs to somebody who looks elsewhere: which of them, and in which words. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from opsconsole_console.model.failure import FAILED
from opsconsole_protocol.api import JobRow
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.state import TaskState

Notify: TypeAlias = Literal["none", "bell", "osc9"]
NotifyOn: TypeAlias = Literal["failure", "end", "wait"]

GAP_S = 3.0
"""No more often than this, however many jobs fail."""

_NAMES = 3


@dataclass(frozen=True, slots=True)
class Telling:
    """How it is told, of what, and of whose jobs. `wait_ms`: how long a job has waited that is told of."""

    how: Notify = "none"
    on: tuple[NotifyOn, ...] = ("failure",)
    wait_ms: int | None = None
    mine: bool = False


class News(NamedTuple):
    """A job to tell of, and of which kind that is."""

    kind: NotifyOn
    job: JobRow


class Ends:
    """Which jobs have ended since the last look: none of those that had when the first was taken."""

    def __init__(self) -> None:
        self._ended: set[str] | None = None
        self._latest_ms = 0

    def begin(self, rows: Iterable[JobRow]) -> list[JobRow]:
        """Look at all jobs at hand: those that ended while nobody looked, and none at the first time."""
        ended = [row for row in rows if row.finished_at_ms is not None]
        before, since_ms = self._ended, self._latest_ms
        self._ended = set()
        fresh = self.note(ended)
        if before is None:
            return []
        return [row for row in fresh if row.id not in before and (row.finished_at_ms or 0) >= since_ms]

    def note(self, rows: Iterable[JobRow]) -> list[JobRow]:
        """Look at jobs that changed. Nothing before `begin`."""
        fresh: list[JobRow] = []
        if self._ended is None:
            return fresh
        for row in rows:
            if row.finished_at_ms is None:
                self._ended.discard(row.id)
            elif row.id not in self._ended:
                self._ended.add(row.id)
                self._latest_ms = max(self._latest_ms, row.finished_at_ms)
                fresh.append(row)
        return fresh

    def forget(self, job_ids: Iterable[str]) -> None:
        """Forget jobs that are no longer here."""
        if self._ended is not None:
            self._ended.difference_update(job_ids)


def of_ends(telling: Telling, ended: Iterable[JobRow], own_name: str) -> Iterator[News]:
    """What is to be told of jobs that have ended."""
    for job in ended:
        kind: NotifyOn = "failure" if job.state in FAILED else "end"
        if _is_asked(telling, job, own_name) and (kind in telling.on or "end" in telling.on):
            yield News(kind, job)


def of_waits(telling: Telling, jobs: Iterable[JobRow], since_ms: int, now_ms: int, own_name: str) -> Iterator[News]:
    """What is to be told of jobs whose waiting got too long after `since_ms`, and not after `now_ms` (both Unix milliseconds)."""
    if "wait" not in telling.on or telling.wait_ms is None:
        return
    for job in jobs:
        if job.waiting_since_ms is None or job.state != TaskState.PENDING or not _is_asked(telling, job, own_name):
            continue
        if since_ms < job.waiting_since_ms + telling.wait_ms <= now_ms:
            yield News("wait", job)


def announcement(telling: Telling, news: Sequence[News]) -> str:
    """`train-lr2 failed: exit code 1`, `5 jobs failed: a, b, c and 2 more; 1 job ended: d`."""
    verbs = {"failure": "failed", "end": "ended", "wait": f"waits for more than {spell_duration(telling.wait_ms or 0)}"}
    if len(news) == 1:
        kind, job = news[0]
        verb = job.state if kind == "end" and job.state != TaskState.KILLED else verbs[kind]
        return f"{job.name} {verb}: {job.reason}" if job.reason else f"{job.name} {verb}"
    parts: list[str] = []
    for told, verb in verbs.items():
        names = [one.job.name for one in news if one.kind == told]
        if names:
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            many = f"{len(names)} jobs {verb.replace('waits', 'wait')}" if len(names) > 1 else f"1 job {verb}"
            parts.append(f"{many}: {', '.join(names[:_NAMES])}{more}")
    return "; ".join(parts)


def _is_asked(telling: Telling, job: JobRow, own_name: str) -> bool:
    return not telling.mine or job.submitted_by == own_name
