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
from typing import Annotated

from msgspec import Meta

from opsconsole_protocol.bound import (
    ATTEMPTS_MAX,
    GPUS_MAX,
    ID_CHARACTERS_MAX,
    PORTS_MAX,
    Command,
    Environment,
    Id,
    Inputs,
    Label,
    Moment,
    Name,
    Path,
    PortName,
    Signed,
    Tags,
    Text,
    Tree,
    Whole,
)
from opsconsole_protocol.end_cause import Cause
from opsconsole_protocol.ids import AttemptId, JobId, TaskId, WorkerId
from opsconsole_protocol.link.reading import (
    TROUBLES_MAX,
    Gpu,
    Host,
    Message,
    TaskProgress,
    TaskUsage,
    Trouble,
)
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import AttemptState

HEARTBEAT_MS = 5_000
SILENT_AFTER_MS = 12_000
SLOTS_MAX = 10_000
ATTEMPT_LOG_BYTES = 4 << 30
"""How much of an attempt's log is shipped, all sources together, unless the coordinator is told otherwise."""
LOG_SOURCES_MAX = 16

_Attempt = Annotated[AttemptId, Meta(max_length=ID_CHARACTERS_MAX)]
_Offsets = Annotated[dict[Annotated[str, Meta(max_length=20)], Whole], Meta(max_length=LOG_SOURCES_MAX)]
_Gpus = Annotated[tuple[Label, ...], Meta(max_length=GPUS_MAX)]


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
    reason: Text = ""
    grace_ms: Whole = 5_000


GANG_HOSTS_MAX = 4_096
"""A larger gang isn't told all of its hosts: they would not fit into an environment variable."""


class Gang(Message, frozen=True, kw_only=True):
    """Where an attempt stands among the tasks of its gang that start with it.

    `hosts`: the address of each, in the order of their ranks, where there aren't too many; `address`: that of rank 0, and
    `port`: its first named port, chosen before any of them starts.
    """

    rank: Whole
    size: Whole
    address: Label
    host: Label
    """This one's own."""
    hosts: Annotated[tuple[Label, ...], Meta(max_length=GANG_HOSTS_MAX)] = ()
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None


class Launch(Message, frozen=True, kw_only=True):
    """All that an agent needs to start an attempt."""

    job_id: Annotated[JobId, Meta(max_length=ID_CHARACTERS_MAX)]
    task_id: Annotated[TaskId, Meta(max_length=ID_CHARACTERS_MAX)]
    task_index: Whole
    num_tasks: Whole
    attempt: Whole
    command: Command
    name: Label = ""
    environment: Environment = {}
    workdir: Path | None = None
    resources: Resources = Resources()
    gpu_ids: _Gpus = ()
    """UUIDs of the GPUs that this attempt has for itself."""
    inputs: Inputs = ()
    ports: Annotated[tuple[PortName, ...], Meta(max_length=PORTS_MAX)] = ()
    timeout_ms: Whole | None = None
    fence_after_ms: Whole | None = None
    job_token: Label = ""
    follows: bool = False
    """No earlier attempt of its task can still be writing where it will: it goes on in the task's own output folder."""
    seal: Label = ""
    """The coordinator's proof that this attempt is this worker's, to be said back with what is observed of it."""
    gang: Gang | None = None


class Desired(Message, frozen=True, kw_only=True):
    """One attempt that should exist on the worker, and how. `log_offsets`: how much of each source is stored."""

    attempt_id: _Attempt
    launch: Launch
    want: Want = Want()
    log_offsets: _Offsets = {}


# --- what does exist -------------------------------------------------------------------------------------------


class Observed(Message, frozen=True, kw_only=True):
    """One attempt that exists on the worker. Times in Unix milliseconds, the worker's clock.

    `exit_known` is false when nobody saw how the process ended. `log_sizes` (bytes per source) is final once the
    attempt has ended: the coordinator says `forget` only when it has all of them. `gpu_ids` are those that it has for
    itself until then. `worker_fault`: it failed of something that is the worker's own: it couldn't be started or prepared
    there, its disk was full, or nobody saw its end.
    """

    attempt_id: _Attempt
    state: AttemptState
    reason: Text = ""
    exit_code: Signed | None = None
    signal: Signed | None = None
    exit_known: bool = True
    error: Text = ""
    started_at_ms: Moment | None = None
    finished_at_ms: Moment | None = None
    output_path: Path | None = None
    workdir: Path | None = None
    """Where it runs; a folder of its own below the agent's state folder is removed some days after its end."""
    note: Text = ""
    """What else is to be known of its end, also of a good one."""
    ports: Annotated[dict[Label, Whole], Meta(max_length=PORTS_MAX)] = {}
    log_sizes: _Offsets = {}
    peak_memory_mb: Signed | None = None
    cpu_seconds: float | None = None
    build_started_ms: Moment | None = None
    build_finished_ms: Moment | None = None
    build_from_cache: bool = False
    image_tag: Label = ""
    gpu_ids: _Gpus = ()
    seal: Label = ""
    """As it came with the launch."""
    worker_fault: bool = False
    cause: Cause = ""
    """Of its end."""


