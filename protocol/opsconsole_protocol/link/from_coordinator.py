"""What the coordinator tells an agent."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from opsconsole_protocol.bound import ATTEMPTS_MAX, Id, Label, Path, Signed, Text, Whole
from opsconsole_protocol.link.attempt import BoundedAttemptId, Desired, LogSource, Want
from opsconsole_protocol.link.dataset import DescribeDataset
from opsconsole_protocol.link.file import ListFiles, ReadFilePart
from opsconsole_protocol.link.from_agent import LEAVINGS_MAX
from opsconsole_protocol.link.message import Message, PeerError
from opsconsole_protocol.link.stream import ServeStream, Signal, StopStream, StreamGranted, StreamRefused

HEARTBEAT_MS = 5_000
SILENT_AFTER_MS = 12_000
ATTEMPT_LOG_BYTES = 4 << 30
"""How much of an attempt's log is shipped, all sources together, unless the coordinator is told otherwise."""


class Registered(Message, frozen=True, kw_only=True, tag="registered"):
    """The answer to `register`."""

    protocol: Signed
    coordinator: Text
    store_id: Id
    store_seq: Whole
    heartbeat_ms: Whole = HEARTBEAT_MS
    attempt_log_bytes: Whole = ATTEMPT_LOG_BYTES
    """How much of an attempt's log is shipped; the rest stays on the worker."""
    store_seal: Label = ""
    """The agent keeps it with `store_seq` and sends both when it registers again."""


class DesiredSet(Message, frozen=True, kw_only=True, tag="desired"):
    """The whole desired set. What isn't in it is to be stopped, unless `adopting`: then the coordinator can't tell."""

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
    attempt_id: BoundedAttemptId
    want: Want


class Forget(Message, frozen=True, kw_only=True, tag="forget"):
    """The ends of these attempts are committed and their logs complete: they leave both sets.

    `accepted` has those whose result counts as their task's. Where such an attempt wrote to a folder of its own, that
    folder is published.
    """

    seq: Whole
    attempt_ids: Annotated[tuple[BoundedAttemptId, ...], Meta(max_length=ATTEMPTS_MAX)]
    accepted: Annotated[tuple[BoundedAttemptId, ...], Meta(max_length=ATTEMPTS_MAX)] = ()


class Observe(Message, frozen=True, kw_only=True, tag="observe"):
    """Ask for the whole observed set."""

    exchange: Whole


class HeartbeatAck(Message, frozen=True, kw_only=True, tag="heartbeat_ack"):
    """The answer to a heartbeat; `at_ms` is that heartbeat's."""

    at_ms: Signed
    store_seq: Whole
    store_seal: Label = ""


class MetadataUpdated(Message, frozen=True, kw_only=True, tag="metadata_updated"):
    """The answer to `update_metadata`."""


class QuestionKind(StrEnum):
    """What is asked of a worker before a job is placed there."""

    INPUT = "input"
    """A file in the worker's input folder, by its name."""
    DATASET = "dataset"
    """The same, or a folder. Asked only of workers that say which datasets they can look at."""
    FOLDER = "folder"
    """A folder on the worker, by its path."""
    PORT = "port"
    """A free port, for a gang; asked for under its job's id."""


class InputFile(Message, frozen=True, kw_only=True, tag="INPUT_FILE"):
    """Ask whether a file is in the worker's input folder, or whether a folder is there. No bytes are sent."""

    check_id: Whole
    filename: Path
    kind: QuestionKind = QuestionKind.INPUT


class FindPort(Message, frozen=True, kw_only=True, tag="find_port"):
    """Ask for a TCP port that is free at the moment, for a gang whose first task is about to be assigned here."""

    check_id: Whole


class LookForLeavings(Message, frozen=True, kw_only=True, tag="look_for_leavings"):
    """Ask what ended attempts left on the worker and nobody has changed for `older_than_ms`. Answered by `leavings`.

    `outputs` are jobs that have ended: their output folders are asked for, too. With `attempts` false only those are.
    """

    check_id: Whole
    older_than_ms: Whole = 0
    attempts: bool = True
    outputs: Annotated[tuple[Id, ...], Meta(max_length=LEAVINGS_MAX)] = ()


class RemoveLeavings(Message, frozen=True, kw_only=True, tag="remove_leavings"):
    """Remove what has these names, as far as it is still of no use. Answered by `leavings`: what was removed."""

    check_id: Whole
    names: Annotated[tuple[Path, ...], Meta(max_length=LEAVINGS_MAX)]
    outputs: Annotated[tuple[Id, ...], Meta(max_length=LEAVINGS_MAX)] = ()
    """Jobs that have ended: their output folders are removed, too."""


class Waiting(Message, frozen=True, kw_only=True, tag="waiting"):
    """The answer to `ask_waiting`: how many tasks wait of the worker's project, or of all if it has none."""

    tasks: Whole


class LogAck(Message, frozen=True, kw_only=True, tag="log_ack"):
    """How much of each source the coordinator has: `(attempt_id, source, offset)`."""

    offsets: Annotated[tuple[tuple[BoundedAttemptId, LogSource, Whole], ...], Meta(max_length=ATTEMPTS_MAX)]


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
    | Waiting
    | LogAck
    | PeerError
    | StreamGranted
    | StreamRefused
    | ServeStream
    | Signal
    | ListFiles
    | ReadFilePart
    | StopStream
    | DescribeDataset
)
