"""Rows for people and scripts, from entities in memory or from the store alike."""

import shlex
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import msgspec

from opsconsole_coordinator.core import estimate, skew
from opsconsole_coordinator.core.capacity import free_gpus
from opsconsole_coordinator.core.checkpointing import bond_of, is_copied, is_parked
from opsconsole_coordinator.core.content import arriving, contents_of
from opsconsole_coordinator.core.demand import Demand, demand_of
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gang import is_saving
from opsconsole_coordinator.core.gpu_share import shared_gpus
from opsconsole_coordinator.core.holder import holders_words
from opsconsole_coordinator.core.judgement import judge_all
from opsconsole_coordinator.core.model import Attempt, Job, OutputCopy, Worker
from opsconsole_coordinator.core.offer import shortage_of
from opsconsole_coordinator.core.offering import without_offer
from opsconsole_coordinator.core.project import check_takes_work, placed, standstill
from opsconsole_coordinator.core.quota import refusal
from opsconsole_coordinator.core.ranking import Ranking
from opsconsole_coordinator.core.ready import waiting_since_ms
from opsconsole_coordinator.core.reason import explain
from opsconsole_coordinator.core.reservation_view import possible_start, reservation_row
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.core.trouble import blocking, holding_up, spell_trouble
from opsconsole_coordinator.core.turn_forecast import NOBODY, Ahead, ahead_of_new, expected_starts
from opsconsole_coordinator.core.verdict import verdict
from opsconsole_coordinator.core.waiting import why_beside_workers
from opsconsole_protocol import requirement
from opsconsole_protocol.api import (
    AttemptRow,
    Candidates,
    CheckpointRow,
    CollectedRow,
    InputRow,
    JobRow,
    OutputsRow,
    TaskRow,
    Verdict,
    WorkerRow,
)
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.link import TaskProgress
from opsconsole_protocol.report import Checkpoint
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState, TaskState, is_task_finished, is_task_waiting

_COMMAND_SHOWN = 200
_SAVE_LATE_SHOWN = 100
_PARKED_COUNTED = 256
"""Tasks of a job up to which each is asked how far it was when it made way."""
RUNNING = frozenset({TaskState.RUNNING, TaskState.PAUSED, TaskState.BUILDING})
LIVE = RUNNING | {TaskState.ASSIGNED}


def worker_row(fleet: Fleet, worker: Worker, now_ms: int) -> WorkerRow:
    """A worker as it stands."""
    properties = {
        **worker.properties,
        "status": worker.status,
        "max_concurrent_jobs": worker.max_concurrent_jobs,
    }
    properties.setdefault("io_paths", {"input": None, "output": None, "filesystem": ""})
    return WorkerRow(
        id=worker.id,
        name=worker.name,
        status=worker.status,
        connection=worker.connection,
        tags=worker.tags,
        properties=properties,
        gpus=worker.gpus,
        running_tasks=_running(worker),
        last_seen_ms=worker.last_seen_ms or None,
        max_concurrent_jobs=worker.max_concurrent_jobs,
        gpus_free=tuple(gpu.uuid for gpu in free_gpus(worker)),
        gpu_message=worker.gpu_message,
        host=worker.host,
        attention=_attention(fleet, worker, now_ms),
        avoided_until_ms=worker.avoided_until_ms if worker.avoided_until_ms > now_ms else None,
        drain_reason=worker.drain_reason,
        drain_until_ms=worker.drain_until_ms,
        gpus_shared=shared_gpus(worker),
        reservation=None
        if worker.booked is None
        else reservation_row(fleet, worker.booked.reservations[0], now_ms, worker),
    )


def _running(worker: Worker) -> int:
    """How many of its attempts have started or have a slot: tasks may be assigned ahead of one."""
    started = sum(attempt.state is not AttemptState.ASSIGNED for attempt in worker.live.values())
    return max(started, min(len(worker.live), worker.max_concurrent_jobs))


def _attention(fleet: Fleet, worker: Worker, now_ms: int) -> str:
    if worker.revoked:
        return "its credential was revoked"
    if fleet.adopting:
        return "the store was restored from a backup: confirm with `opsconsole confirm-restore`"
    if worker.troubles:
        said = "; ".join(spell_trouble(one) for one in worker.troubles)
        return f"takes no new tasks: {said}" if blocking(worker) else said
    if worker.unproved:
        return (
            f"has {len(worker.unproved)} attempts that this store doesn't know, without proof that they were given to it: "
            "`opsconsole confirm-restore` has them stopped"
        )
    if worker.avoided_until_ms > now_ms:
        return f"avoided after {worker.avoided_after}"
    broken = [gpu for gpu in worker.gpus if gpu.state != "ok"]
    if broken:
        return f"GPU {broken[0].index} {broken[0].state}: {broken[0].message}"
    if not worker.gpus and worker.gpu_message:
        return worker.gpu_message
    return skew.remark(worker)


