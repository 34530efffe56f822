"""What tasks have saved: where it lies, which copy of it there is, and which is to be made."""

from typing import NamedTuple

import msgspec

from opsconsole_protocol.ids import AttemptId, ContentId, JobId, WorkerId
from opsconsole_protocol.report import Checkpoint
from opsconsole_protocol.stream.message import RootKind


class LatestCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The newest checkpoint of a task, on its worker."""

    checkpoint: Checkpoint
    attempt_id: AttemptId
    worker_id: WorkerId
    worker_name: str
    place: str
    """The worker; or `Worker.output_place` where it lies in an output folder, which others may see, too."""
    root: RootKind | None
    """Which of the task's folders it is in; None: in none, so that it can't be sent."""
    output_path: str
    below: str
    """Where in that folder."""


class KeptCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint that the coordinator has a copy of. `below`: where it is in the tree."""

    checkpoint: Checkpoint
    attempt_id: AttemptId
    content_id: ContentId
    size_bytes: int
    below: str


class CheckpointCopy(msgspec.Struct, kw_only=True):
    """The newest checkpoint of a task is to be copied. Nothing of this is stored: it follows from the task."""

    job_id: JobId
    index: int
    is_asked: bool = False
    tries: int = 0
    not_before_ms: int = 0


class CopyCheckpoint(NamedTuple):
    """What the shell is to copy now, and from which worker."""

    job_id: JobId
    task_index: int
    latest: LatestCheckpoint
    worker_id: WorkerId