# --- agent to coordinator --------------------------------------------------------------------------------------


class Register(Message, frozen=True, kw_only=True, tag="register"):
    """The first message of an agent: who it is, what it has, what exists."""

    protocol: Signed
    agent_version: Label
    worker_id: Annotated[WorkerId, Meta(max_length=ID_CHARACTERS_MAX)]
    name: Name
    run_id: Id
    """Unique to this agent process, so a clone of its state folder is told from a reconnection."""
    dial: Whole = 0
    """Grows with every connection of this process: one that arrives late isn't taken for the present one. 0: unknown."""
    boot_id: Id = ""
    role: Label = "worker"
    tags: Tags = ()
    properties: Tree = {}
    max_concurrent_jobs: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 1
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=GPUS_MAX)] = ()
    gpu_message: Text = ""
    store_id: Id = ""
    store_seq: Whole = 0
    """The highest committed sequence that this agent ever heard of from the store `store_id`."""
    store_seal: Label = ""
    """As it came with `store_seq`: without it the number is no more than a claim."""
    observed: Annotated[tuple[Observed, ...], Meta(max_length=ATTEMPTS_MAX)] = ()
    troubles: Annotated[tuple[Trouble, ...], Meta(max_length=TROUBLES_MAX)] = ()


class UpdateMetadata(Message, frozen=True, kw_only=True, tag="update_metadata"):
    """Properties, tags or status that changed since `register`."""

    tags: Tags | None = None
    properties: Tree = {}


class Observation(Message, frozen=True, kw_only=True, tag="observed"):
    """The whole observed set, in answer to `observe`."""

    exchange: Whole
    seen: Whole
    attempts: Annotated[tuple[Observed, ...], Meta(max_length=ATTEMPTS_MAX)] = ()


class Report(Message, frozen=True, kw_only=True, tag="job_status"):
    """Attempts whose observed state changed."""

    seen: Whole
    attempts: Annotated[tuple[Observed, ...], Meta(max_length=ATTEMPTS_MAX)]


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Sent every `heartbeat_ms`; the only proof of life that counts."""

    at_ms: Signed
    host: Host = Host()
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=GPUS_MAX)] | None = None
    gpu_message: Text = ""
    usage: Annotated[dict[Id, TaskUsage], Meta(max_length=ATTEMPTS_MAX)] = {}
    troubles: Annotated[tuple[Trouble, ...], Meta(max_length=TROUBLES_MAX)] = ()
    """All that is wrong now; what is no longer named is over."""
    progress: Annotated[dict[Id, TaskProgress], Meta(max_length=ATTEMPTS_MAX)] = {}


class FileExists(Message, frozen=True, kw_only=True, tag="FILE_EXISTS"):
    """The file asked for is there."""

    check_id: Whole
    path: Path
    size_bytes: Whole


class FileNotFound(Message, frozen=True, kw_only=True, tag="FILE_NOT_FOUND"):
    """The file asked for can't be used, and why. `again_ms`: after so long it may be another answer."""

    check_id: Whole
    reason: Text
    again_ms: Annotated[int, Meta(ge=0, le=3_600_000)] | None = None


class PortFound(Message, frozen=True, kw_only=True, tag="port_found"):
    """The answer to `find_port`."""

    check_id: Whole
    port: Annotated[int, Meta(ge=1, le=65_535)]


class Leaving(Message, frozen=True, kw_only=True):
    """Something on a worker that nobody needs any more. `at_ms`: its last change, by the worker's clock.

    `job_id`: whose output folder it is. `file`: which file it is of its host, so that one isn't counted twice.
    """

    name: Path
    path: Path
    why: Text = ""
    bytes: Whole = 0
    at_ms: Moment = 0
    job_id: Id = ""
    file: Text = ""


LEAVINGS_MAX = 1_000
KEEP_DAYS_MAX = 36_500


class Leavings(Message, frozen=True, kw_only=True, tag="leavings"):
    """What could be removed, or what was: the largest first. `more`: there is more than is named here."""

    check_id: Whole
    leavings: Annotated[tuple[Leaving, ...], Meta(max_length=LEAVINGS_MAX)] = ()
    more: bool = False
    troubles: Annotated[tuple[Text, ...], Meta(max_length=TROUBLES_MAX)] = ()
    keep_attempt_days: Annotated[float, Meta(ge=0, le=KEEP_DAYS_MAX)] | None = None
    """After how many days the worker removes by itself what ended attempts left; None where it doesn't say."""
    keep_output_days: Annotated[float, Meta(ge=0, le=KEEP_DAYS_MAX)] = 0
    """After how many days it wants its coordinator to have outputs of ended jobs removed; 0: never."""


class JobOutputPath(Message, frozen=True, kw_only=True, tag="JOB_OUTPUT_PATH"):
    """Where an attempt writes its results."""

    attempt_id: _Attempt
    path: Path