def waiting_tasks(fleet: Fleet, worker: Worker) -> int:
    """How many tasks wait of the project that a worker is for, or of all if it is for none."""
    project = worker.properties.get("project")
    jobs = (job for job in fleet.jobs.values() if not project or job.terms.spec.project == project)
    return sum(job.counts.get(TaskState.PENDING, 0) for job in jobs)


def job_row(fleet: Fleet, job: Job) -> JobRow:
    """A job as it stands."""
    counts, spec = job.counts, job.spec
    total = job.num_tasks
    ended = sum(count for state, count in counts.items() if is_task_finished(state))
    single = fleet.current(job.tasks[0]) if total == 1 and not job.is_fresh else None
    output = single.seen.output_path if single is not None and single.seen is not None else None
    if len(job.output_folders) == 1:
        output, _ = next(iter(job.output_folders))
    names = job.worker_names
    expected = estimate.estimate(fleet, spec) if fleet.kinds else None
    return JobRow(
        id=job.id,
        name=spec.title,
        project=spec.project,
        state=str(job.state),
        reason=_job_reason(fleet, job),
        priority=job.priority,
        num_tasks=total,
        task_counts={str(state): count for state, count in sorted(counts.items())},
        worker=single.worker_name if single is not None else next(iter(names)) if len(names) == 1 else None,
        output_path=output,
        submitted_by=job.submitted_by,
        created_at_ms=job.created_at_ms,
        started_at_ms=job.started_at_ms,
        finished_at_ms=job.finished_at_ms,
        progress=ended / total if total > 1 or ended else None,
        duration_ms_estimate=expected.mid_ms if expected is not None else None,
        duration_range=None if job.is_finished else expected,
        advance=_advance(fleet, job, ended),
        command=_command(spec),
        output_files=job.output_files,
        output_bytes=job.output_bytes,
        save_late=_save_late(fleet, job),
        place=job.number,
        waiting_since_ms=waiting_since_ms(job),
    )


def _save_late(fleet: Fleet, job: Job) -> tuple[int, ...]:
    held = (fleet.attempts.get(one) for one in job.open_attempts)
    late = sorted(
        one.index for one in held if one is not None and one.is_save_late and is_saving(one) and not one.is_finished
    )
    return tuple(late[:_SAVE_LATE_SHOWN])


def _command(spec: JobSpec) -> str:
    words = spec.command_of(0)
    text = shlex.join(word[:_COMMAND_SHOWN] for word in words[:_COMMAND_SHOWN])
    return text if len(text) <= _COMMAND_SHOWN else f"{text[: _COMMAND_SHOWN - 1]}…"


def _advance(fleet: Fleet, job: Job, ended: int) -> TaskProgress | None:
    if job.state is TaskState.SUCCEEDED:
        return None
    if job.num_tasks == 1 and not job.is_fresh and (job.is_finished or is_parked(fleet, job.tasks[0])):
        return _reached(fleet, job.tasks[0])
    if job.is_finished:
        return None
    held = (fleet.attempts.get(one) for one in job.open_attempts)
    live = [one for one in held if one is not None and one.state in {AttemptState.RUNNING, AttemptState.PAUSED}]
    running = [one.progress for one in live if one.progress is not None]
    total = job.num_tasks
    if total == 1:
        return running[0] if running else None
    if job.counts.get(TaskState.PAUSED) and total <= _PARKED_COUNTED:
        parked = [_reached(fleet, task) for task in job.tasks if is_parked(fleet, task)]
        running += [one for one in parked if one is not None]
    if not running and not ended:
        return None
    parts = sum(one.done / one.total for one in running)
    known = [one.eta_ms for one in running]
    eta_ms = max((one for one in known if one is not None), default=None) if len(running) == total - ended else None
    return TaskProgress(done=min(float(total), ended + parts), total=float(total), eta_ms=eta_ms)


