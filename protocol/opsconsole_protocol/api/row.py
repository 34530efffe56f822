"""What is shown of the fleet, and printed by `--json`."""

from enum import StrEnum
from typing import Any

import msgspec

from opsconsole_protocol.dataset import FoundDataset
from opsconsole_protocol.estimate import Estimate
from opsconsole_protocol.link import Gpu, Host, TaskProgress, TaskUsage
from opsconsole_protocol.share import EQUAL_SHARE, NO_LIMITS, Limits, Share
from opsconsole_protocol.spec import JobSpec, Place


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is shown. Every field is always present; times are Unix milliseconds, memory is MiB."""


class SharedGpu(Row, frozen=True, kw_only=True):
    """A GPU that tasks share: how many do, how much of its memory they asked for together, and how much is left for others."""

    uuid: str
    tasks: int
    asked_mb: int
    left_mb: int


class ReservationRow(Row, frozen=True, kw_only=True):
    """Workers that are for one project or person, or in `maintenance`, from a time until another."""

    id: str
    workers: tuple[str, ...]
    project: str
    person: str
    maintenance: bool
    gpus: int | None
    """How many GPUs of each; null: the whole worker."""
    from_ms: int
    until_ms: int
    reason: str
    made_by: str
    in_force: bool
    """Whether it has begun."""


class WorkerRow(Row, frozen=True, kw_only=True):
    """A worker. `status` is available, reserved, busy or maintenance; `connection` is connected, silent or lost."""

    id: str
    name: str
    status: str
    connection: str
    tags: tuple[str, ...]
    properties: dict[str, Any]
    gpus: tuple[Gpu, ...]
    running_tasks: int
    last_seen_ms: int | None
    max_concurrent_jobs: int = 1
    gpus_free: tuple[str, ...] = ()
    gpu_message: str = ""
    host: Host = Host()
    attention: str = ""
    """What an operator should know about this worker, in one line; empty when all is well."""
    avoided_until_ms: int | None = None
    """Until when jobs are sent elsewhere where they can be, because some failed here lately."""
    drain_reason: str = ""
    """Why it was drained, as the operator said."""
    drain_until_ms: int | None = None
    """When what still runs there leaves."""
    gpus_shared: tuple[SharedGpu, ...] = ()
    reservation: ReservationRow | None = None
    """The reservation of it that is in force, or else the next; of its workers this one alone is named."""


class JobRow(Row, frozen=True, kw_only=True):
    """A job. `worker` and `output_path` are null where there is none, or more than one."""

    id: str
    name: str
    project: str
    state: str
    reason: str
    priority: int
    num_tasks: int
    task_counts: dict[str, int]
    worker: str | None
    output_path: str | None
    submitted_by: str
    created_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    progress: float | None = None
    """The part of its tasks that has finished, 0 to 1."""
    duration_ms_estimate: int | None = None
    """How long similar jobs of this project took: the middle of `duration_range`."""
    duration_range: Estimate | None = None
    """How long one of its tasks is expected to take; null of a job that has ended, and where nothing like it ever succeeded."""
    command: str = ""
    """What its first task runs, as a shell would read it, cut where it is long."""
    advance: TaskProgress | None = None
    """How far it is by what its tasks print: in the steps of its only task, or else in tasks, each running one as a fraction.

    Of a job that a checkpoint paused, or that ended without success: how far it was then.
    """
    output_files: int | None = None
    """How many files its tasks left in their output folders; null while none has ended, and where no worker said."""
    output_bytes: int | None = None
    save_late: tuple[int, ...] = ()
    """Its tasks, by their indices, that haven't saved the checkpoint in time that they were asked for: the first hundred of them."""
    place: int = 0
    """Where it stands among waiting jobs of one priority, person and project: the least is next. It counts up, with gaps."""
    waiting_since_ms: int | None = None
    """Since when it could have begun, and hasn't; null while it is held or waits for other jobs, and once it has begun."""


