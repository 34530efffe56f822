"""What the coordinator knows, entity by entity. Times in Unix milliseconds of the coordinator's steady clock."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from opsconsole_coordinator.core.calendar import Booked
from opsconsole_coordinator.core.dependent import Dependent
from opsconsole_coordinator.core.live import Live
from opsconsole_coordinator.core.task import Fresh, Task
from opsconsole_coordinator.core.terms import Terms, terms_of, whole
from opsconsole_protocol.api import CopyState
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.estimate import Estimate
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, SessionId, TaskId, WorkerId, task_id
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.link import Gang, Gpu, Host, Observed, Resume, TaskProgress, TaskUsage, Trouble, Want
from opsconsole_protocol.mount import Mount, mounts_of
from opsconsole_protocol.report import Checkpoint
from opsconsole_protocol.requirement import Requirement
from opsconsole_protocol.share import EQUAL_SHARE, Share
from opsconsole_protocol.spec import JobSpec, Place
from opsconsole_protocol.state import (
    AttemptState,
    TaskState,
    WorkerConnection,
    WorkerStatus,
    is_attempt_finished,
    is_task_finished,
    job_state,
)

SYSTEM = "coordinator"
"""The coordinator as the one who did something, in events."""
LOCAL_FILESYSTEM = "local"
"""What agents call the filesystem of folders that no other host sees."""
CLOCK_CORRECTED_FROM_MS = 2_000
"""A worker's clock that differs by less counts as right: the heartbeat's way through a slow network may take that time."""


def worker_actor(name: str) -> str:
    """How events name a worker that did something. No person can have such a name."""
    return f"worker {name}"


def task_actor(task_id: str) -> str:
    """How events name a task that said something of itself. No person and no worker can have such a name."""
    return f"task {task_id}"


def job_folder(output_path: str, job_id: str) -> str:
    """The job's folder, in or at which an attempt wrote; empty where it isn't below a `jobs/` of its name."""
    before, mark, _ = f"{output_path}/".partition(f"/jobs/{job_id}/")
    return f"{before}/jobs/{job_id}" if mark else ""


class Attempt(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One execution of a task on one worker. Everything but the last group is stored."""

    id: AttemptId
    job_id: JobId
    index: int
    number: int
    worker_id: WorkerId
    worker_name: str
    state: AttemptState = AttemptState.ASSIGNED
    want: Want = Want()
    is_leaving: bool = False
    """It was told to save a checkpoint or to end, and goes on elsewhere or later; an operator's pause undoes that."""
    makes_way_for: JobId | None = None
    stopped_as: AttemptState = AttemptState.KILLED
    """What its end counts as once it was told to stop: killed; failed (its job timed out); preempted (its gang starts over)."""
    gpu_ids: tuple[str, ...] = ()
    share_mb: int = 0
    """How much of the memory of each of its GPUs it was promised; 0: it has them for itself."""
    shared_gpus: float = 0.0
    """How many GPUs its shares count as."""
    gang: Gang | None = None
    """Its rank, and the addresses of the attempts of its gang that were assigned with it."""
    promised: dict[str, float] = {}
    """What it asked for of its worker's `cpus` and `memory_mb`."""
    assigned_at_ms: int = 0
    estimate: Estimate | None = None
    """How long it was expected to take when it was assigned; None where nobody knew."""
    fills_until_ms: int = 0  # before then it was expected to have ended, in room that is kept for another job
    reported: bool = False
    """The agent has confirmed that it has this attempt: if it has it no longer, the attempt is lost."""
    lost: bool = False
    """Its worker was given up on; it still counts if the worker returns before a replacement is assigned."""
    seen: Observed | None = None
    """The latest report."""
    error: str = ""
    cause: str = ""
    """An EndCause: why it ended, or was given up on."""
    stop_cause: str = ""
    """What its end is put down to once it was told to stop."""
    finished_at_ms: int | None = None
    open: bool = True
    """Its worker may not forget it yet: it hasn't ended, or its logs aren't complete."""
    metrics: dict[str, float] = {}
    """The last values that it reported, by name; stored when it has ended."""
    recognised: tuple[str, ...] = ()
    """Those of them that weren't reported, but read in what it printed."""
    checkpoint: Checkpoint | None = None
    """The last that it reported."""
    save_asked_ms: int | None = None
    """When it was first asked to save a checkpoint for a pause: from then on its exit code 85 means that it has."""
    resume: Resume | None = None
    """How its worker was told where it goes on; None: it begins at the beginning."""
    resumed_from: Checkpoint | None = None
    log_offsets: dict[str, int] = {}
    usage: TaskUsage | None = None
    is_share_exceeded: bool = False
    """It holds more GPU memory than it asked for, and an event has told so."""
    progress: TaskProgress | None = None
    progress_first: tuple[int, float] | None = None
    """When it first reported progress (its worker's clock, ms), and how far it was; None while it hasn't."""
    checkpoint_told_ms: int | None = None
    """When an event last told of a checkpoint."""
    is_save_late: bool = False
    """It hasn't saved a checkpoint in the time that its job gives it, and an operator was told."""
    assigned_seq: int = 0
    """The `seq` of the message that assigned it, in the present session."""

    @property
    def actor(self) -> str:
        """How events name who did what its worker told of it."""
        return worker_actor(self.worker_name)

    @property
    def gpus(self) -> float:
        """How many GPUs it counts as."""
        return self.shared_gpus if self.share_mb else len(self.gpu_ids)

    @property
    def is_finished(self) -> bool:
        """Whether it has ended."""
        return is_attempt_finished(self.state)

    @property
    def hint(self) -> str:
        """What to do about its error, as its worker says, who can't know that it was asked to save and to end."""
        return "" if self.seen is None or self.cause == EndCause.CHECKPOINTED else self.seen.hint

    @property
    def has_started(self) -> bool:
        """Whether a process of it ever ran."""
        return self.seen is not None and self.seen.started_at_ms is not None

    @property
    def is_log_complete(self) -> bool:
        """Whether every byte that the agent announced is stored here."""
        sizes = self.seen.log_sizes if self.seen is not None else {}
        return all(self.log_offsets.get(source, 0) >= size for source, size in sizes.items())


