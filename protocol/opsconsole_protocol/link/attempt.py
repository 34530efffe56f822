"""An attempt on the wire: how it should be (`Desired`), and how it is (`Observed`)."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from opsconsole_protocol.bound import (
    GPUS_MAX,
    ID_CHARACTERS_MAX,
    PORTS_MAX,
    BoundedContentId,
    Command,
    Environment,
    Inputs,
    Label,
    Moment,
    Path,
    Port,
    PortName,
    Signed,
    Text,
    Whole,
)
from opsconsole_protocol.dataset import JOB_DATASETS_MAX, FoundDatasets, JobDataset
from opsconsole_protocol.end_cause import Cause
from opsconsole_protocol.ids import AttemptId, JobId, TaskId
from opsconsole_protocol.job_content import COLLECTS_MAX, SETUP_CHARACTERS_MAX, UPLOADS_MAX, Bundle, Upload
from opsconsole_protocol.link.message import Message
from opsconsole_protocol.log import LOG_SOURCES_MAX, SOURCE_CHARACTERS_MAX
from opsconsole_protocol.pattern import PATTERN_CHARACTERS_MAX
from opsconsole_protocol.spec import PauseBy, Resources
from opsconsole_protocol.state import AttemptState

GANG_HOSTS_MAX = 4_096
"""A larger gang isn't told all of its hosts: they would not fit into an environment variable."""

BoundedAttemptId = Annotated[AttemptId, Meta(max_length=ID_CHARACTERS_MAX)]
LogSource = Annotated[str, Meta(max_length=SOURCE_CHARACTERS_MAX)]
LogOffsets = Annotated[dict[LogSource, Whole], Meta(max_length=LOG_SOURCES_MAX)]
"""Bytes by source of a log."""
_GpuIds = Annotated[tuple[Label, ...], Meta(max_length=GPUS_MAX)]


class Mode(StrEnum):
    """What the coordinator wants of an attempt."""

    RUN = "run"
    PAUSE = "pause"
    STOP = "stop"
    RETRACT = "retract"
    """Give the attempt back if it hasn't started, reported as killed and never as running; else go on with it."""


class Want(Message, frozen=True, kw_only=True):
    """The desired state of one attempt; `reason` is for people (`cancelled by ana`), `grace_ms` for a stop."""

    mode: Mode = Mode.RUN
    reason: Text = ""
    grace_ms: Whole = 5_000
    by: PauseBy = PauseBy.FREEZE
    """Of a pause: how."""


class Resume(Message, frozen=True, kw_only=True):
    """From where an attempt goes on: from a file or folder on its worker, or from one below a tree that it is sent."""

    path: Path
    """Absolute; below the tree, where it is sent one."""
    content_id: BoundedContentId | None = None
    size_bytes: Whole = 0


class Gang(Message, frozen=True, kw_only=True):
    """An attempt's place among the attempts of its gang that start with it: its `rank` of `size`.

    `address` is the address of rank 0's worker, and `port` is rank 0's first named port, chosen before any of them starts.
    `hosts` has the address of each, in the order of their ranks; it is empty where there are more than GANG_HOSTS_MAX.
    """

    rank: Whole
    size: Whole
    address: Label
    host: Label
    """The address of this attempt's own worker."""
    hosts: Annotated[tuple[Label, ...], Meta(max_length=GANG_HOSTS_MAX)] = ()
    port: Port | None = None


class Launch(Message, frozen=True, kw_only=True):
    """All that an agent needs to start an attempt."""

    job_id: Annotated[JobId, Meta(max_length=ID_CHARACTERS_MAX)]
    task_id: Annotated[TaskId, Meta(max_length=ID_CHARACTERS_MAX)]
    task_index: Whole
    num_tasks: Whole
    attempt: Whole
    command: Command
    name: Label = ""
    environment: Environment = field(default_factory=dict)
    workdir: Path | None = None
    resources: Resources = Resources()
    gpu_ids: _GpuIds = ()
    """UUIDs of the GPUs that this attempt has for itself, or of which it has its share (`resources.share`)."""
    gpu_sizes_mb: Annotated[tuple[Whole, ...], Meta(max_length=GPUS_MAX)] = ()
    """Where it has shares: how much memory each of those GPUs has, 0 where that isn't known."""
    inputs: Inputs = ()
    ports: Annotated[tuple[PortName, ...], Meta(max_length=PORTS_MAX)] = ()
    timeout_ms: Whole | None = None
    fence_after_ms: Whole | None = None
    follows: bool = False
    """No earlier attempt of its task can still be writing, so this one goes on in the task's own output folder."""
    seal: Label = ""
    """The coordinator's proof that it gave this attempt to this worker. The agent sends it back with what it observes."""
    gang: Gang | None = None
    uploads: Annotated[tuple[Upload, ...], Meta(max_length=UPLOADS_MAX)] = ()
    bundle: Bundle | None = None
    setup: Annotated[str, Meta(max_length=SETUP_CHARACTERS_MAX)] = ""
    collect: Annotated[tuple[Path, ...], Meta(max_length=COLLECTS_MAX)] = ()
    resume: Resume | None = None
    """The newest checkpoint of its task."""
    pause_signal: Label = ""
    metric_pattern: Annotated[str, Meta(max_length=PATTERN_CHARACTERS_MAX)] = ""
    """Finds metrics in the lines that the task prints; empty: well-known forms are recognised."""
    datasets: Annotated[tuple[JobDataset, ...], Meta(max_length=JOB_DATASETS_MAX)] = ()


class Desired(Message, frozen=True, kw_only=True):
    """One attempt that should exist on the worker, and how. `log_offsets`: how many bytes of each source are stored already."""

    attempt_id: BoundedAttemptId
    launch: Launch
    want: Want = Want()
    log_offsets: LogOffsets = field(default_factory=dict)


class Observed(Message, frozen=True, kw_only=True):
    """One attempt that exists on the worker. Times in Unix milliseconds, the worker's clock.

    `exit_known` is false when nobody saw how the process ended. `log_sizes` (bytes per source) is final once the
    attempt has ended: the coordinator says `forget` only when it has all of those bytes. `gpu_ids` are the GPUs that the
    attempt has for itself until then. `worker_fault`: the failure is the worker's and not the task's, since the attempt
    couldn't be prepared or started there, the disk was full, or nobody saw the end.
    """

    attempt_id: BoundedAttemptId
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
    """The folder in which it runs. One of its own, below the agent's state folder, is removed some days after its end."""
    note: Text = ""
    """What else a person should know of its end, even if it succeeded."""
    ports: Annotated[dict[Label, Whole], Meta(max_length=PORTS_MAX)] = field(default_factory=dict)
    log_sizes: LogOffsets = field(default_factory=dict)
    peak_memory_mb: Signed | None = None
    cpu_seconds: float | None = None
    build_started_ms: Moment | None = None
    build_finished_ms: Moment | None = None
    build_from_cache: bool = False
    image_tag: Label = ""
    gpu_ids: _GpuIds = ()
    seal: Label = ""
    """The seal of the launch."""
    worker_fault: bool = False
    cause: Cause = ""
    """Why it ended."""
    output_files: Whole | None = None
    """How many files lie in its output folder at its end; None where that isn't known."""
    output_bytes: Whole | None = None
    hint: Text = ""
    """What to do about `error`."""
    datasets: FoundDatasets = ()
    """What was found at its job's datasets, once they were looked at."""