# --- coordinator to agent --------------------------------------------------------------------------------------


class Registered(Message, frozen=True, kw_only=True, tag="registered"):
    """The answer to `register`."""

    protocol: Signed
    coordinator: Text
    store_id: Id
    store_seq: Whole
    heartbeat_ms: Whole = HEARTBEAT_MS
    attempt_log_bytes: Whole = ATTEMPT_LOG_BYTES
    """What is beyond this of an attempt's log stays on the worker."""
    store_seal: Label = ""
    """To be kept, and said back, with `store_seq`."""


class DesiredSet(Message, frozen=True, kw_only=True, tag="desired"):
    """The whole desired set. What isn't in it shall be stopped, unless `adopting`: then the coordinator can't tell."""

    seq: Whole
    attempts: Annotated[tuple[Desired, ...], Meta(max_length=ATTEMPTS_MAX)] = ()
    adopting: bool = False


class JobAssignment(Message, frozen=True, kw_only=True, tag="job_assignment"):
    """An attempt joins the desired set. There is no other way to start work."""

    seq: Whole
    desired: Desired


class SetWant(Message, frozen=True, kw_only=True, tag="set_want"):
    """The desired state of one attempt changes."""

    seq: Whole
    attempt_id: _Attempt
    want: Want


class Forget(Message, frozen=True, kw_only=True, tag="forget"):
    """These attempts' ends are committed and their logs complete: they leave both sets.

    `accepted`: those of them whose result is their task's. One that wrote to a folder of its own is published.
    """

    seq: Whole
    attempt_ids: Annotated[tuple[_Attempt, ...], Meta(max_length=ATTEMPTS_MAX)]
    accepted: Annotated[tuple[_Attempt, ...], Meta(max_length=ATTEMPTS_MAX)] = ()


class Observe(Message, frozen=True, kw_only=True, tag="observe"):
    """Ask for the whole observed set."""

    exchange: Whole


class HeartbeatAck(Message, frozen=True, kw_only=True, tag="heartbeat_ack"):
    """The answer to a heartbeat."""

    at_ms: Signed
    store_seq: Whole
    store_seal: Label = ""


class MetadataUpdated(Message, frozen=True, kw_only=True, tag="metadata_updated"):
    """The answer to `update_metadata`."""


class Kind(StrEnum):
    """What is asked for."""

    INPUT = "input"
    """A file in the worker's input folder, by its name."""
    FOLDER = "folder"
    """A folder on the worker, by its path."""
    PORT = "port"
    """A free port, for a gang by its job's id."""


class InputFile(Message, frozen=True, kw_only=True, tag="INPUT_FILE"):
    """Ask whether a file is in the worker's input folder, or whether a folder is there. No bytes are sent."""

    check_id: Whole
    filename: Path
    kind: Kind = Kind.INPUT


class FindPort(Message, frozen=True, kw_only=True, tag="find_port"):
    """Ask for a TCP port that is free at the moment, for a gang whose first task is about to be assigned here."""

    check_id: Whole


class LookForLeavings(Message, frozen=True, kw_only=True, tag="look_for_leavings"):
    """Ask what ended attempts left on the worker and nobody has changed for so long. Answered by leavings.

    `outputs`: jobs that have ended, whose output folders are asked for as well; `attempts` false: only those are.
    """

    check_id: Whole
    older_than_ms: Whole = 0
    attempts: bool = True
    outputs: Annotated[tuple[Id, ...], Meta(max_length=LEAVINGS_MAX)] = ()


class RemoveLeavings(Message, frozen=True, kw_only=True, tag="remove_leavings"):
    """Remove these, as they were named, if they are still of no use. Answered by leavings: those that were removed."""

    check_id: Whole
    names: Annotated[tuple[Path, ...], Meta(max_length=LEAVINGS_MAX)]
    outputs: Annotated[tuple[Id, ...], Meta(max_length=LEAVINGS_MAX)] = ()
    """Jobs that have ended, whose output folders go as well."""


class LogAck(Message, frozen=True, kw_only=True, tag="log_ack"):
    """How much of each source the coordinator has: `(attempt_id, source, offset)`."""

    offsets: Annotated[
        tuple[tuple[_Attempt, Annotated[str, Meta(max_length=20)], Whole], ...], Meta(max_length=ATTEMPTS_MAX)
    ]


# --- both ways -------------------------------------------------------------------------------------------------


class PeerError(Message, frozen=True, kw_only=True, tag="error"):
    """The last thing said before closing, or the answer to a message that couldn't be taken."""

    code: Label
    message: Text


AgentMessage = (
    Register
    | UpdateMetadata
    | Observation
    | Report
    | Heartbeat
    | FileExists
    | FileNotFound
    | PortFound
    | Leavings
    | JobOutputPath
    | PeerError
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
    | FindPort
    | LookForLeavings
    | RemoveLeavings
    | LogAck
    | PeerError
)