class CheckpointRow(Row, frozen=True, kw_only=True):
    """What a task can go on from: a file or folder on its worker, and the step that it was at."""

    path: str
    step: float | None
    at_ms: int
    worker: str = ""
    """Where it lies."""
    copied: bool = False
    """Whether the coordinator has a copy, so that any worker can go on from it."""
    note: str = ""
    """Why there is no copy, where none is to come."""


class AttemptRow(Row, frozen=True, kw_only=True):
    """One execution of a task."""

    attempt: int
    attempt_id: str
    state: str
    worker: str
    exit_code: int | None
    signal: int | None
    error: str
    started_at_ms: int | None
    finished_at_ms: int | None
    output_path: str | None = None
    workdir: str | None = None
    note: str = ""
    gpu_ids: tuple[str, ...] = ()
    peak_memory_mb: int | None = None
    cpu_seconds: float | None = None
    ports: dict[str, int] = {}
    metrics: dict[str, float] = {}
    """The last values that it reported, by name."""
    checkpoint: CheckpointRow | None = None
    cause: str = ""
    """An EndCause: why it ended; empty while it hasn't, and where that isn't known."""
    output_files: int | None = None
    """How many files lay in its output folder at its end; null where that isn't known."""
    output_bytes: int | None = None
    resumed_from: CheckpointRow | None = None
    """Where it went on; null: it began at the beginning."""
    hint: str = ""
    """What to do about `error`, or what it means."""
    recognised: tuple[str, ...] = ()
    """Those of its metrics that it didn't report: they were read in what it printed."""
    datasets: tuple[FoundDataset, ...] = ()
    """What was found at its job's datasets before its start."""
    expected: Estimate | None = None
    """How long it was expected to run when it was assigned; null where nobody knew."""


class CopyState(StrEnum):
    """How far the coordinator is with keeping a task's results."""

    WANTED = "wanted"
    KEPT = "kept"
    FAILED = "failed"


class CollectedRow(Row, frozen=True, kw_only=True):
    """What the coordinator has of a task's results. `state` is a CopyState; `reason` says why it has none, or none yet.

    `content_id` is the tree that it keeps; null where it has none, or nothing matched.
    """

    state: str
    attempt_id: str
    worker: str
    content_id: str | None = None
    files: int = 0
    bytes: int = 0
    reason: str = ""


class TaskRow(Row, frozen=True, kw_only=True):
    """A task with its latest attempt."""

    id: str
    index: int
    state: str
    reason: str
    exit_code: int | None
    error: str
    worker: str | None
    attempt: int | None
    attempt_id: str | None
    started_at_ms: int | None
    finished_at_ms: int | None
    output_path: str | None = None
    resource_usage: TaskUsage | None = None
    progress: TaskProgress | None = None
    parameters: dict[str, Any] = {}
    attempts: tuple[AttemptRow, ...] = ()
    cause: str = ""
    """An EndCause: why it ended, if it did other than well."""
    output_files: int | None = None
    """As its last attempt's."""
    output_bytes: int | None = None
    collected: CollectedRow | None = None
    """What the coordinator keeps of its results; null where the job asks for nothing, or hasn't ended."""
    metrics: dict[str, float] = {}
    """The last values that it reported, by name."""
    checkpoint: CheckpointRow | None = None
    """The newest one of all its attempts."""
    hint: str = ""
    """As its last attempt's."""
    recognised: tuple[str, ...] = ()
    """Those of its metrics that it didn't report: they were read in what it printed."""
    priority: int | None = None
    """Its own, where that isn't its job's."""


class MetricRow(Row, frozen=True, kw_only=True):
    """One metric of a run: how many points it has, the last one with its step, and the least and greatest finite value.

    `x` and `y`, where points were asked for, are those that a picture needs, in the order of `x`: steps, or Unix milliseconds.
    """

    name: str
    points: int
    last: float
    last_step: float
    least: float
    greatest: float
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    is_recognised: bool = False
    """The task didn't report it: it was read in what the task printed."""


