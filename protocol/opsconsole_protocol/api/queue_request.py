"""What can be asked about the order of waiting jobs, and how they are taken off the queue."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from opsconsole_protocol.api.request_base import IDS_MAX, Request
from opsconsole_protocol.bound import PROJECT_CHARACTERS_MAX, Id, Label, Signed
from opsconsole_protocol.spec import NUM_TASKS_MAX


class Where(StrEnum):
    """Where a waiting job is moved to, among those of the same person, project and priority."""

    BEFORE = "before"
    """Before another job."""
    AFTER = "after"
    """After another job."""
    EARLIER = "earlier"
    """One place."""
    LATER = "later"
    """One place."""
    FIRST = "first"
    LAST = "last"


class MoveJob(Request, frozen=True, kw_only=True, tag="move_job"):
    """Move a waiting job among those of the same person, project and priority (`where`: a Where). Answered by Done.

    `other`: the job that it is moved before or after.
    """

    id: Id
    where: Label
    other: Id = ""


class PopJob(Request, frozen=True, kw_only=True, tag="pop_job"):
    """Take a waiting job off the queue of a project, or of all: cancel it, or hold it. Answered by Popped.

    `index`: which one, from 0, in the order of their priorities and places; -1 is the last one.
    """

    project: Label = ""
    index: Signed = 0
    hold: bool = False


class ClearQueue(Request, frozen=True, kw_only=True, tag="clear_queue"):
    """Cancel the jobs of a project of which nothing has started, at most `limit`. Answered by Cleared.

    `dry_run`: only say which.
    """

    project: Annotated[str, Meta(min_length=1, max_length=PROJECT_CHARACTERS_MAX)]
    limit: Annotated[int, Meta(ge=1, le=IDS_MAX)] = IDS_MAX
    dry_run: bool = False


class SetParallel(Request, frozen=True, kw_only=True, tag="set_parallel"):
    """Change how many tasks of a job may run at a time; None: as many as there is room for. Answered by Done."""

    id: Id
    max_parallel: Annotated[int, Meta(ge=1, le=NUM_TASKS_MAX)] | None = None