class Job(Dependent, kw_only=True, omit_defaults=True):
    """A submitted job. The spec is stored once; the last group is derived."""

    id: JobId
    terms: Terms
    """Its spec but for what is its own: enough for all that is looked at while it waits."""
    own: bytes = b""
    """What is its own of its spec (`terms.py`); empty where its terms have all of it."""
    seq: int
    created_at_ms: int
    finished_at_ms: int | None = None
    kept_tasks: list[Task] | Fresh = msgspec.field(default_factory=list)
    """Its tasks, or how all of them stand; their number is its length."""
    counts: Mapping[TaskState, int] = msgspec.field(default_factory=dict)
    """How many of its tasks are in each state. Others may have the same object: it is replaced, never changed."""
    ready: list[int] | range = range(0)
    """A heap of the ranks of those pending tasks that don't wait for others on their own (`ready.py`)."""
    open_attempts: AbstractSet[AttemptId] = frozenset()
    turn_until_ms: int = 0
    """When a gang's turn to reserve workers ends, or ended."""
    turns: int = 0
    """How many turns have ended without the gang being placed."""
    way_until_ms: int = 0
    """No more tasks are told to make way for it before then; 0 once one of its own is placed."""
    guess_ms: int = 0
    """How long after their assignment its tasks are guessed to have ended; 0: nobody knows."""

    @property
    def spec(self) -> JobSpec:
        """What its submitter said. Who looks through all jobs that wait asks `terms` instead."""
        return whole(self.terms, self.own) if self.own else self.terms.spec

    @spec.setter
    def spec(self, spec: JobSpec) -> None:
        self.terms, self.own = terms_of(spec), b""

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Those of its spec, read."""
        return self.terms.requirements

    @property
    def fault(self) -> str:
        """Why its stored spec can't be used, and none of its tasks is placed; empty where it can."""
        return self.terms.fault

    @property
    def tasks(self) -> list[Task]:
        """Its tasks, each by itself from now on."""
        if isinstance(self.kept_tasks, Fresh):
            self.kept_tasks = self.kept_tasks.make()
        return self.kept_tasks

    def look_at_tasks(self) -> list[Task]:
        """Its tasks, for reading only: they stay in few words where they are."""
        return self.kept_tasks.make() if isinstance(self.kept_tasks, Fresh) else self.kept_tasks

    @property
    def num_tasks(self) -> int:
        """How many tasks it has."""
        return len(self.kept_tasks)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has happened yet to any of its tasks."""
        return isinstance(self.kept_tasks, Fresh)

    @property
    def state(self) -> TaskState:
        """Derived from the tasks."""
        return job_state(self.counts)

    @property
    def is_finished(self) -> bool:
        """Whether all tasks have ended."""
        return is_task_finished(self.state)

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """What its tasks find after their inputs: what it brought along, and then the results that it was given."""
        if not self.handed:
            return self.terms.spec.uploads
        found = (
            self.handed.get(task_id(JobId(one.job), index))
            for one in self.spec.taken
            for index in range(self.expected.get(JobId(one.job), len(self.handed)))
        )
        return (*self.spec.uploads, *filter(None, found))

    @property
    def number(self) -> int:
        """Where it stands among jobs that are as urgent, and whose turn it is as much: first come, unless somebody moved it."""
        return self.place or self.seq

    def note_open(self, attempt_id: AttemptId) -> None:
        """One of its attempts is open. A job that never had any, as most that wait, has no set of its own."""
        if isinstance(self.open_attempts, set):
            self.open_attempts.add(attempt_id)
            return
        self.open_attempts = {attempt_id}
        if self.own:
            self.terms, self.own = msgspec.structs.replace(self.terms, spec=self.spec), b""

    def can_start(self, task: Task) -> bool:
        """Whether one of its tasks waits for nothing but a worker, as far as other jobs and operators are concerned."""
        return task.state is TaskState.PENDING and not self.is_task_waiting(task.index)

    def task_id(self, index: int) -> TaskId:
        """The id of one of its tasks."""
        return task_id(self.id, index)


copy_job: Callable[[Job], Job] = Job.__copy__  # type: ignore[attr-defined]  # msgspec's, which `copy.copy` looks for each time


class Reserved(msgspec.Struct, frozen=True):
    """What is kept free on a worker for a job that doesn't fit yet: for several tasks of a gang, or for one task."""

    job_id: JobId
    slots: int
    gpu_ids: frozenset[str]
    promised: dict[str, float]
    """What those tasks take together of `cpus` and `memory_mb`."""
    shares: dict[str, int] = {}
    """How much memory of each GPU, for tasks that share them."""
    gang: bool = True
    with_gpus: bool = False
    """The slot is kept from tasks with GPUs only: a task with GPUs doesn't wait for those without."""
    has_cleared: bool = False
    """Others make way for it there."""
    until_ms: int = 0
    """Its job is expected to start no earlier than then: what has ended before may have the room. 0: nobody knows."""
    is_overstayed: bool = False  # by something that was only guessed to have ended by now

    def is_of(self, gpu_id: str) -> bool:
        """Whether anything of a GPU is kept."""
        return gpu_id in self.gpu_ids or gpu_id in self.shares


