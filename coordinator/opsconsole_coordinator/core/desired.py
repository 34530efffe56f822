"""A worker's desired set: which attempts it should have and how, and the messages that tell it so."""

import json

from opsconsole_coordinator.core.collecting import want_outputs
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import LOCAL_FILESYSTEM, Attempt, Job, Worker
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.spec import REPEAT, JobSpec
from opsconsole_protocol.state import AttemptState, TaskState


def set_want(fleet: Fleet, attempt: Attempt, want: link.Want) -> None:
    """Change what is wanted of a live attempt, and tell its worker."""
    if attempt.want == want:
        return
    attempt.want = want
    fleet.touch_attempt(attempt)
    worker = fleet.workers.get(attempt.worker_id)
    if worker is not None:
        fleet.send(worker, link.SetWant(seq=fleet.next_seq(worker), attempt_id=attempt.id, want=want))


def desired_of(fleet: Fleet, job: Job, attempt: Attempt) -> link.Desired:
    """The attempt as it is told to its worker."""
    spec = job.spec
    return link.Desired(
        attempt_id=attempt.id,
        want=attempt.want,
        log_offsets=dict(attempt.log_offsets),
        launch=link.Launch(
            job_id=job.id,
            task_id=job.task_id(attempt.index),
            task_index=attempt.index,
            num_tasks=spec.num_tasks,
            attempt=attempt.number,
            command=spec.command_of(attempt.index),
            name=spec.title,
            environment={**_parameters(spec, attempt.index), **spec.environment},
            workdir=spec.workdir,
            resources=spec.resources,
            gpu_ids=attempt.gpu_ids,
            gpu_sizes_mb=_sizes(fleet, attempt) if attempt.share_mb else (),
            inputs=spec.inputs,
            ports=spec.ports,
            timeout_ms=spec.timeout_ms,
            fence_after_ms=spec.fence_after_ms,
            gang=attempt.gang,
            uploads=job.uploads,
            bundle=spec.bundle,
            setup=spec.setup,
            metric_pattern=spec.metric_pattern,
            collect=spec.collect,
            datasets=spec.datasets,
            resume=attempt.resume,
            pause_signal=spec.pause_signal,
            follows=_follows(fleet, job.tasks[attempt.index], attempt),
            seal=fleet.seal.of_attempt(attempt.worker_id, attempt.id, fleet.seq),
        ),
    )


def _sizes(fleet: Fleet, attempt: Attempt) -> tuple[int, ...]:
    worker = fleet.workers.get(attempt.worker_id)
    known = {gpu.uuid: gpu.memory_total_mb or 0 for gpu in worker.gpus} if worker is not None else {}
    return tuple(known.get(one, 0) for one in attempt.gpu_ids)


def _parameters(spec: JobSpec, index: int) -> dict[str, str]:
    """How a task finds the values of its parameters, and the number of its repeat."""
    if not spec.parameters:
        return {}
    values = spec.parameters[index]
    told = {"OPSCONSOLE_PARAMETERS": json.dumps(values, ensure_ascii=True, default=str)}
    return told | ({"OPSCONSOLE_REPEAT": str(values[REPEAT])} if REPEAT in values else {})


def _follows(fleet: Fleet, task: Task, attempt: Attempt) -> bool:
    """Whether no earlier attempt can still be writing where this one will: all have ended, or are on another disk."""
    if not task.strays:
        return True
    worker = fleet.workers.get(attempt.worker_id)
    is_local = worker is not None and worker.filesystem == LOCAL_FILESYSTEM
    return is_local and attempt.worker_id not in task.strays


def send_desired(fleet: Fleet, worker: Worker) -> None:
    """Tell a worker its whole desired set."""
    wanted = [
        desired_of(fleet, fleet.jobs[attempt.job_id], attempt)
        for attempt in worker.live.values()
        if not attempt.is_finished and not attempt.lost
    ]
    seq = fleet.next_seq(worker)
    for attempt in worker.live.values():
        attempt.assigned_seq = seq
    fleet.send(
        worker, link.DesiredSet(seq=seq, attempts=tuple(wanted), adopting=fleet.adopting or bool(worker.unproved))
    )


def add_attempt(fleet: Fleet, job: Job, task: Task, worker: Worker, attempt: Attempt, now_ms: int) -> None:
    """Make a new attempt its task's current one, and give it a slot on its worker."""
    fleet.release_attempt(task)
    fleet.attempts[attempt.id] = attempt
    job.note_open(attempt.id)
    if worker.name not in job.worker_names:
        job.worker_names |= {worker.name}
    task.attempts = attempt.number + 1
    task.current = attempt.id
    fleet.set_task(job, task, TaskState.ASSIGNED)
    fleet.touch_attempt(attempt)
    fleet.hold_slot(job, worker, attempt, now_ms)


def forget(fleet: Fleet, attempt: Attempt) -> None:
    """An attempt's end is noted and its log complete: tell its worker that it may forget the attempt."""
    fleet.close_attempt(attempt)
    job = fleet.jobs.get(attempt.job_id)
    if job is not None:
        want_outputs(fleet, job, attempt)
    worker = fleet.workers.get(attempt.worker_id)
    if worker is not None:
        accepted = (attempt.id,) if _is_to_be_published(fleet, attempt) else ()
        fleet.send(worker, link.Forget(seq=fleet.next_seq(worker), attempt_ids=(attempt.id,), accepted=accepted))


def _is_to_be_published(fleet: Fleet, attempt: Attempt) -> bool:
    """Whether the attempt's result is its task's and lies in a folder of its own, from which it has to be moved."""
    job = fleet.jobs.get(attempt.job_id)
    if job is None or attempt.state is not AttemptState.SUCCEEDED:
        return False
    task = job.tasks[attempt.index]
    return task.current == attempt.id and bool(task.strays)
