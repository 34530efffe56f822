"""What a job's tasks ask of a worker."""

from copy import copy
from typing import NamedTuple

import msgspec
from msgspec.structs import force_setattr

from opsconsole_coordinator.core.content import Content, contents_of
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.link import QuestionKind
from opsconsole_protocol.requirement import Requirement
from opsconsole_protocol.spec import JobSpec

SHORT_TASK_MS = 100
"""Tasks that take less than this are assigned ahead of a free slot, so that none waits for a round trip."""
PREFETCH_MAX = 64
"""How many tasks at most are assigned to a worker ahead of its free slots."""
STARTS_WITHIN_MS = 5_000
"""How long a task at most is thought to take from its assignment to its start, where its worker has nothing to fetch for it."""
AVOID_WAIT_MS = 60_000
"""How long a task waits for a worker on which it hasn't failed yet, if there is one."""


class Bond(NamedTuple):
    """The disk from which alone a task can go on (a worker, or `Worker.output_place`), and that in words; empty where any will do."""

    place: str = ""
    words: str = ""


ANYWHERE = Bond()


class Demand(msgspec.Struct, frozen=True):
    """What a task needs of its worker; one demand serves all tasks of a job that avoid the same workers."""

    spec: JobSpec
    requirements: tuple[Requirement, ...]
    prefetch: int = 0
    avoid: tuple[str, ...] = ()
    job_id: JobId | None = None
    """The job that asks: what is reserved for this job is free to it."""
    bond: Bond = ANYWHERE
    """The only disk from which the task can go on."""
    kept: Content | None = None
    """The copy of a checkpoint from which it goes on where that disk isn't."""
    handed: tuple[Upload, ...] = ()
    """The results of other jobs that its own was given."""
    guess_ms: int = 0
    """How long after its assignment it is guessed to have ended; 0: nobody knows."""
    person: str = ""
    """Who submitted the job; empty where it isn't submitted yet."""
    takes_reserved: bool = False
    """It is asked what workers would say if nothing was reserved."""
    takes_avoided: bool = False
    """Workers that are avoided for a while may accept, because no other worker will do."""
    # Derived once, because thousands of workers are judged by it:
    named: tuple[str, ...] = ()
    gpus: int = 0
    """How many GPUs a task gets."""
    share_mb: int = 0
    """How much of each one's memory, where it shares them; 0 where it has them for itself."""
    capacities: tuple[tuple[float, str], ...] = ()
    """What a task takes of a worker's capacities: how much, and of which property."""
    files: tuple[tuple[QuestionKind, str], ...] = ()
    """What a task has to find on its worker: its working folder, its input files and its datasets."""
    within_ms: int = 0
    """How long after its assignment it has ended for sure; 0: nobody knows."""
    contents: tuple[Content, ...] = ()
    """What the job brings along; its worker is sent what it lacks."""

    def __post_init__(self) -> None:
        spec, needs = self.spec, self.spec.resources
        folder = () if spec.workdir is None else ((QuestionKind.FOLDER, spec.workdir),)
        for name, value in (
            ("named", spec.named_workers),
            ("gpus", needs.gpus_asked),
            ("share_mb", needs.share_mb),
            ("capacities", tuple((need, key) for key, need in promised_of(spec).items())),
            (
                "files",
                (
                    *folder,
                    *((QuestionKind.INPUT, one) for one in spec.inputs),
                    *((QuestionKind.DATASET, one) for one in spec.datasets_there),
                ),
            ),
            ("within_ms", within_ms(spec)),
            ("contents", contents_of(spec, self.handed) + (() if self.kept is None else (self.kept,))),
        ):
            force_setattr(self, name, value)

    def of_job(self, job: Job) -> "Demand":
        """That of another job of the same group (`order.py`), whose tasks need the same."""
        if self.handed or job.handed:
            return demand_of(job)
        found = copy(self)
        for name, value in (("spec", job.spec), ("job_id", job.id), ("guess_ms", job.guess_ms)):
            force_setattr(found, name, value)
        return found


def demand_of(job: Job, task: Task | None = None, bond: Bond = ANYWHERE, *, may_avoid: bool = True) -> Demand:
    """What one of the job's tasks needs; without a task, what any of them needs that has no demands of its own."""
    if task is None:
        return Demand(
            job.spec,
            job.requirements,
            prefetch_of(job),
            (),
            job.id,
            handed=tuple(job.handed.values()),
            guess_ms=job.guess_ms,
            person=job.submitted_by,
        )
    avoid = task.avoid if may_avoid else ()
    handed = tuple(job.handed.values())
    return Demand(
        job.spec,
        job.requirements,
        prefetch_of(job),
        avoid,
        job.id,
        bond,
        _kept(task, bond),
        handed,
        job.guess_ms,
        job.submitted_by,
    )


def within_ms(spec: JobSpec) -> int:
    """Within how long of its assignment a task has ended for sure, if nobody pauses it; 0 where nothing bounds that.

    Its time-out doesn't count what its worker fetches and sets up before its start.
    """
    if spec.timeout_ms is None or spec.setup or spec.uploads or spec.bundle is not None or spec.takes or spec.datasets:
        return 0
    return rounded_up(spec.timeout_ms + spec.grace_ms + STARTS_WITHIN_MS)


def rounded_up(bound_ms: int) -> int:
    """A bound of one of few lengths, by an eighth longer at most: so that jobs with bounds still ask alike."""
    step = 1 << max(0, bound_ms.bit_length() - 4)
    return -(-bound_ms // step) * step


def is_particular(task: Task) -> bool:
    """Whether it has demands of its own, beside those of its job."""
    return bool(task.avoid) or task.latest is not None or task.kept is not None


def _kept(task: Task, bond: Bond) -> Content | None:
    if task.kept is None or bond.place:
        return None
    is_there = task.latest is not None and task.latest.checkpoint == task.kept.checkpoint
    place = task.latest.place if task.latest is not None and is_there else ""
    return Content(task.kept.content_id, task.kept.size_bytes, "its checkpoint", place=place)


def prefetch_of(job: Job) -> int:
    """How many tasks are assigned beyond a worker's slots: as many as take SHORT_TASK_MS one after the other."""
    if job.mean_duration_ms is None or job.mean_duration_ms >= SHORT_TASK_MS or job.terms.spec.resources.gpus_asked:
        return 0
    if job.spec.gang:
        return 0  # its tasks start together
    return min(PREFETCH_MAX, int(SHORT_TASK_MS / max(job.mean_duration_ms, 1)))


def promised_of(spec: JobSpec) -> dict[str, float]:
    """What one task is promised of its worker's capacities."""
    asked = (("cpus", spec.resources.cpus), ("memory_mb", spec.resources.memory_mb))
    return {key: float(need) for key, need in asked if need}


def kind_of(spec: JobSpec) -> str:
    """Jobs of one kind are expected to take as long as each other: those of one project with the same template or name."""
    return kind_named(spec, spec.title)


def kind_named(spec: JobSpec, title: str) -> str:
    """The kind of a spec whose title is known."""
    return f"{spec.project}\0{spec.template or title}"
