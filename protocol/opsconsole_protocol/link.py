"""The link between an agent and its coordinator, message by message.

After `register` and `registered` both sides tell each other their whole set: the agent what exists (`observed`, part
of `register`), the coordinator what should exist (`desired`). From then on only differences travel. Everything that
changes the desired set carries `seq`, counted per connection; everything that describes the observed set carries
`seen`, the highest `seq` taken into account. So a whole set that crosses an assignment on the wire can't be taken for a
loss.

A report is repeated until the coordinator has committed it and says `forget`. Log bytes travel as binary frames
(`frame.py`) and are acknowledged by offset.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from opsconsole_protocol.ids import AttemptId, JobId, TaskId, WorkerId
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import AttemptState

HEARTBEAT_MS = 5_000
SILENT_AFTER_MS = 12_000
SLOTS_MAX = 10_000
ATTEMPT_LOG_BYTES = 4 << 30
"""How much of an attempt's log is shipped, all sources together, unless the coordinator is told otherwise."""
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything on the link."""


class GpuUser(Message, frozen=True, kw_only=True):
    """A process that holds memory of a GPU; `attempt_id` is empty for a foreign one."""

    pid: int
    name: str
    memory_mb: int | None = None
    attempt_id: str = ""


class Gpu(Message, frozen=True, kw_only=True):
    """One GPU as last sampled. Readings that the card doesn't support are null. Memory in MiB, power in watts."""

    index: int
    uuid: str
    name: str
    memory_total_mb: int | None = None
    memory_used_mb: int | None = None
    utilization_percent: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    state: str = "ok"
    """`ok`, `lost` (fell off the bus) or `error`."""
    message: str = ""
    processes: tuple[GpuUser, ...] = ()


class Host(Message, frozen=True, kw_only=True):
    """The host as last sampled. Memory in MiB."""

    cpu_percent: float = 0.0
    load1: float = 0.0
    memory_used_mb: int = 0
    memory_available_mb: int = 0
    disk_free_mb: int | None = None


class TaskUsage(Message, frozen=True, kw_only=True):
    """What the processes of one attempt use. Memory in MiB, CPU in percent of one core."""

    current_memory_mb: int = 0
    peak_memory_mb: int = 0
    cpu_percent: float = 0.0
    process_count: int = 0
    disk_mb: int | None = None
    gpu_memory_mb: int | None = None
    gpu_utilization_percent: int | None = None


class IoPaths(Message, frozen=True, kw_only=True):
    """Where a worker reads inputs and writes outputs, and the label of the filesystem they are on."""

    input: str | None = None
    output: str | None = None
    filesystem: str = ""


class TroubleCode(StrEnum):
    """What can be wrong with a worker as a whole. An unknown one is shown by its text."""

    KEEPER_SILENT = "keeper_silent"
    """Its keeper doesn't answer: nothing can be started or stopped there."""
    JOURNAL_SPOILT = "journal_spoilt"
    """The journal of ends can't be read or written: how its tasks end can't be told."""
    STATE_DAMAGED = "state_damaged"
    """Something else in its state folder isn't what it should be, and was put aside."""
    DISK_FULL = "disk_full"
    """The disk of its state folder or its output folder is (nearly) full."""


class Trouble(Message, frozen=True, kw_only=True):
    """What is wrong with a worker at the moment, as its agent sees it, in one line for people.

    While one that `blocks` lasts, nothing new is assigned to the worker. `code` is a TroubleCode or one of a newer agent.
    """

    code: Annotated[str, Meta(min_length=1, max_length=40)]
    text: Annotated[str, Meta(max_length=500)] = ""
    blocks: bool = True


TROUBLES_MAX = 16


# --- what should exist -----------------------------------------------------------------------------------------


class Mode(StrEnum):
    """What the coordinator wants of an attempt."""

    RUN = "run"
    PAUSE = "pause"
    STOP = "stop"
    RETRACT = "retract"
    """Give it back if it hasn't started (reported as killed, never as running); else go on with it."""