class RunRow(Row, frozen=True, kw_only=True):
    """What a task has reported, over all its attempts."""

    task_id: str
    job: str
    state: str
    parameters: dict[str, Any] = {}
    metrics: tuple[MetricRow, ...] = ()
    gpus: tuple[MetricRow, ...] = ()
    """What was measured of its GPUs, all of them together, where that was asked for: by names of GPU_METRICS, `x` and `last_step` always in
    Unix milliseconds."""


class EventRow(Row, frozen=True, kw_only=True):
    """Who did what, when and why. `kind` is an EventKind; `subject` a job id, a task id or a worker name."""

    seq: int
    at_ms: int
    actor: str
    kind: str
    text: str
    subject: str = ""


class LeavingRow(Row, frozen=True, kw_only=True):
    """Something that nobody needs any more. `what` is `attempts` or `outputs` on a worker, `logs`, `collected` or `history` with the
    coordinator.

    `at_ms` is its last change. `worker` and `path` are empty where they don't apply; so is `job` of what attempts left.
    """

    worker: str
    path: str
    why: str
    bytes: int
    at_ms: int
    what: str = "attempts"
    job: str = ""


class PolicyRow(Row, frozen=True, kw_only=True):
    """A setting by which things are removed without being asked. `worker` is empty for the coordinator; `value` null means never, or no limit."""

    worker: str
    setting: str
    value: float | None
    text: str


class ProjectRow(Row, frozen=True, kw_only=True):
    """A named queue of jobs."""

    name: str
    description: str
    status: str
    created_at_ms: int
    updated_at_ms: int
    job_counts: dict[str, int]
    share: Share = EQUAL_SHARE
    preemptible: bool = False
    """Its tasks make way for jobs of a higher priority band."""
    place: Place | None = None
    """Where tasks of its new jobs go that don't say."""


class UsageRow(Row, frozen=True, kw_only=True):
    """What a person had in a project in the time that was asked about, and has now.

    `gpu_ms`, `cpu_ms` and `task_ms` are GPUs, CPUs and tasks times milliseconds. `weight_ms` is what decides whose turn it
    is, in GPU milliseconds: half as much after each half-life, and without GPUs a sixteenth for each CPU.
    """

    project: str
    person: str
    gpu_ms: int = 0
    cpu_ms: int = 0
    task_ms: int = 0
    tasks: int = 0
    """Attempts that ended."""
    tasks_now: int = 0
    gpus_now: float = 0
    """Shares of GPUs count as the part of its memory that was asked for."""
    cpus_now: float = 0.0
    weight_ms: int = 0
    project_weight: float = 1.0
    person_weight: float = 1.0
    project_limits: Limits = NO_LIMITS
    person_limits: Limits = NO_LIMITS
    cpus_asked_now: float = 0.0
    """Of `cpus_now`, those that were asked for: what a limit on CPUs counts."""
    memory_mb_now: float = 0.0


class LineRow(Row, frozen=True, kw_only=True):
    """The waiting jobs of one priority, project and person; lines come in the order in which it is their turn."""

    priority: int
    project: str
    person: str
    jobs: int
    first_job: str
    project_standing_ms: int
    """What its project had and holds, by the project's weight: the line with less comes first."""
    person_standing_ms: int
    """What its person had and holds in it, by the person's weight: decides between people of one project."""
    reason: str
    """Why its first job waits."""


class PersonRow(Row, frozen=True, kw_only=True):
    """Somebody who came in by an invitation, or (`is_local`) who has the token in the coordinator's data folder.

    `role` is the highest of their credentials, or was: `revoked_at_ms` is null unless all of them were taken back.
    """

    name: str
    role: str
    is_local: bool = False
    credentials: int = 1
    connections: int = 0
    joined_at_ms: int | None = None
    revoked_at_ms: int | None = None


class InvitationRow(Row, frozen=True, kw_only=True):
    """An open invitation; `role` is worker, viewer, operator or admin. Only those who were given it know its secret."""

    id: str
    role: str
    name: str
    tags: tuple[str, ...]
    uses_left: int
    expires_at_ms: int
    created_by: str