class ProjectStatus(StrEnum):
    """Whether a project's jobs run, wait, or are refused."""

    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class Project(msgspec.Struct, kw_only=True):
    """A named queue of jobs. One that nobody has set is active and isn't stored."""

    name: str
    description: str = ""
    status: ProjectStatus = ProjectStatus.ACTIVE
    created_at_ms: int = 0
    updated_at_ms: int = 0
    share: Share = EQUAL_SHARE
    preemptible: bool = False
    place: Place | None = None
    """Where tasks of its jobs go that don't say."""


class WorkerRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is stored of a worker."""

    id: WorkerId
    name: str
    tags: tuple[str, ...] = ()
    properties: dict[str, Any] = {}
    max_concurrent_jobs: int = 1
    gpus: tuple[Gpu, ...] = ()
    maintenance: bool = False
    drain_reason: str = ""
    drain_until_ms: int | None = None
    """When what still runs here while it is in maintenance leaves."""
    is_named: bool = False
    """An invitation gave it its name; what the agent calls itself doesn't count."""
    revoked: bool = False
    boot_id: str = ""
    joined_at_ms: int = 0
    last_seen_ms: int = 0


class Worker(WorkerRecord, kw_only=True, omit_defaults=True):
    """A host's agent as the coordinator sees it."""

    session: SessionId | None = None
    run_id: str = ""
    dial: int = 0
    seq: int = 0
    heard_at_ms: int = 0
    clock_behind_ms: int = 0
    """How far its clock was behind ours at its last heartbeat."""
    connection: str = WorkerConnection.SILENT
    host: Host = Host()
    gpu_message: str = ""
    live: Live[Attempt] = msgspec.field(default_factory=Live)
    """Attempts that hold a slot here: assigned and not ended, the lost ones too."""
    ended: dict[AttemptId, Attempt] = {}
    """Attempts that have ended, but that the worker still holds: parts of their logs are outstanding."""
    failed_jobs: set[JobId] = set()
    """The jobs whose attempts failed here since one succeeded, for reasons that may be the jobs' own."""
    failed_people: set[str] = set()
    """The people who submitted those jobs."""
    faults_in_row: int = 0
    """How many attempts failed here since one succeeded, for reasons that are this worker's own."""
    failed_gpus: dict[str, int] = {}
    """When an attempt last failed on a GPU, by the GPU's UUID; only recent failures."""
    avoided_until_ms: int = 0
    avoided_after: str = ""
    reserved: Reserved | None = None
    booked: Booked | None = None
    """What operators have reserved of it; None where that is nothing."""
    troubles: tuple[Trouble, ...] = ()
    """All that its agent says is wrong with it."""
    unproved: set[AttemptId] = set()
    """Attempts that it claims to have of tasks that wait, without proof that they were given to it."""
    mounts: tuple[Mount, ...] = ()
    """The folders in which it may have inputs, by its properties."""
    contents: set[ContentId] = set()
    """The trees that it has whole, as far as it has said so since it connected."""

    def describe(self, properties: dict[str, Any]) -> None:
        """Take its properties, and what follows from them."""
        self.properties = properties
        self.mounts = mounts_of(properties)

    @property
    def actor(self) -> str:
        """How events name this worker."""
        return worker_actor(self.name)

    @property
    def filesystem(self) -> str:
        """The label of the filesystem that its folders are on; empty where its agent didn't say."""
        return str((self.properties.get("io_paths") or {}).get("filesystem") or "")

    @property
    def output_place(self) -> str:
        """What tells output folders of the same path apart: the worker, or the filesystem that it shares with others."""
        return self.id if self.filesystem in {"", LOCAL_FILESYSTEM} else self.filesystem

    @property
    def is_reachable(self) -> bool:
        """Whether a message to it would arrive: it is connected and not silent."""
        return self.connection == WorkerConnection.CONNECTED and self.session is not None

    def here_ms(self, at_ms: int, now_ms: int) -> int:
        """A time that this worker told, on the coordinator's clock; never later than now, whatever the worker says."""
        is_wrong = abs(self.clock_behind_ms) >= CLOCK_CORRECTED_FROM_MS
        return min(now_ms, at_ms + self.clock_behind_ms if is_wrong else at_ms)

    def facts(self) -> dict[str, Any]:
        """What requirements and filters are matched against: tags, properties, and the worker's own fields by their names."""
        tags: dict[str, Any] = {}
        for tag in self.tags:
            key, _, value = tag.partition("=")
            tags[key] = value or True
        return {
            **tags,
            **self.properties,
            "name": self.name,
            "id": self.id,
            "tags": self.tags,
            "status": self.status,
            "connection": self.connection,
        }

    @property
    def is_in_maintenance(self) -> bool:
        """Whether it takes nothing because an operator drained it, or a window of maintenance has begun."""
        current = None if self.booked is None else self.booked.current
        return self.maintenance or (current is not None and current.maintenance)

    @property
    def status(self) -> str:
        """`maintenance`, `busy` (no slot is free or usable), `reserved` (all free slots are kept for a job) or `available`."""
        current = None if self.booked is None else self.booked.current
        if self.is_in_maintenance:
            return WorkerStatus.MAINTENANCE
        free = self.slots_left()
        if free <= 0 or any(one.blocks for one in self.troubles):
            is_reserved = free + len(self.live.offers) > 0 and not self.troubles
            return WorkerStatus.RESERVED if is_reserved else WorkerStatus.BUSY
        kept = self.reserved
        is_kept = kept is not None and not kept.with_gpus and kept.slots >= free
        is_kept = is_kept or (current is not None and current.gpus is None)
        return WorkerStatus.RESERVED if is_kept else WorkerStatus.AVAILABLE

    def slots_left(self, *, with_gpus: bool = False) -> int:
        """How many more tasks could start; below 0 where tasks were assigned ahead of a slot.

        Tasks with GPUs don't wait for the slots of those without; the agent counts slots in the same way.
        """
        load = self.live.load
        return self.max_concurrent_jobs - (load.with_gpus if with_gpus else load.slots)


OutputKey = tuple[JobId, int]
"""A job, and the index of one of its tasks."""


class OutputCopy(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The results of one task, as its last attempt left them. Everything but the last group is stored."""

    job_id: JobId
    index: int
    attempt_id: AttemptId
    worker_id: WorkerId
    worker_name: str
    place: str
    """The worker, or the filesystem that it shares with others: `Worker.output_place`."""
    output_path: str = ""
    """Where they lie there; empty where the worker keeps them elsewhere, for want of an output folder."""
    state: CopyState = CopyState.WANTED
    content_id: ContentId | None = None
    """The tree that the coordinator keeps; None where nothing matched."""
    files: int = 0
    size_bytes: int = 0
    reason: str = ""
    """Why it failed, or failed last."""
    patterns: tuple[str, ...] = ()
    """The job's, by which files are chosen."""
    is_asked: bool = False
    """The shell fetches it, and will say what came of that."""
    tries: int = 0
    not_before_ms: int = 0

    @property
    def key(self) -> OutputKey:
        """Its job and task."""
        return self.job_id, self.index


class Collect(NamedTuple):
    """What the shell is to fetch now, and from which worker."""

    copy: OutputCopy
    worker_id: WorkerId
