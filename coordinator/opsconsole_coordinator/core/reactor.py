"""The one way into the core: all that can happen to a fleet, each event by its name.

An event changes the fleet in memory and notes what became dirty. `take_batch` hands these notes over: rows to commit,
and messages to release once they are committed. `on_committed` lets go of what only the store has to keep.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from opsconsole_coordinator.core import (
    checkpointing,
    collecting,
    control,
    file_check,
    gang_placement,
    handing,
    liveness,
    offering,
    project,
    queue,
    reconcile,
    registration,
    reporting,
    reserving,
    restore,
    submission,
    template,
    view,
)
from opsconsole_coordinator.core.adding import add_tasks
from opsconsole_coordinator.core.adoption import find_task
from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.core.calendar import Reservation
from opsconsole_coordinator.core.checkpoint import CopyCheckpoint
from opsconsole_coordinator.core.content import Content, contents_of
from opsconsole_coordinator.core.desired import send_desired
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.liveness import TICK_MS
from opsconsole_coordinator.core.loading import load_jobs
from opsconsole_coordinator.core.model import Attempt, Job, OutputCopy, Worker
from opsconsole_coordinator.core.offer import collect_offers
from opsconsole_coordinator.core.priority import set_priority
from opsconsole_coordinator.core.reserved_offer import Refused, ReservedOffer
from opsconsole_coordinator.core.schedule import schedule
from opsconsole_coordinator.core.submission import Prepared
from opsconsole_coordinator.core.telling import tell_some
from opsconsole_protocol import link
from opsconsole_protocol.api import Reserve, Submission, TemplateChange, TemplateRow
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, SessionId
from opsconsole_protocol.report import Reported
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import JobSpec, PauseBy
from opsconsole_protocol.state import TaskState
from opsconsole_protocol.task_selection import TaskSelection

__all__ = ("TICK_MS", "Batch", "Fleet", "Prepared", "Reactor")


class Reactor:
    """Changes one fleet. Whoever isn't part of the core only looks at `fleet`.

    `now_ms` is the time on the coordinator's steady clock. An event that raises has changed nothing.
    """

    def __init__(
        self,
        fleet: Fleet,
        attempt_log_bytes: int = link.ATTEMPT_LOG_BYTES,
        stored_logs: Callable[[AttemptId], dict[str, int]] = lambda _: {},
    ) -> None:
        """`attempt_log_bytes` is told to agents; `stored_logs` looks up how many bytes of an attempt's log are stored."""
        self.fleet = fleet
        fleet.attempt_log_bytes, fleet.stored_logs = attempt_log_bytes, stored_logs

    # --- batches -----------------------------------------------------------------------------------------------

    @property
    def is_dirty(self) -> bool:
        """Whether anything was noted since the last batch."""
        return self.fleet.is_dirty

    @property
    def has_jobs_to_show(self) -> bool:
        """Whether something is to be shown of jobs that needs no commit, and may wait for the next tick."""
        return self.fleet.has_jobs_to_show

    @property
    def must_schedule(self) -> bool:
        """Whether something happened that may let a task start: the next batch has what comes of it."""
        return self.fleet.must_schedule

    @property
    def has_jobs_to_tell(self) -> bool:
        """Whether jobs are left for the next batch that it tells why they wait."""
        return bool(self.fleet.order.untold)

    def take_batch(self, now_ms: int) -> Batch:
        """Place tasks if that is due, and hand over all that was noted since the last batch."""
        if self.fleet.must_schedule:
            schedule(self.fleet, now_ms)
        tell_some(self.fleet)
        collecting.collect_due(self.fleet, now_ms)
        checkpointing.copies_due(self.fleet, now_ms)
        return self.fleet.drain()

    def on_committed(self, batch: Batch) -> None:
        """A batch is in the store: what has ended leaves memory."""
        self.fleet.evict(batch.forgotten, [job.id for job in batch.jobs])

    # --- time --------------------------------------------------------------------------------------------------

    def on_tick(self, now_ms: int) -> None:
        """TICK_MS have passed."""
        liveness.tick(self.fleet, now_ms)
        collecting.collect_due(self.fleet, now_ms)
        checkpointing.copies_due(self.fleet, now_ms)

    def on_held_up(self, held_up_ms: int, now_ms: int) -> None:
        """The coordinator itself was held up for `held_up_ms`: a worker of which it heard nothing meanwhile isn't silent."""
        liveness.allow_for_delay(self.fleet, held_up_ms, now_ms)

    # --- agents ------------------------------------------------------------------------------------------------

    def on_register(
        self, session: SessionId, message: link.Register, finished: Collection[AttemptId], now_ms: int, name: str = ""
    ) -> Worker:
        """An agent introduces itself. Raises OpsconsoleError.

        `finished` are those of its attempts that the store knows as ended; `name` is what its invitation calls it.
        """
        return registration.register(self.fleet, session, message, finished, now_ms, name)

    def on_disconnected(self, worker: Worker, session: SessionId) -> None:
        """An agent's session has ended."""
        liveness.disconnected(self.fleet, worker, session)

    def on_messages_dropped(self, worker: Worker) -> None:
        """Messages to a worker were dropped, because it didn't take them in time: it is told its whole desired set."""
        send_desired(self.fleet, worker)

    def on_heartbeat(self, worker: Worker, message: link.Heartbeat, now_ms: int) -> None:
        """A worker gives a sign of life, with its readings."""
        liveness.heartbeat(self.fleet, worker, message, now_ms)

    def on_report(self, worker: Worker, message: link.Report, finished: Collection[AttemptId], now_ms: int) -> None:
        """The observed state of some attempts has changed. `finished` are those of its attempts that the store knows as ended."""
        reconcile.report(self.fleet, worker, message, finished, now_ms)

    def on_observation(
        self, worker: Worker, message: link.Observation, finished: Collection[AttemptId], now_ms: int
    ) -> None:
        """A worker tells its whole observed set. `finished` are those of its attempts that the store knows as ended."""
        reconcile.observation(self.fleet, worker, message, finished, now_ms)

    def on_update_metadata(self, worker: Worker, message: link.UpdateMetadata, now_ms: int) -> None:
        """A worker's tags, properties or status change. Raises ProtocolError or InvalidRequest."""
        registration.update_metadata(self.fleet, worker, message, now_ms)

    def on_input_answer(self, worker: Worker, message: link.FileExists | link.FileNotFound, now_ms: int) -> None:
        """A worker has looked for a file or folder that it was asked about."""
        file_check.note_file(self.fleet, worker, message, now_ms)

    def on_port_found(self, worker: Worker, message: link.PortFound, now_ms: int) -> None:
        """A worker has found a free port."""
        gang_placement.note_port(self.fleet, worker, message, now_ms)

    def on_contents(self, worker: Worker, message: link.Contents, now_ms: int) -> None:
        """A worker says which trees it has, or what came and went."""
        del now_ms
        if self.fleet.contents.note_worker(worker, message):
            self.fleet.note_all_changed()

    def on_logs_stored(self, attempt_id: AttemptId, source: str, offset: int) -> None:
        """The log of an attempt is stored up to a byte offset."""
        reconcile.logs_stored(self.fleet, attempt_id, source, offset)

    def on_reported(self, attempt_id: AttemptId, reported: Reported, now_ms: int) -> None:
        """More of what an attempt says of itself is stored."""
        reporting.note_reported(self.fleet, attempt_id, reported, now_ms)

    def on_logs_looked_up(self, offsets: Mapping[AttemptId, dict[str, int]]) -> None:
        """After a start: `offsets` says for some attempts how many bytes of their logs are stored, by source."""
        for attempt_id, reached in offsets.items():
            attempt = self.fleet.attempts.get(attempt_id)
            if attempt is not None:
                attempt.log_offsets = reached

    def may_be_adopted(self, observed: link.Observed) -> bool:
        """Whether an attempt names a task that waits here, so that a restored store may have forgotten it."""
        return find_task(self.fleet, observed) is not None

    # --- contents ----------------------------------------------------------------------------------------------

    def contents_of(self, job: Job, attempt: Attempt | None = None) -> tuple[Content, ...]:
        """The trees that a job brings along, each once; and the checkpoint that this attempt of it is sent."""
        resume = None if attempt is None else attempt.resume
        if resume is None or resume.content_id is None:
            return contents_of(job.terms.spec, job.handed.values())
        return (
            *contents_of(job.spec, job.handed.values()),
            Content(resume.content_id, resume.size_bytes, "the checkpoint"),
        )

    def on_kept(self, added: Collection[ContentId], removed: Collection[ContentId], now_ms: int) -> None:
        """The coordinator keeps some trees from now on, and others no longer."""
        del now_ms
        if self.fleet.contents.note_kept(added, removed):
            self.fleet.note_all_changed()

    def on_host_offers(self, host_id: str, host: str, content_ids: Collection[ContentId], now_ms: int) -> None:
        """An operator's machine is there and offers these trees, and none that it offered before. Raises LimitExceeded."""
        del now_ms
        before = self.fleet.contents.jobs_of_host(host_id)
        if self.fleet.contents.note_host(host_id, host, content_ids):
            self.fleet.note_all_changed()
        self._show_jobs(before ^ self.fleet.contents.jobs_of_host(host_id))

    def on_host_gone(self, host_id: str, now_ms: int) -> None:
        """An operator's machine is gone, with all that it offered."""
        del now_ms
        jobs = self.fleet.contents.jobs_of_host(host_id)
        self.fleet.contents.forget_host(host_id)
        self._show_jobs(jobs)

    def _show_jobs(self, job_ids: Collection[JobId]) -> None:
        """The rows of these jobs say now who has gone or come that they wait for."""
        for job_id in job_ids:
            if (job := self.fleet.jobs.get(job_id)) is not None and not job.is_finished:
                self.fleet.show_job(job)

    def on_collected(
        self, job_id: JobId, index: int, attempt_id: AttemptId, content_id: ContentId | None, files: int,
        size_bytes: int, now_ms: int,
    ) -> bool:  # fmt: skip
        """What a batch said to collect is kept: this tree, or None where nothing matched. Returns False where nobody wants it any more."""
        return collecting.note_collected(
            self.fleet, job_id, index, attempt_id, content_id, files, size_bytes, now_ms
        )  # fmt: skip

    def on_collect_failed(
        self, job_id: JobId, index: int, attempt_id: AttemptId, reason: str, now_ms: int, *, is_final: bool = False
    ) -> None:
        """What a batch said to collect couldn't be had. Unless that is final, a later batch says it again."""
        collecting.note_failed(self.fleet, job_id, index, attempt_id, reason, now_ms, is_final=is_final)

    def on_collected_lost(self, copy: OutputCopy, now_ms: int) -> None:
        """Results that the store says are kept turned out to be damaged. `copy` is as the store has it."""
        collecting.note_lost(self.fleet, copy, now_ms)

    def on_checkpoint_copied(
        self, wanted: CopyCheckpoint, content_id: ContentId, size_bytes: int, now_ms: int
    ) -> bool:  # fmt: skip
        """What a batch said to copy is kept. Returns False where nobody wants it any more."""
        return checkpointing.note_copied(self.fleet, wanted, content_id, size_bytes, now_ms)

    def on_checkpoint_failed(self, wanted: CopyCheckpoint, reason: str, now_ms: int, *, is_final: bool) -> None:
        """What a batch said to copy couldn't be had. Unless that is final, a later batch says it again."""
        checkpointing.note_copy_failed(self.fleet, wanted, reason, now_ms, is_final=is_final)

    def on_checkpoint_lost(self, job_id: JobId, index: int, content_id: ContentId, now_ms: int) -> None:
        """The copy of a task's checkpoint turned out to be damaged."""
        checkpointing.note_copy_lost(self.fleet, job_id, index, content_id, now_ms)

    def on_jobs_removed(self, job_ids: Iterable[JobId]) -> None:
        """Ended jobs are removed from the store."""
        collecting.forget_jobs(self.fleet, job_ids)

    # --- operators: jobs ---------------------------------------------------------------------------------------

    def prepare(self, submissions: Iterable[Submission]) -> list[Prepared]:
        """Look at submissions, each by itself, before `on_submit` takes all of them. Raises InvalidRequest."""
        return [submission.prepare(self.fleet, one) for one in submissions]

    def on_submit(
        self, submissions: Sequence[Submission | Prepared], after: Mapping[str, TaskState], actor: str, now_ms: int
    ) -> list[Job]:
        """Jobs come in. Raises InvalidRequest, Conflict or LimitExceeded.

        `after` says how the jobs stand in the store of which `spec.dependencies` tells, and their tasks where it names these, by
        whole ids. Returns the jobs, those included that had come in before.
        """
        return submission.submit(self.fleet, submissions, after, actor, now_ms)

    def awaits_results(self) -> dict[JobId, set[JobId]]:
        """The jobs that haven't been given all results that they take, and of which jobs these are."""
        found = (
            (job.id, handing.lacking(job))
            for job in self.fleet.jobs.values()
            if job.terms.spec.takes and not job.is_finished
        )
        return {job_id: others for job_id, others in found if others}

    def on_results_found(self, job_id: JobId, other: JobId, copies: Mapping[int, OutputCopy], now_ms: int) -> None:
        """What the store says of the results of a job that is waited for: it may have ended long before."""
        job = self.fleet.jobs.get(job_id)
        if job is not None:
            handing.note_stored_copies(self.fleet, job, other, copies, now_ms)

    def on_act(
        self, verb: str, job_id: JobId, selection: TaskSelection | None, actor: str, reason: str, now_ms: int,
        by: PauseBy | None = None,
    ) -> str:  # fmt: skip
        """An operator does something to a job, or to some of its tasks. Raises NotFound, InvalidRequest or Conflict.

        Returns in one line what was done.
        """
        return control.act(self.fleet, verb, job_id, selection, control.Order(actor, reason, by), now_ms)

    def on_set_priority(
        self, job_id: JobId, selection: TaskSelection | None, priority: int, actor: str, now_ms: int, *, relative: bool
    ) -> str:
        """An operator changes the priority of a job, or of some of its tasks. Raises Conflict, NotFound or InvalidRequest.

        Returns in one line what was done.
        """
        return set_priority(self.fleet, job_id, selection, priority, actor, now_ms, relative=relative)

    def on_move(self, job_id: JobId, where: str, other: JobId | None, actor: str, now_ms: int) -> str:
        """An operator moves a waiting job among those like it. Raises Conflict, InvalidRequest or LimitExceeded.

        Returns in one line what was done.
        """
        return queue.move(self.fleet, job_id, where, other, actor, now_ms)

    def on_pop(self, project: str, index: int, actor: str, now_ms: int, *, hold: bool) -> Job:
        """An operator takes a waiting job off the queue. Raises NotFound."""
        return queue.pop(self.fleet, project, index, actor, now_ms, hold=hold)

    def on_clear(
        self, project: str, limit: int, actor: str, now_ms: int, *, dry_run: bool
    ) -> tuple[list[JobId], bool]:  # fmt: skip
        """An operator clears a project's queue. Returns the jobs that are cancelled, or would be, and whether there are others."""
        return queue.clear(self.fleet, project, limit, actor, now_ms, dry_run=dry_run)

    def on_set_parallel(self, job_id: JobId, most: int | None, actor: str, now_ms: int) -> str:
        """An operator changes how many of a job's tasks may run at a time. Raises Conflict or InvalidRequest.

        Returns in one line what was done.
        """
        return queue.set_parallel(self.fleet, job_id, most, actor, now_ms)

    def on_add_tasks(self, job_id: JobId, points: Sequence[Mapping[str, Any]], actor: str, now_ms: int) -> str:
        """An operator adds tasks to a sweep, one for each point. Raises NotFound, InvalidRequest, Conflict or LimitExceeded.

        Returns in one line what was done.
        """
        return add_tasks(self.fleet, job_id, points, actor, now_ms)

    def on_ask_candidates(self, spec: JobSpec, now_ms: int) -> None:
        """Somebody wants to know what workers say to a job: they are asked about its files. Raises InvalidRequest."""
        file_check.ask_everybody(self.fleet, view.demand_for(spec), now_ms)

    def on_ask_why(self, job: Job, now_ms: int, index: int | None = None) -> None:
        """Somebody wants to know why a job, or one of its tasks, waits: workers are asked about its files, if it waits for a worker."""
        demand = view.waiting_demand(self.fleet, job, now_ms, index)
        if demand is not None:
            collect_offers(self.fleet, demand, now_ms)

    def on_job_loaded(self, job: Job, attempts: Iterable[Attempt], after: Mapping[str, TaskState]) -> None:
        """A job that has ended is needed in memory. `after` says how the jobs that it comes after stand in the store."""
        load_jobs(self.fleet, (job,), attempts, after)

    def on_job_released(self, job_id: JobId) -> None:
        """A loaded job isn't needed any more: it leaves memory, unless something of it lives or is about to be committed."""
        self.fleet.evict((), (job_id,))

    # --- operators: the rest -----------------------------------------------------------------------------------

    def on_set_project(
        self, name: str, description: str | None, status: str | None, actor: str, now_ms: int,
        share: ShareChange | None = None, preemptible: bool | None = None, place: str | None = None,
    ) -> str:  # fmt: skip
        """A project is made or changed. Raises InvalidRequest. Returns in one line what was done."""
        change = project.ProjectChange(description, status, share, preemptible, place)
        return project.set_project(self.fleet, name, change, actor, now_ms)

    def knows_project(self, name: str) -> bool:
        """Whether memory tells of a project; the store may know of more."""
        return project.knows_project(self.fleet, name)

    def knows_person(self, name: str) -> bool:
        """Whether memory tells of somebody's jobs or share; credentials may tell of more."""
        return project.knows_person(self.fleet, name)

    def on_set_person(self, name: str, share: ShareChange, actor: str, now_ms: int) -> str:
        """What a person may have of the fleet changes. Raises InvalidRequest. Returns in one line what was done."""
        return project.set_person(self.fleet, name, share, actor, now_ms)

    def on_set_template(self, row: TemplateRow, actor: str, now_ms: int) -> str:
        """A template is made or changed. Raises InvalidRequest or LimitExceeded. Returns in one line what was done."""
        return template.set_template(self.fleet, row, actor, now_ms)

    def on_sync_templates(
        self, rows: Sequence[TemplateRow], project: str, actor: str, now_ms: int, *, remove: bool, dry_run: bool
    ) -> tuple[TemplateChange, ...]:
        """A project's templates are as they are in a folder. Raises InvalidRequest, Conflict or LimitExceeded."""
        return template.sync_templates(self.fleet, rows, project, actor, now_ms, remove=remove, dry_run=dry_run)

    def on_remove_template(self, name: str, actor: str, now_ms: int) -> str:
        """A template is removed. Raises NotFound. Returns in one line what was done."""
        return template.remove_template(self.fleet, name, actor, now_ms)

    def on_template_loaded(self, row: TemplateRow) -> None:
        """A version of a template that the store has is needed in memory."""
        self.fleet.templates.note_older(row)

    def on_set_maintenance(
        self, name: str, action: str, actor: str, now_ms: int, reason: str = "", within_ms: int | None = None
    ) -> Worker:
        """A worker, by name or id, is drained or undrained. Raises NotFound or InvalidRequest."""
        drain = control.Drain(reason, within_ms)
        return control.set_maintenance(self.fleet, name, action, actor, now_ms, drain)

    def on_reserve(self, request: Reserve, actor: str, now_ms: int) -> Reservation:
        """Workers are reserved. Raises InvalidRequest, NotFound, Conflict or LimitExceeded."""
        return reserving.reserve(self.fleet, request, actor, now_ms)

    def on_cancel_reservation(self, reservation_id: str, actor: str, now_ms: int) -> str:
        """A reservation is taken back. Raises NotFound. Returns in one line what was done."""
        return reserving.cancel_reservation(self.fleet, reservation_id, actor, now_ms)

    def on_reserve_offer(
        self, job_id: JobId, spec: JobSpec, worker: str, actor: str, now_ms: int
    ) -> ReservedOffer | Refused:  # fmt: skip
        """An operator chooses an offer. Raises NotFound, InvalidRequest, Conflict or Forbidden."""
        return offering.reserve_offer(self.fleet, job_id, spec, worker, actor, now_ms)

    def on_free_offer(self, job_id: JobId, actor: str, now_ms: int) -> None:
        """An operator gives up what was reserved for a job. Nothing is changed where that is nothing, or another's."""
        offer = self.fleet.reservations.offers.get(job_id)
        if offer is not None and offer.person == actor:
            offering.free_offer(self.fleet, offer, now_ms)

    def on_revoke(self, name: str, actor: str, now_ms: int) -> None:
        """A worker's credential, by name or id, was revoked. Raises NotFound."""
        control.revoke(self.fleet, name, actor, now_ms)

    def on_worker_removed(self, name: str, actor: str, now_ms: int) -> None:
        """A worker that is gone for good, by name or id, is removed. Raises NotFound or Conflict."""
        reserving.forget_worker(self.fleet, control.find_removable(self.fleet, name))
        control.remove_worker(self.fleet, name, actor, now_ms)

    def find_worker(self, name: str) -> Worker:
        """A worker by name or id; of several with one name the one that isn't revoked. Raises NotFound."""
        return control.find_worker(self.fleet, name)

    def find_removable(self, name: str) -> Worker:
        """The worker that `on_worker_removed` would remove. Raises NotFound or Conflict."""
        return control.find_removable(self.fleet, name)

    def on_confirm_restore(self, actor: str, now_ms: int) -> str:
        """An admin confirms that the store was restored from a backup. Raises Conflict. Returns in one line what was done."""
        return restore.confirm_restore(self.fleet, actor, now_ms)

    def on_audit(self, actor: str, kind: EventKind, text: str, subject: str, now_ms: int) -> None:
        """Something happened outside the core that belongs into the audit log."""
        self.fleet.audit(now_ms, actor, kind, text, subject)
