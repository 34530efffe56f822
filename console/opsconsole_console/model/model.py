"""What the screens show: the folded fleet plus what only a console knows (histories, short ids, fetched pages).

Changes are gathered here as they come and handed out once per tick: a burst of updates costs one repaint.
"""

import heapq
from collections.abc import Collection, Iterable

from opsconsole.fleet import Change, Fleet
from opsconsole_console.model.announcement import Ends
from opsconsole_console.model.clock import Clock
from opsconsole_console.model.contact import Contact
from opsconsole_console.model.failure import Failures, Seen
from opsconsole_console.model.short_id import ShortIds
from opsconsole_console.model.utilisation import UtilisationHistory
from opsconsole_protocol.api import JobRow, WorkerRow


class Model:
    """The view model. `contact_since_ms` is when the console last was connected, or last lost its coordinator."""

    def __init__(self, fleet: Fleet, clock: Clock, seen: Seen | None = None) -> None:
        self.fleet = fleet
        self.wall_clock = clock
        self.contact = Contact("connecting")
        self.contact_since_ms = clock()
        self.heard_ms: int | None = None
        """When the fleet last was known to be as shown, or None while nothing is shown yet, and now while connected."""
        self.retry_at_ms: int | None = None
        """When the coordinator, which isn't reached, is tried again."""
        self.utilisation = UtilisationHistory()
        self.short_ids = ShortIds()
        self.failures = Failures(seen)
        self.all_fetched = False
        """Whether every job that the coordinator has is here."""
        self._older: dict[str, JobRow] = {}
        self._found: dict[str, JobRow] = {}
        """What only a filter brought here."""
        self._ends = Ends()
        self._ended: list[JobRow] = []
        self._pending = Change(reset=True)
        self._is_dirty = True

    def note_change(self, change: Change) -> None:
        """Remember that rows changed; nothing is painted yet."""
        now_ms = self.clock()
        for worker_id in change.workers:
            self.utilisation.add(self.fleet.workers[worker_id], now_ms)
        for worker_id in change.workers_removed:
            self.utilisation.forget(worker_id)
        self._note_ends(change)
        known = self.short_ids.length
        self.short_ids.add(change.jobs)
        if self.short_ids.length != known:
            change = change | Change(reset=True)
        self._pending = self._pending | change

    def _note_ends(self, change: Change) -> None:
        jobs = self.fleet.jobs
        if change.reset:
            self.failures.begin(jobs.values())
            self._ended += self._ends.begin(jobs.values())
            return
        self.failures.forget(change.jobs_removed)
        self._ends.forget(change.jobs_removed)
        rows = [row for job_id in change.jobs if (row := jobs.get(job_id)) is not None]
        self.failures.note(rows)
        self._ended += self._ends.note(rows)

    def take_ended(self) -> list[JobRow]:
        """The jobs that ended since the last call, without those that had ended before the console connected."""
        ended, self._ended = self._ended, []
        return ended

    def mark_seen(self, job_id: str) -> None:
        """Count a job's failure as seen: somebody looks at it."""
        self._is_dirty |= self.failures.mark_seen(job_id)

    def mark_all_seen(self) -> int:
        """Count all failures as seen and return how many of them were new."""
        self._is_dirty = True
        return self.failures.mark_all_seen()

    def set_contact(self, contact: Contact) -> None:
        """Remember how the console stands with its coordinator."""
        now_ms, was_live = self.wall_clock(), self.is_live
        self.contact = contact
        if self.is_live != was_live:
            self.contact_since_ms = now_ms
            if was_live:
                self.heard_ms = now_ms - contact.silent_ms
        self.retry_at_ms = now_ms + contact.retry_ms if contact.state == "lost" else None
        self._is_dirty = True

    @property
    def is_live(self) -> bool:
        """Whether what is shown is true now; otherwise it was true at `heard_ms`."""
        return self.contact.state == "connected"

    def clock(self) -> int:
        """The time at which what is shown was true. It stands still while nothing is heard, so that nothing seems to run."""
        return self.wall_clock() if self.is_live or self.heard_ms is None else self.heard_ms

    def take_change(self) -> Change | None:
        """What to repaint since the last time, or None when nothing is."""
        change, self._pending = self._pending, Change()
        is_dirty, self._is_dirty = self._is_dirty, False
        return change if change or is_dirty else None

    def add_older(self, rows: Iterable[JobRow]) -> int:
        """Add finished jobs that were fetched by page, and return how many of them weren't here yet."""
        fresh = {row.id: row for row in rows if row.id not in self.fleet.jobs and row.id not in self._older}
        self._older.update(fresh)
        if fresh:
            self.note_change(Change(jobs=frozenset(fresh)))
        return len(fresh)

    def add_found(self, rows: Iterable[JobRow]) -> None:
        """Add jobs that a filter brought, until `forget_found`."""
        fresh = {row.id: row for row in rows if self.job(row.id) is None}
        self._found.update(fresh)
        if fresh:
            self.note_change(Change(jobs=frozenset(fresh)))

    def forget_found(self, keep: Collection[str]) -> None:
        """Let go of the jobs that a filter brought, but for those in `keep`."""
        gone = frozenset(self._found) - frozenset(keep)
        self._found = {job_id: row for job_id, row in self._found.items() if job_id not in gone}
        gone -= self.fleet.jobs.keys() | self._older.keys()
        if gone:
            self.note_change(Change(jobs_removed=gone))

    @property
    def is_known(self) -> bool:
        """Whether the coordinator has sent its fleet yet."""
        return self.fleet.seq >= 0

    @property
    def jobs_missing(self) -> int:
        """How many jobs the coordinator has that aren't here."""
        if self.all_fetched:
            return 0
        older = self._older.keys() | self._found.keys()
        here = len(self.fleet.jobs) + sum(1 for job_id in older if job_id not in self.fleet.jobs)
        return max(0, self.fleet.jobs_total - here)

    def job(self, job_id: str) -> JobRow | None:
        """A job's row, live or fetched."""
        return self.fleet.jobs.get(job_id) or self._older.get(job_id) or self._found.get(job_id)

    def jobs(self) -> dict[str, JobRow]:
        """All jobs at hand, by id, in no order."""
        return {**self._found, **self._older, **self.fleet.jobs}

    def newest_jobs(self, number: int) -> list[JobRow]:
        """The newest jobs, at most `number` of them, newest first."""
        return heapq.nlargest(number, self.jobs().values(), key=lambda job: (job.created_at_ms, job.id))

    def jobs_named(self, text: str) -> list[JobRow]:
        """The jobs that a typed id, prefix or exact name means."""
        rows = self.jobs()
        if text in rows:
            return [rows[text]]
        return [row for row in rows.values() if row.id.startswith(text)] or [
            row for row in rows.values() if row.name == text
        ]

    def worker_named(self, name: str) -> WorkerRow | None:
        """A worker by the name that jobs and tasks carry, or by its id."""
        return self.fleet.workers.get(name) or next(
            (worker for worker in self.fleet.workers.values() if worker.name == name), None
        )