class Want(Message, frozen=True, kw_only=True):
    """The desired state of one attempt; `reason` is for people (`cancelled by ana`), `grace_ms` for a stop."""

    mode: Mode = Mode.RUN
    reason: str = ""
    grace_ms: int = 5_000


class Launch(Message, frozen=True, kw_only=True):
    """All that an agent needs to start an attempt."""

    job_id: JobId
    task_id: TaskId
    task_index: int
    num_tasks: int
    attempt: int
    command: tuple[str, ...]
    name: str = ""
    environment: dict[str, str] = {}
    workdir: str | None = None
    resources: Resources = Resources()
    gpu_ids: tuple[str, ...] = ()
    """UUIDs of the GPUs that this attempt has for itself."""
    inputs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    timeout_ms: int | None = None
    fence_after_ms: int | None = None
    job_token: str = ""


class Desired(Message, frozen=True, kw_only=True):
    """One attempt that should exist on the worker, and how. `log_offsets`: how much of each source is stored."""

    attempt_id: AttemptId
    launch: Launch
    want: Want = Want()
    log_offsets: dict[str, int] = {}


# --- what does exist -------------------------------------------------------------------------------------------


class Observed(Message, frozen=True, kw_only=True):
    """One attempt that exists on the worker. Times in Unix milliseconds, the worker's clock.

    `exit_known` is false when nobody saw how the process ended. `log_sizes` (bytes per source) is final once the
    attempt has ended: the coordinator says `forget` only when it has all of them. `gpu_ids` are those that it has for
    itself until then. `worker_fault`: it failed of something that is the worker's own: it couldn't be started or prepared
    there, its disk was full, or nobody saw its end.
    """

    attempt_id: AttemptId
    state: AttemptState
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    exit_known: bool = True
    error: str = ""
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    output_path: str | None = None
    ports: dict[str, int] = {}
    log_sizes: dict[str, int] = {}
    peak_memory_mb: int | None = None
    cpu_seconds: float | None = None
    build_started_ms: int | None = None
    build_finished_ms: int | None = None
    build_from_cache: bool = False
    image_tag: str = ""
    gpu_ids: tuple[str, ...] = ()
    worker_fault: bool = False


# --- agent to coordinator --------------------------------------------------------------------------------------


class Register(Message, frozen=True, kw_only=True, tag="register"):
    """The first message of an agent: who it is, what it has, what exists."""

    protocol: int
    agent_version: str
    worker_id: WorkerId
    name: Name
    run_id: str
    """Unique to this agent process, so a clone of its state folder is told from a reconnection."""
    dial: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    """Grows with every connection of this process: one that arrives late isn't taken for the present one. 0: unknown."""
    boot_id: str = ""
    role: str = "worker"
    tags: tuple[Annotated[str, Meta(max_length=200)], ...] = ()
    properties: dict[str, Any] = {}
    max_concurrent_jobs: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 1
    gpus: tuple[Gpu, ...] = ()
    gpu_message: str = ""
    store_id: str = ""
    store_seq: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    """The highest committed sequence that this agent ever heard of from the store `store_id`."""
    observed: tuple[Observed, ...] = ()
    troubles: Annotated[tuple[Trouble, ...], Meta(max_length=TROUBLES_MAX)] = ()


class UpdateMetadata(Message, frozen=True, kw_only=True, tag="update_metadata"):
    """Properties, tags or status that changed since `register`."""

    tags: tuple[str, ...] | None = None
    properties: dict[str, Any] = {}


class Observation(Message, frozen=True, kw_only=True, tag="observed"):
    """The whole observed set, in answer to `observe`."""

    exchange: int
    seen: int
    attempts: tuple[Observed, ...] = ()


