"""What is said about streams over the links that exist: who opens one, what for, and what the two ends tell each other.

The initiator asks its coordinator, which gives both ends a grant. From then on the ends tell each other by signals, which
the coordinator passes on, what to try next; the bytes themselves never travel over a link.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import (
    ID_CHARACTERS_MAX,
    PATH_CHARACTERS_MAX,
    BoundedContentId,
    Command,
    Id,
    Label,
    Moment,
    Path,
    Side,
    Text,
    Whole,
)

SIGNAL_BYTES_MAX = 64 * 1024
PATTERNS_MAX = 100
TASKS_MAX = 500
"""Of one job, whose results one stream brings."""
ICE_SERVERS_MAX = 16
SECRET_CHARACTERS_MAX = 128
WAYS_MAX = 16
SESSIONS = "sessions"
"""The property of workers whose agents let operators into their tasks."""

MARK_CHARACTERS_MAX = 64

Mark = Annotated[str, Meta(max_length=MARK_CHARACTERS_MAX)]
PathBytes = Annotated[bytes, Meta(max_length=PATH_CHARACTERS_MAX)]
"""A path on a worker as the system has it: it need not be UTF-8."""


class Way(StrEnum):
    """How the bytes of a stream travel."""

    DIRECT = "direct"
    """One end reaches the other."""
    RELAY = "relay"
    """Both dial the coordinator, which joins them."""
    WEBRTC = "webrtc"
    """Through the NATs of both."""


def way_words(way: Way, engine: str = "") -> str:
    """`relay`, or with the engine of this end `webrtc with aiortc`."""
    return f"{way} with {engine}" if engine else str(way)


class Via(StrEnum):
    """What a person says about the way: any, or only this one."""

    AUTO = "auto"
    DIRECT = "direct"
    WEBRTC = "webrtc"
    RELAY = "relay"


class RootKind(StrEnum):
    """What a path on a worker is below."""

    MOUNT = "mount"
    """A labelled folder of the worker; `input` and `output` are the two of its I/O paths."""
    OUTPUT = "output"
    """Where a job, or one of its tasks, writes its results."""
    INPUT = "input"
    """What was brought to a job's task."""
    WORK = "work"
    """The working folder of a job's task."""


class FileRoot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A folder on a worker from which paths are counted, and out of which none leads."""

    kind: RootKind
    mount: Label = ""
    """The label of a mount."""
    job_id: Id = ""
    task_index: Whole | None = None
    """None: all of the job's."""
    attempt_id: Id = ""
    """The attempt whose folder it is; filled in by the coordinator."""
    output_path: Path = ""
    """Where the job writes on this worker; filled in by the coordinator."""


class FetchContent(msgspec.Struct, frozen=True, kw_only=True, tag="fetch_content"):
    """The initiator wants a tree that somebody has: the coordinator, a host or another worker."""

    content_id: BoundedContentId
    attempt_id: Id = ""


class KeepContent(msgspec.Struct, frozen=True, kw_only=True, tag="keep_content"):
    """The initiator brings a tree that the coordinator is to keep."""

    content_id: BoundedContentId
    size_bytes: Whole
    files: Whole


class ReadFiles(msgspec.Struct, frozen=True, kw_only=True, tag="read_files"):
    """The initiator wants what lies below a root on a worker, as far as it matches one of the patterns (none: everything)."""

    root: FileRoot
    folder: PathBytes = b""
    patterns: Annotated[tuple[Text, ...], Meta(max_length=PATTERNS_MAX)] = ()
    tasks: Annotated[tuple[Whole, ...], Meta(max_length=TASKS_MAX)] = ()
    """Of a job with several: the results of these, each in its folder `task-N`; patterns count as `content.task_folder` says."""
    roots: Annotated[tuple[FileRoot, ...], Meta(max_length=TASKS_MAX)] = ()
    """Of each of `tasks`; filled in by the coordinator."""
    tells: bool = False
    """The initiator knows LOOK frames (`content.frame`): while the worker reads what it doesn't know yet, it may say so."""


class WriteFiles(msgspec.Struct, frozen=True, kw_only=True, tag="write_files"):
    """The initiator brings files that are to lie in a folder of a worker's mount."""

    root: FileRoot
    folder: PathBytes = b""
    replace: bool = False
    """Existing files give way."""
    what: Label = ""
    """What they are called, for people."""


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """What a program is to have as its terminal. `kind`: as TERM has it."""

    columns: Side
    rows: Side
    kind: Label = ""
    colors: Label = ""
    """As COLORTERM has it."""


class RunInTask(msgspec.Struct, frozen=True, kw_only=True, tag="run_in_task"):
    """The initiator wants a program run in a running task; without words it is a shell."""

    task: Label
    """A job, if it has one task, or JOB/task-N."""
    argv: Command = ()
    terminal: Terminal | None = None
    attempt_id: Id = ""
    """Filled in by the coordinator."""


class ReachPort(msgspec.Struct, frozen=True, kw_only=True, tag="reach_port"):
    """The initiator wants connections to a port of a running task, by the name that its job gave it."""

    task: Label
    """A job, if it has one task, or JOB/task-N."""
    port: Label
    attempt_id: Id = ""
    """Filled in by the coordinator."""


Purpose = FetchContent | KeepContent | ReadFiles | WriteFiles | RunInTask | ReachPort


class IceServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A STUN or TURN server of the coordinator's configuration."""

    url: Label
    username: Label = ""
    credential: Label = ""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A way that was tried, and why it didn't do."""

    way: Way
    reason: Text
    life: Mark = ""
    """Of the other end (`signal.Hello.life`), as far as it was known: it says nothing about a later one."""


class OpenStream(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an initiator asks of its coordinator. `peer` is a worker by name or id; empty where the coordinator chooses."""

    purpose: Purpose
    peer: Label = ""
    via: Via = Via.AUTO
    failed: Annotated[tuple[Failure, ...], Meta(max_length=WAYS_MAX)] = ()
    """What has been tried for the same purpose and died."""


class PeerKind(StrEnum):
    """Who is at the other end."""

    COORDINATOR = "coordinator"
    """Its own store: the only way is to dial it."""
    WORKER = "worker"
    HOST = "host"
    """An operator's machine."""


class StreamGrant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What both ends of a stream are given: `secret` is this end's own, good for one connection until `expires_ms`."""

    stream_id: Annotated[str, Meta(min_length=1, max_length=ID_CHARACTERS_MAX)]
    secret: Annotated[str, Meta(max_length=SECRET_CHARACTERS_MAX)]
    shared_secret: Annotated[str, Meta(max_length=SECRET_CHARACTERS_MAX)] = ""
    """By which the two ends prove to each other who they are, where they meet without the coordinator."""
    is_initiator: bool
    purpose: Purpose
    peer: PeerKind
    peer_name: Label = ""
    via: Via = Via.AUTO
    failed: Annotated[tuple[Failure, ...], Meta(max_length=WAYS_MAX)] = ()
    relay: bool = True
    """Whether the coordinator relays."""
    relay_mb_s: Whole = 0
    """The most that it relays a second, in MB; 0: as much as it can."""
    ice_servers: Annotated[tuple[IceServer, ...], Meta(max_length=ICE_SERVERS_MAX)] = ()
    ttl_ms: Moment = 60_000
    """How long the grant can be used, from when it arrives: clocks differ."""