def _reached(fleet: Fleet, task: Task) -> TaskProgress | None:
    """How far a task's last attempt was when it ended; nothing is left of that time."""
    attempt = fleet.current(task)
    if attempt is None or attempt.progress is None or not attempt.has_started:
        return None
    return TaskProgress(done=attempt.progress.done, total=attempt.progress.total)


def _job_reason(fleet: Fleet, job: Job) -> str:
    """Why a job is in its state: its own reason, or that of the first task in that state."""
    state = job.state
    if job.stop_reason and not job.is_finished:
        held_up = holding_up(fleet, job)
        return f"ending: {job.stop_reason}" + (f" (waits for {held_up})" if held_up else "")
    if state in {TaskState.PENDING, TaskState.BLOCKED} and job.reason:
        return job.reason
    if state is TaskState.BUILDING and (delivery := _delivery(fleet, job)):
        return delivery
    if job.num_tasks == 1 and (job.is_fresh or job.tasks[0].reason or state is not TaskState.HELD):
        return "" if job.is_fresh else job.tasks[0].reason
    if state is TaskState.SUCCEEDED:
        return ""
    found = (task.reason for task in _tasks_in(fleet, job, state) if task.state is state and task.reason)
    return next(found, "waits until somebody releases it" if state is TaskState.HELD else "")


def _delivery(fleet: Fleet, job: Job) -> str:
    """What a job waits for whose files have begun to come, where nobody who has them is there any more."""
    contents = contents_of(job.spec, job.handed.values())
    size_bytes = sum(one.size_bytes for one in contents)
    held = (fleet.attempts.get(one) for one in job.open_attempts)
    for attempt in sorted((one for one in held if one is not None), key=lambda one: one.index):
        worker = fleet.workers.get(attempt.worker_id)
        if worker is None or attempt.state is not AttemptState.BUILDING:
            continue
        said = attempt.progress
        done_bytes = int(said.done) if said is not None and said.total == size_bytes else 0  # else of another step
        begun = arriving(job, worker.contents, done_bytes)
        lacking = [one for one in contents if one.content_id not in worker.contents]
        if shortage := fleet.contents.shortage(lacking, fleet.workers, begun):
            return shortage
    return ""


def _tasks_in(fleet: Fleet, job: Job, state: TaskState) -> list[Task]:
    """Tasks among which are all in this state. For live states only those with an attempt are looked at: mostly few."""
    if state not in LIVE:
        return job.tasks
    held = (fleet.attempts.get(one) for one in job.open_attempts)
    return [job.tasks[index] for index in sorted({one.index for one in held if one is not None})]


def attempt_row(attempt: Attempt) -> AttemptRow:
    """An attempt as it stands."""
    seen = attempt.seen
    return AttemptRow(
        attempt=attempt.number,
        attempt_id=attempt.id,
        state=str(attempt.state),
        worker=attempt.worker_name,
        exit_code=seen.exit_code if seen is not None else None,
        signal=seen.signal if seen is not None else None,
        error=attempt.error,
        started_at_ms=seen.started_at_ms if seen is not None else None,
        finished_at_ms=(seen.finished_at_ms if seen is not None else None) or attempt.finished_at_ms,
        output_path=seen.output_path if seen is not None else None,
        workdir=seen.workdir if seen is not None else None,
        note=seen.note if seen is not None else "",
        gpu_ids=attempt.gpu_ids,
        peak_memory_mb=seen.peak_memory_mb if seen is not None else None,
        cpu_seconds=seen.cpu_seconds if seen is not None else None,
        ports=seen.ports if seen is not None else {},
        metrics=attempt.metrics,
        checkpoint=_checkpoint(attempt.checkpoint),
        resumed_from=_checkpoint(attempt.resumed_from),
        cause=attempt.cause,
        output_files=seen.output_files if seen is not None else None,
        output_bytes=seen.output_bytes if seen is not None else None,
        hint=attempt.hint,
        recognised=attempt.recognised,
        datasets=seen.datasets if seen is not None else (),
        expected=attempt.estimate,
    )


def _checkpoint(said: Checkpoint | None) -> CheckpointRow | None:
    return None if said is None else CheckpointRow(path=said.path, step=said.step, at_ms=said.at_ms)


