"""What an agent tells its coordinator."""

from typing import Annotated

from msgspec import Meta, field

from opsconsole_protocol.bound import (
    ATTEMPTS_MAX,
    GPUS_MAX,
    ID_CHARACTERS_MAX,
    Id,
    Label,
    Moment,
    Name,
    Path,
    Port,
    Signed,
    Tags,
    Text,
    Tree,
    Whole,
)
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.link.attempt import BoundedAttemptId, Observed
from opsconsole_protocol.link.dataset import DatasetDescribed
from opsconsole_protocol.link.file import FileList, FilePartRead
from opsconsole_protocol.link.message import Message, PeerError
from opsconsole_protocol.link.stream import AskForStream, Contents, Signal, StreamEnded
from opsconsole_protocol.link.telemetry import TROUBLES_MAX, Gpu, Host, TaskProgress, TaskUsage, Trouble

SLOTS_MAX = 10_000
LEAVINGS_MAX = 1_000
KEEP_DAYS_MAX = 36_500
AGAIN_MS_MAX = 3_600_000


class Register(Message, frozen=True, kw_only=True, tag="register"):
    """The first message of an agent: who it is, what it has, what exists."""

    protocol: Signed
    agent_version: Label
    worker_id: Annotated[WorkerId, Meta(max_length=ID_CHARACTERS_MAX)]
    name: Name
    run_id: Id
    """Unique to this agent process: tells an agent on a copy of the state folder from one that connects again."""
    dial: Whole = 0
    """Grows with every connection of this process, so that one that arrives late isn't taken for the present one. 0: unknown."""
    boot_id: Id = ""
    role: Label = "worker"
    tags: Tags = ()
    properties: Tree = field(default_factory=dict)
    max_concurrent_jobs: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 1
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=GPUS_MAX)] = ()
    gpu_message: Text = ""
    store_id: Id = ""
    store_seq: Whole = 0
    """The highest sequence number of a commit that this agent ever heard of from the store `store_id`."""
    store_seal: Label = ""
    """The seal that came with `store_seq`: without it the number is only a claim."""
    observed: Annotated[tuple[Observed, ...], Meta(max_length=ATTEMPTS_MAX)] = ()
    troubles: Annotated[tuple[Trouble, ...], Meta(max_length=TROUBLES_MAX)] = ()


class UpdateMetadata(Message, frozen=True, kw_only=True, tag="update_metadata"):
    """Properties or tags that changed since `register`."""

    tags: Tags | None = None
    properties: Tree = field(default_factory=dict)


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
    """Sent every `heartbeat_ms`. A worker lives as long as these come, whatever its socket says."""

    at_ms: Signed
    host: Host = Host()
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=GPUS_MAX)] | None = None
    gpu_message: Text = ""
    usage: Annotated[dict[Id, TaskUsage], Meta(max_length=ATTEMPTS_MAX)] = field(default_factory=dict)
    troubles: Annotated[tuple[Trouble, ...], Meta(max_length=TROUBLES_MAX)] = ()
    """All that is wrong now: a trouble that is no longer named is over."""
    progress: Annotated[dict[Id, TaskProgress], Meta(max_length=ATTEMPTS_MAX)] = field(default_factory=dict)


class FileExists(Message, frozen=True, kw_only=True, tag="FILE_EXISTS"):
    """The file or folder that `INPUT_FILE` asks for is there."""

    check_id: Whole
    path: Path
    size_bytes: Whole
    is_folder: bool = False
    """Of a dataset: then its size isn't known."""


class FileNotFound(Message, frozen=True, kw_only=True, tag="FILE_NOT_FOUND"):
    """The file or folder that `INPUT_FILE` asks for can't be used, and why. After `again_ms` the answer may be another."""

    check_id: Whole
    reason: Text
    again_ms: Annotated[int, Meta(ge=0, le=AGAIN_MS_MAX)] | None = None


class PortFound(Message, frozen=True, kw_only=True, tag="port_found"):
    """A port that was free, in answer to `find_port`."""

    check_id: Whole
    port: Port


class AskWaiting(Message, frozen=True, kw_only=True, tag="ask_waiting"):
    """How much waits that this worker may take? Asked by one that leaves when nothing does."""


class Leaving(Message, frozen=True, kw_only=True):
    """Something on a worker that nobody needs any more. `at_ms` is its last change, by the worker's clock.

    `job_id` is the job whose output folder it is; empty for anything else. `file` identifies the file on its host, so that
    two agents of one host don't have it counted twice.
    """

    name: Path
    path: Path
    why: Text = ""
    bytes: Whole = 0
    at_ms: Moment = 0
    job_id: Id = ""
    file: Text = ""


class Leavings(Message, frozen=True, kw_only=True, tag="leavings"):
    """What can be removed, or what was, the largest first. `more`: there is more than is named here."""

    check_id: Whole
    leavings: Annotated[tuple[Leaving, ...], Meta(max_length=LEAVINGS_MAX)] = ()
    more: bool = False
    troubles: Annotated[tuple[Text, ...], Meta(max_length=TROUBLES_MAX)] = ()
    keep_attempt_days: Annotated[float, Meta(ge=0, le=KEEP_DAYS_MAX)] | None = None
    """After how many days the worker removes by itself what ended attempts left; None where it doesn't say."""
    keep_output_days: Annotated[float, Meta(ge=0, le=KEEP_DAYS_MAX)] = 0
    """After how many days the coordinator is to have the outputs of ended jobs removed from it; 0: never."""


class JobOutputPath(Message, frozen=True, kw_only=True, tag="JOB_OUTPUT_PATH"):
    """Where an attempt writes its results."""

    attempt_id: BoundedAttemptId
    path: Path


AgentMessage = (
    Register
    | UpdateMetadata
    | Observation
    | Report
    | Heartbeat
    | FileExists
    | FileNotFound
    | PortFound
    | AskWaiting
    | Leavings
    | JobOutputPath
    | PeerError
    | AskForStream
    | Signal
    | StreamEnded
    | Contents
    | FileList
    | FilePartRead
    | DatasetDescribed
)