class InputState(StrEnum):
    """Whether a worker has an input file."""

    FOUND = "found"
    MISSING = "missing"
    """It looked; the check's `detail` says why the file can't be used."""
    NO_FOLDER = "no_folder"
    """It has no input folder."""
    UNREACHABLE = "unreachable"
    ASKING = "asking"
    """It hasn't answered yet."""


class InputCheck(Row, frozen=True, kw_only=True):
    """What one worker says of one input file. `state` is an InputState, or one of a newer coordinator."""

    name: str
    state: str
    detail: str = ""


class Verdict(Row, frozen=True, kw_only=True):
    """Whether one worker takes one job, or would take it, and the reason where it doesn't.

    `estimated_start_ms` is counted from now. `input` says in words what the worker found for the job's input files.
    """

    worker_id: str
    worker: str
    accepted: bool
    reason: str
    estimated_start_ms: int | None = None
    estimated_duration_ms: int | None = None
    start: Estimate | None = None
    """When it could start there, from now: after what runs there, and after those who are ahead. Null where nobody knows."""
    takes: Estimate | None = None
    """How long it would take there, by what like jobs took; null where nothing like it ever succeeded."""
    gpus_free: int = 0
    input: str = ""
    checks: tuple[tuple[str, bool, str], ...] = ()
    """Each requirement: its words, whether it holds, what the worker has."""
    asking: bool = False
    """The worker was asked for a file or folder and hasn't answered yet."""
    inputs: tuple[InputCheck, ...] = ()
    """What the worker says of each input file, in the order of the spec."""
    lacks_file: bool = False
    """The job is refused because the worker isn't known to have a file or folder, which `reason` names."""
    lacks_content: bool = False
    """The job is refused because nobody who is connected has a file or folder that it brings along; `reason` says from where it has to come."""
    lacks_bytes: int | None = None
    """How much of what the job brings along the worker would be sent; null where it has all of it, or that is nothing."""
    supply: str = ""
    """How far the worker has that already, in words; empty where the job brings nothing along."""
    said: bool = False
    """The words of the answer that it comes with have its reason already."""


class NeedRow(Row, frozen=True, kw_only=True):
    """What a job waits for of another. `end` is `after`, `after_failure`, `after_any` or `takes`; `part` is empty, a task's index, or `*`."""

    id: str
    end: str
    part: str = ""


class GraphRow(Row, frozen=True, kw_only=True):
    """A job among those that wait for each other, and what it waits for of those beside it."""

    job: JobRow
    needs: tuple[NeedRow, ...] = ()


class InputRow(Row, frozen=True, kw_only=True):
    """A file or folder that a job is given. `from` is `worker` (it lies there), `coordinator` (it is kept there), or the name of a host.

    `size` in bytes and `hash`, the id of its tree, are null of what lies on workers.
    """

    name: str
    size: int | None = None
    hash: str | None = None
    source: str = msgspec.field(name="from")


class OutputsRow(Row, frozen=True, kw_only=True):
    """What a job made: where it is, and how many files of how many bytes. Null is what nobody said, and a path where there are several."""

    path: str | None = None
    files: int | None = None
    bytes: int | None = None


class JobDetail(Row, frozen=True, kw_only=True):
    """A job with its spec, tasks and events."""

    job: JobRow
    spec: JobSpec
    tasks: tuple[TaskRow, ...]
    events: tuple[EventRow, ...]
    inputs: tuple[InputRow, ...] = ()
    outputs: OutputsRow = OutputsRow()


class Snapshot(Row, frozen=True, kw_only=True):
    """Where a subscriber starts: all workers, all unfinished jobs, the newest finished ones and the newest events."""

    seq: int
    coordinator: str
    workers: tuple[WorkerRow, ...]
    jobs: tuple[JobRow, ...]
    events: tuple[EventRow, ...]
    jobs_total: int
    projects: tuple[ProjectRow, ...] = ()