class Report(Message, frozen=True, kw_only=True, tag="job_status"):
    """Attempts whose observed state changed."""

    seen: int
    attempts: tuple[Observed, ...]


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Sent every `heartbeat_ms`; the only proof of life that counts."""

    at_ms: int
    host: Host = Host()
    gpus: tuple[Gpu, ...] | None = None
    gpu_message: str = ""
    usage: dict[str, TaskUsage] = {}
    troubles: Annotated[tuple[Trouble, ...], Meta(max_length=TROUBLES_MAX)] = ()
    """All that is wrong now; what is no longer named is over."""


class FileExists(Message, frozen=True, kw_only=True, tag="FILE_EXISTS"):
    """The file asked for is there."""

    check_id: int
    path: str
    size_bytes: int


class FileNotFound(Message, frozen=True, kw_only=True, tag="FILE_NOT_FOUND"):
    """The file asked for can't be used, and why. `again_ms`: after so long it may be another answer."""

    check_id: int
    reason: str
    again_ms: Annotated[int, Meta(ge=0, le=3_600_000)] | None = None


class JobOutputPath(Message, frozen=True, kw_only=True, tag="JOB_OUTPUT_PATH"):
    """Where an attempt writes its results."""

    attempt_id: AttemptId
    path: str


# --- coordinator to agent --------------------------------------------------------------------------------------


class Registered(Message, frozen=True, kw_only=True, tag="registered"):
    """The answer to `register`."""

    protocol: int
    coordinator: str
    store_id: str
    store_seq: int
    heartbeat_ms: int = HEARTBEAT_MS
    attempt_log_bytes: int = ATTEMPT_LOG_BYTES
    """What is beyond this of an attempt's log stays on the worker."""


class DesiredSet(Message, frozen=True, kw_only=True, tag="desired"):
    """The whole desired set. What isn't in it shall be stopped, unless `adopting`: then the coordinator can't tell."""

    seq: int
    attempts: tuple[Desired, ...] = ()
    adopting: bool = False


class JobAssignment(Message, frozen=True, kw_only=True, tag="job_assignment"):
    """An attempt joins the desired set. There is no other way to start work."""

    seq: int
    desired: Desired


class SetWant(Message, frozen=True, kw_only=True, tag="set_want"):
    """The desired state of one attempt changes."""

    seq: int
    attempt_id: AttemptId
    want: Want


class Forget(Message, frozen=True, kw_only=True, tag="forget"):
    """These attempts' ends are committed and their logs complete: they leave both sets."""

    seq: int
    attempt_ids: tuple[AttemptId, ...]


class Observe(Message, frozen=True, kw_only=True, tag="observe"):
    """Ask for the whole observed set."""

    exchange: int


class HeartbeatAck(Message, frozen=True, kw_only=True, tag="heartbeat_ack"):
    """The answer to a heartbeat."""

    at_ms: int
    store_seq: int


class MetadataUpdated(Message, frozen=True, kw_only=True, tag="metadata_updated"):
    """The answer to `update_metadata`."""


class Kind(StrEnum):
    """What is asked for."""

    INPUT = "input"
    """A file in the worker's input folder, by its name."""
    FOLDER = "folder"
    """A folder on the worker, by its path."""


class InputFile(Message, frozen=True, kw_only=True, tag="INPUT_FILE"):
    """Ask whether a file is in the worker's input folder, or whether a folder is there. No bytes are sent."""

    check_id: int
    filename: Annotated[str, Meta(max_length=4096)]
    kind: Kind = Kind.INPUT


class LogAck(Message, frozen=True, kw_only=True, tag="log_ack"):
    """How much of each source the coordinator has: `(attempt_id, source, offset)`."""

    offsets: tuple[tuple[AttemptId, str, int], ...]


# --- both ways -------------------------------------------------------------------------------------------------


class PeerError(Message, frozen=True, kw_only=True, tag="error"):
    """The last thing said before closing, or the answer to a message that couldn't be taken."""

    code: str
    message: str


AgentMessage = (
    Register | UpdateMetadata | Observation | Report | Heartbeat | FileExists | FileNotFound | JobOutputPath | PeerError
)
CoordinatorMessage = (
    Registered
    | DesiredSet
    | JobAssignment
    | SetWant
    | Forget
    | Observe
    | HeartbeatAck
    | MetadataUpdated
    | InputFile
    | LogAck
    | PeerError
)