def _newest_checkpoint(task: Task, rows: Sequence[AttemptRow]) -> CheckpointRow | None:
    """From what the task would go on, or else what an attempt of it saved last."""
    latest = task.latest
    if latest is None and task.kept is not None:
        said = task.kept.checkpoint
        return CheckpointRow(path=said.path, step=said.step, at_ms=said.at_ms, copied=True)
    if latest is None:
        return next((row.checkpoint for row in reversed(rows) if row.checkpoint is not None), None)
    said = latest.checkpoint
    return CheckpointRow(
        path=said.path, step=said.step, at_ms=said.at_ms, worker=latest.worker_name, copied=is_copied(task), note=task.uncopied
    )  # fmt: skip


def task_row(job: Job, task: Task, attempts: Sequence[Attempt], copy: OutputCopy | None = None) -> TaskRow:
    """A task with its attempts, oldest first. What is shown of the task itself is its last attempt's."""
    rows = tuple(attempt_row(attempt) for attempt in attempts)
    last = rows[-1] if rows else None
    current = attempts[-1] if attempts else None
    is_waiting = is_task_waiting(task.state)
    parameters: dict[str, Any] = dict(job.spec.parameters[task.index]) if job.spec.parameters else {}
    return TaskRow(
        id=job.task_id(task.index),
        index=task.index,
        state=str(task.state),
        reason=task.reason or (job.reason if is_waiting else ""),
        exit_code=last.exit_code if last is not None and not is_waiting else None,
        error=last.error if last is not None else (task.reason if is_task_finished(task.state) else ""),
        worker=last.worker if last is not None else None,
        attempt=last.attempt if last is not None else None,
        attempt_id=last.attempt_id if last is not None else None,
        started_at_ms=last.started_at_ms if last is not None else None,
        finished_at_ms=last.finished_at_ms if last is not None and not is_waiting else None,
        output_path=last.output_path if last is not None else None,
        resource_usage=current.usage if current is not None else None,
        progress=current.progress if current is not None and not current.is_finished else None,
        parameters=parameters,
        attempts=rows,
        cause=task.cause,
        output_files=last.output_files if last is not None else None,
        output_bytes=last.output_bytes if last is not None else None,
        collected=_collected_row(copy) if copy is not None else None,
        metrics=last.metrics if last is not None else {},
        checkpoint=_newest_checkpoint(task, rows),
        hint=last.hint if last is not None else "",
        recognised=last.recognised if last is not None else (),
        priority=task.priority,
    )


def _collected_row(copy: OutputCopy) -> CollectedRow:
    return CollectedRow(
        state=copy.state,
        attempt_id=copy.attempt_id,
        worker=copy.worker_name,
        content_id=copy.content_id,
        files=copy.files,
        bytes=copy.size_bytes,
        reason=copy.reason,
    )


def input_rows(spec: JobSpec, uploads: Sequence[Upload] | None = None) -> tuple[InputRow, ...]:
    """What a job is given, in the order in which its tasks find it: what lies on its worker, and then what it brings along.

    `uploads`: with the results that it was handed.
    """
    there = (InputRow(name=name, source="worker") for name in spec.inputs)
    brought = (
        InputRow(name=one.name, size=one.size_bytes, hash=one.content_id, source=one.host or "coordinator")
        for one in (spec.uploads if uploads is None else uploads)
    )
    return (*there, *brought)


def outputs_row(row: JobRow) -> OutputsRow:
    """What a job made."""
    return OutputsRow(path=row.output_path, files=row.output_files, bytes=row.output_bytes)


def candidates(
    fleet: Fleet,
    spec: JobSpec,
    now_ms: int,
    supplied: Collection[ContentId] = (),
    person: str = "",
    job_id: JobId | None = None,
) -> Candidates:
    """Every worker's verdict on a spec, best first, and in one line the decision of automatic placement, or what the job of a person would wait for.

    It is told from what workers have said so far. `supplied`: trees that will be there before the job is. `job_id`: what is reserved
    for that job is free to it. Raises InvalidRequest for a requirement that can't be read, and Conflict where the project takes no work.
    """
    check_takes_work(fleet, spec.project)
    demand, ahead = demand_for(placed(fleet, spec)), ahead_of_new(fleet, spec.priority, now_ms)
    count = spec.num_tasks if spec.gang else 1
    with without_offer(fleet, job_id):
        found = _verdicts(fleet, demand, ahead, now_ms, supplied)
        waits = standstill(fleet, spec.project) or refusal(fleet, spec.project, person, demand, count)
    if not waits:
        return found
    then = f"; after that on {found.text}" if found.chosen else f"; {found.text}"
    return msgspec.structs.replace(found, text=waits + then, chosen="", because="")


