"""What it answers."""

import msgspec

from opsconsole_protocol.api.row import (
    EventRow,
    InvitationRow,
    JobDetail,
    JobRow,
    LeavingRow,
    PersonRow,
    PolicyRow,
    ProjectRow,
    Snapshot,
    TemplateRow,
    Verdict,
    WorkerRow,
)
from opsconsole_protocol.log import LogPage


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all answers."""


class Done(Answered, frozen=True, kw_only=True, tag="done"):
    """It is done; `text` says what."""

    text: str = ""


class WorkerList(Answered, frozen=True, kw_only=True, tag="worker_list"):
    """Workers, ordered by name."""

    workers: tuple[WorkerRow, ...]


class JobList(Answered, frozen=True, kw_only=True, tag="job_list"):
    """Jobs, in the order asked for; `more` when a further page may exist.

    A filter looks at so many jobs for one page and no more: `next_ms` and `next_id` say where it left off. Without them
    the next page comes after the last job.
    """

    jobs: tuple[JobRow, ...]
    more: bool = False
    next_ms: int | None = None
    next_id: str = ""


class ProjectList(Answered, frozen=True, kw_only=True, tag="project_list"):
    """Projects, ordered by name."""

    projects: tuple[ProjectRow, ...]


class TemplateList(Answered, frozen=True, kw_only=True, tag="template_list"):
    """Templates, ordered by name."""

    templates: tuple[TemplateRow, ...]


class DetailAnswer(Answered, frozen=True, kw_only=True, tag="detail"):
    """The answer to `show`."""

    detail: JobDetail


class ActResult(Answered, frozen=True, kw_only=True, tag="acted"):
    """One line for each id: `(id, what happened)`. A job that was already there isn't an error.

    `refused` are the ids whose line says why nothing happened.
    """

    results: tuple[tuple[str, str], ...]
    refused: tuple[str, ...] = ()


class WhyAnswer(Answered, frozen=True, kw_only=True, tag="why_answer"):
    """Why a job stands where it stands: one line, and each worker's verdict while it waits."""

    job: JobRow
    text: str
    verdicts: tuple[Verdict, ...] = ()


class Candidates(Answered, frozen=True, kw_only=True, tag="job_response"):
    """Every worker's verdict, best first; `text` says which one automatic placement would take, or why none.

    `chosen` is the name of that worker, `because` why that one; both are empty where none would take it.
    """

    verdicts: tuple[Verdict, ...]
    text: str
    chosen: str = ""
    because: str = ""


class LogAnswer(Answered, frozen=True, kw_only=True, tag="log_page"):
    """A page of one attempt's log. `attempt_state` tells a follower when the attempt has ended.

    `worker` is null while the task has no attempt: the page is then empty, and `attempt_state` is the task's own state.
    """

    page: LogPage
    task_id: str
    attempt: int
    attempt_state: str
    worker: str | None = None
    finished: bool = False
    """The task has ended, all its log is here, and this page reaches the end."""


class EventList(Answered, frozen=True, kw_only=True, tag="event_list"):
    """Events, newest first."""

    events: tuple[EventRow, ...]


class Invited(Answered, frozen=True, kw_only=True, tag="invited"):
    """The one line to paste."""

    line: str
    expires_at_ms: int


class PersonList(Answered, frozen=True, kw_only=True, tag="person_list"):
    """People, ordered by name."""

    people: tuple[PersonRow, ...]


class InvitationList(Answered, frozen=True, kw_only=True, tag="invitation_list"):
    """Open invitations, by the end of their time."""

    invitations: tuple[InvitationRow, ...]


class SnapshotAnswer(Answered, frozen=True, kw_only=True, tag="snapshot"):
    """The answer to `subscribe`."""

    snapshot: Snapshot


class Cleaned(Answered, frozen=True, kw_only=True, tag="cleaned"):
    """What can be removed, or with `removed` what was. `remarks`: what couldn't be asked or done.

    `policy`: what goes by itself, where that was asked for.
    """

    leavings: tuple[LeavingRow, ...]
    removed: bool = False
    remarks: tuple[str, ...] = ()
    policy: tuple[PolicyRow, ...] = ()


class Health(Answered, frozen=True, kw_only=True, tag="health"):
    """How the coordinator is: seconds up, queue depths, store.

    `watchers` has the name of whoever has a console open on it, one for each console, the asker's own included.
    """

    healthy: bool
    uptime_ms: int
    workers: int
    running_tasks: int
    pending_tasks: int
    store_seq: int
    adopting: bool = False
    trouble: str = ""
    """Why it isn't healthy, in one line."""
    watchers: tuple[str, ...] = ()


AnyAnswer = (
    Done | WorkerList | JobList | ProjectList | TemplateList | DetailAnswer | ActResult | WhyAnswer | Candidates
    | LogAnswer | EventList | Invited | SnapshotAnswer | Health | PersonList | InvitationList | Cleaned
)  # fmt: skip
