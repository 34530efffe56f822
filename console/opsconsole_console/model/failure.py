"""Which failed jobs nobody has looked at yet. Pure.

A failure is new until somebody puts the cursor on the job, opens it, or says that all are seen. What was seen is kept
as one moment, up to which every failure counts as seen, and as single jobs after it.
"""

from collections.abc import Iterable

import msgspec

from opsconsole_protocol.api import JobRow
from opsconsole_protocol.state import TaskState

SEEN_MAX = 500

FAILED = frozenset({TaskState.FAILED, TaskState.WORKER_FAILED, TaskState.UNSCHEDULABLE})
"""What was cancelled isn't news to who cancelled it."""


class Seen(msgspec.Struct, frozen=True):
    """All failures up to `to_ms` were seen (None: nothing is kept yet), and so were those of `jobs`, which ended later."""

    to_ms: int | None = None
    jobs: dict[str, int] = {}


class Failures:
    """`new` has the jobs that failed unseen, and when, oldest first."""

    def __init__(self, seen: Seen | None = None) -> None:
        seen = seen or Seen()
        self.new: dict[str, int] = {}
        self._to_ms = seen.to_ms
        self._seen_jobs = dict(seen.jobs)
        self._trail: list[str] = []
        self._trail_index = -1

    @property
    def seen(self) -> Seen:
        """What is to be kept until the next start."""
        return Seen(self._to_ms, dict(self._seen_jobs))

    def begin(self, rows: Iterable[JobRow]) -> list[JobRow]:
        """Start with all jobs at hand and return those that failed unseen. At the very first start none counts as unseen."""
        rows = list(rows)
        if self._to_ms is None:
            self._to_ms = max((row.finished_at_ms or 0 for row in rows), default=0)
        known = {row.id for row in rows}
        self.new = {job_id: at_ms for job_id, at_ms in self.new.items() if job_id in known}
        return self.note(rows)

    def note(self, rows: Iterable[JobRow]) -> list[JobRow]:
        """Take note of jobs that changed and return those that failed just now."""
        fresh = []
        for row in rows:
            is_new = self._is_new(row)
            if is_new and self.new.get(row.id) != row.finished_at_ms:
                self.new[row.id] = row.finished_at_ms or 0
                fresh.append(row)
            elif not is_new:
                self.new.pop(row.id, None)
        if fresh:
            self.new = dict(sorted(self.new.items(), key=lambda one: one[1]))
        return fresh

    def forget(self, job_ids: Iterable[str]) -> None:
        """Forget jobs that are no longer here."""
        for job_id in job_ids:
            self.new.pop(job_id, None)

    def mark_seen(self, job_id: str) -> bool:
        """Count a job's failure as seen and return whether it was new."""
        at_ms = self.new.pop(job_id, None)
        if at_ms is None:
            return False
        self._seen_jobs[job_id] = at_ms
        if not self.new or len(self._seen_jobs) > SEEN_MAX:
            self._advance_moment()
        return True

    def mark_all_seen(self) -> int:
        """Count all failures as seen and return how many of them were new."""
        number = len(self.new)
        self._seen_jobs |= self.new
        self.new = {}
        self._advance_moment()
        return number

    def step(self, step: int) -> str | None:
        """The job to go to: the next new failure (1), or the one gone to before (-1), or None where there is none."""
        place = self._trail_index + step
        if 0 <= place < len(self._trail):
            self._trail_index = place
            return self._trail[place]
        if step < 0 or not self.new:
            return None
        self._trail.append(next(iter(self.new)))
        self._trail_index = len(self._trail) - 1
        return self._trail[-1]

    def _is_new(self, row: JobRow) -> bool:
        at_ms = row.finished_at_ms
        if at_ms is None or row.state not in FAILED or self._to_ms is None or at_ms <= self._to_ms:
            return False
        return self._seen_jobs.get(row.id) != at_ms

    def _advance_moment(self) -> None:
        """Move `to_ms` forward to where every failure before it was seen."""
        first_new = min(self.new.values(), default=None)
        passed = {i: at_ms for i, at_ms in self._seen_jobs.items() if first_new is None or at_ms < first_new}
        self._to_ms = max(self._to_ms or 0, *passed.values(), 0) if passed else self._to_ms
        self._seen_jobs = {i: at_ms for i, at_ms in self._seen_jobs.items() if i not in passed}
        while len(self._seen_jobs) > SEEN_MAX:
            del self._seen_jobs[next(iter(self._seen_jobs))]