def demand_for(spec: JobSpec) -> Demand:
    """What a task of a job needs that isn't submitted yet. Raises InvalidRequest for a requirement that can't be read."""
    return Demand(spec, requirement.parse_all(spec.requirements))


def why(
    fleet: Fleet, job: Job, now_ms: int, index: int | None = None, ahead: Ahead = NOBODY
) -> tuple[str, tuple[Verdict, ...]]:
    """Why a job, or one of its tasks, stands where it stands, and what each worker says to it while it waits.

    Of a job that is under way it is also said why the next of its waiting tasks waits. `ahead`: who has a turn before it.
    """
    demand, task = waiting_demand(fleet, job, now_ms, index), _waiting_task(job, now_ms, index)
    words, verdicts = ("", ()) if demand is None else _why_it_waits(fleet, job, demand, task, now_ms, ahead)
    if index is not None and len(job.tasks) > 1:
        one = job.tasks[index]
        words = words or one.reason
        return f"task-{index} is {one.state}" + (f": {words}" if words else ""), verdicts
    if is_task_waiting(job.state) and demand is not None:
        return words, verdicts
    text = _job_reason(fleet, job) or _counts_text(job)
    return (text if task is None else f"{text}; task-{task.index} waits: {words}"), verdicts


def waiting_demand(fleet: Fleet, job: Job, now_ms: int, index: int | None = None) -> Demand | None:
    """What a task needs that waits for a worker: the one that was named, or the next of the job. None where none does."""
    task = _waiting_task(job, now_ms, index)
    if task is not None:
        return demand_of(job, task, bond_of(fleet, task))
    state = job.state if index is None else job.tasks[index].state
    return demand_of(job) if state is TaskState.BLOCKED else None


def _waiting_task(job: Job, now_ms: int, index: int | None) -> Task | None:
    """The task that waits for a worker: the one that was named, or the first of those whose time has come, or else of the others."""
    if job.stop_reason:
        return None
    tasks = job.tasks if index is None else job.tasks[index : index + 1]
    waiting = (task for task in tasks if task.state is TaskState.PENDING)
    return min(
        waiting,
        key=lambda task: (job.is_task_waiting(task.index), task.not_before_ms > now_ms, task.index),
        default=None,
    )


def _why_it_waits(
    fleet: Fleet, job: Job, demand: Demand, task: Task | None, now_ms: int, ahead: Ahead
) -> tuple[str, tuple[Verdict, ...]]:
    found = _verdicts(fleet, demand, ahead, now_ms)
    words = why_beside_workers(fleet, job, demand, task, now_ms)
    if not words:
        return found.text, found.verdicts
    return words, tuple(msgspec.structs.replace(one, said=False) for one in found.verdicts)


def _counts_text(job: Job) -> str:
    """The state of a job that has no reason, by its tasks' states, and on which workers they are or were."""
    names = sorted(job.worker_names)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    counts = ", ".join(f"{count} {state}" for state, count in job.counts.items() if count)
    return (str(job.state) if len(job.tasks) == 1 else counts) + (f" on {shown}" if shown else "")


def _verdicts(
    fleet: Fleet, demand: Demand, ahead: Ahead, now_ms: int, supplied: Collection[ContentId] = ()
) -> Candidates:  # fmt: skip
    ranking = Ranking(fleet, demand.spec, demand.job_id)
    shortage = shortage_of(fleet, demand, supplied)
    offers = judge_all(fleet.workers.values(), demand, fleet.questions.answers, shortage, now_ms)
    offers.sort(key=lambda offer: (not offer.accepted, offer.permanent, ranking.rank(offer)))
    starts = expected_starts(fleet, offers, demand, ahead, now_ms)
    rows = tuple(verdict(fleet, one, demand, ranking.known.on(one.worker), starts.get(one.worker.id)) for one in offers)
    best = ranking.choose(offers)
    if best is None:
        text, told = explain(offers, demand, partial(holders_words, fleet, with_gpus=demand.gpus > 0), guesses=True)
        rows = tuple(msgspec.structs.replace(one, said=one.worker_id in told) for one in rows)
        return Candidates(verdicts=rows, text=text + possible_start(fleet, offers, demand, now_ms))
    accepted = sum(offer.accepted for offer in offers)
    because = f"the best of {accepted} ({best.because})" if accepted > 1 else best.because
    because += f", {best.supply}" if best.supply else ""
    chosen = best.worker.name
    return Candidates(verdicts=rows, text=f"{chosen}: {because}", chosen=chosen, because=because)
