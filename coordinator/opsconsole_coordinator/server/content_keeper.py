"""What the coordinator keeps: which trees it takes, which of them jobs need, and when they may go."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.server.collection import COLLECTED_HOLDER, Collection
from opsconsole_coordinator.server.commit_loop import CommitLoop, ToldRows
from opsconsole_coordinator.server.content_host import ContentHosts
from opsconsole_coordinator.server.transfer_process import TransferProcess
from opsconsole_coordinator.transfer.message import Held, Receive
from opsconsole_protocol.api import EventRow
from opsconsole_protocol.error import LimitExceeded
from opsconsole_protocol.ids import ContentId, JobId, WorkerId
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.stream.message import KeepContent

FRESH_S = 3_600.0
"""A tree that was just brought stays this long, whatever comes after it: the job that needs it is submitted afterwards."""
NEEDED_HOLDER = "needed."
"""Before a tree's id: the holder of one that jobs need; by trees, since ten thousand jobs may need the same one."""
FRESH_HOLDER = "fresh."
"""Before a tree's id: the holder of one that was just brought."""


class HolderFollower(Protocol):
    """Who keeps account of some of the holders in the store."""

    def on_held(self, held: Held) -> None:
        """The store has what one of them holds."""

    def on_removed(self, content_ids: set[ContentId]) -> None:
        """The store has some trees no longer."""


class ContentKeeper:
    """Follows the jobs, and pins what those that haven't ended need."""

    def __init__(
        self, commit_loop: CommitLoop, process: TransferProcess, collection: Collection, upload_bytes_max: int
    ) -> None:
        self._commit_loop = commit_loop
        self._process = process
        self.upload_bytes_max = upload_bytes_max
        self.hosts = ContentHosts(commit_loop)
        self.collection = collection
        self._followers: dict[str, HolderFollower] = {COLLECTED_HOLDER: collection}
        self._needs: dict[JobId, list[ContentId]] = {}
        """What the jobs that haven't ended need of what is kept here."""
        self._needed_by: dict[ContentId, set[JobId]] = {}
        self._fresh: dict[str, asyncio.TimerHandle] = {}
        process.listener.on_kept = self._on_kept
        process.listener.on_held = self._on_held
        commit_loop.commit_listeners.append(self)
        commit_loop.on_loaded = self._on_loaded
        self._pin_all()

    # --- what is kept ------------------------------------------------------------------------------------------

    def kept(self, content_ids: Iterable[ContentId]) -> tuple[ContentId, ...]:
        """Those of the trees that are kept here."""
        return tuple(one for one in dict.fromkeys(content_ids) if one in self._process.kept)

    def receiving(self, purpose: KeepContent) -> Receive:
        """How a tree is taken. Raises LimitExceeded for one that is too large."""
        self.check_size(purpose)
        holder = f"{FRESH_HOLDER}{purpose.content_id}"
        self._let_go_later(holder)
        return Receive(content_id=purpose.content_id, bytes_max=self.upload_bytes_max, holder=holder)

    def check_size(self, purpose: KeepContent) -> None:
        """Raises LimitExceeded for a tree that is too large to be kept here."""
        if purpose.size_bytes > self.upload_bytes_max:
            raise LimitExceeded(
                f"{size_words(purpose.size_bytes)} are too much to be kept by the coordinator, which takes "
                f"{size_words(self.upload_bytes_max)} (keep_upload_gb): they go from your machine to the worker"
            )

    def _let_go_later(self, holder: str) -> None:
        old = self._fresh.pop(holder, None)
        if old is not None:
            old.cancel()
        self._fresh[holder] = asyncio.get_running_loop().call_later(FRESH_S, self._let_go, holder)

    def _let_go(self, holder: str) -> None:
        self._fresh.pop(holder, None)
        self._process.unpin(holder)

    def _on_kept(self, added: set[ContentId], removed: set[ContentId]) -> None:
        for one in self._followers.values():
            one.on_removed(removed)
        self._commit_loop.reactor.on_kept(added, removed, self._commit_loop.clock.now_ms())
        self._commit_loop.changed()

    def _on_held(self, held: Held) -> None:
        """A holder of trees: one that the store knows from before, and nobody needs any more, is let go."""
        holder = held.holder
        followed = next((one for prefix, one in self._followers.items() if holder.startswith(prefix)), None)
        if followed is not None:
            followed.on_held(held)
        elif holder.startswith(NEEDED_HOLDER) and ContentId(holder.removeprefix(NEEDED_HOLDER)) not in self._needed_by:
            self._process.unpin(holder)
        elif holder.startswith(FRESH_HOLDER) and holder not in self._fresh:
            self._let_go_later(holder)

    def follow(self, prefix: str, follower: HolderFollower) -> None:
        """Tell somebody of the holders whose names begin like this, and of the trees that are gone."""
        self._followers[prefix] = follower

    # --- jobs --------------------------------------------------------------------------------------------------

    def publish(self, jobs: ToldRows, workers: Iterable[WorkerId], events: list[EventRow], seq: int) -> None:
        """Take note of a committed batch."""
        del workers, events, seq
        for job_id in jobs:
            job = self._commit_loop.fleet.jobs.get(job_id)
            if job is not None and job.terms.is_plain:
                continue  # it brings nothing along
            if job is not None and not job.is_finished:
                self._pin(job)
            else:
                self._unpin(job_id)

    def _pin(self, job: Job) -> None:
        if job.id in self._needs and not job.handed:
            return
        content_ids = [one.content_id for one in self._commit_loop.reactor.contents_of(job) if not one.host_id]
        before = self._needs.get(job.id, [])
        if content_ids == before:
            return
        if before:  # it was handed results in the meantime
            content_ids = [*before, *(one for one in content_ids if one not in before)]
        self._needs[job.id] = content_ids
        for one in content_ids[len(before) :]:
            needed_by = self._needed_by.setdefault(one, set())
            if not needed_by:
                self._process.pin(NEEDED_HOLDER + one, (one,))
            needed_by.add(job.id)

    def _unpin(self, job_id: JobId) -> None:
        for one in self._needs.pop(job_id, ()):
            self._needed_by[one].discard(job_id)
            if not self._needed_by[one]:
                del self._needed_by[one]
                self._process.unpin(NEEDED_HOLDER + one)

    def _pin_all(self) -> None:
        fleet = self._commit_loop.fleet
        for job_id in fleet.contents.jobs_with_any():
            job = fleet.jobs.get(job_id)
            if job is not None and not job.is_finished:
                self._pin(job)

    def _on_loaded(self) -> None:
        """The fleet was built anew from the store, and knows nothing of what is kept and offered."""
        for job_id in [one for one in self._needs if one not in self._commit_loop.fleet.jobs]:
            self._unpin(job_id)
        self._pin_all()
        self._on_kept(set(self._process.kept), set())
        self.hosts.tell_again()
