"""What can be asked of the coordinator."""

from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.api.row import TemplateRow
from opsconsole_protocol.bound import (
    ID_CHARACTERS_MAX,
    PROJECT_CHARACTERS_MAX,
    Id,
    Label,
    Moment,
    Path,
    Tags,
    Text,
    Whole,
)
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.requirement import LINE_CHARACTERS_MAX
from opsconsole_protocol.spec import NUM_TASKS_MAX, PRIORITY_MAX, JobSpec

PAGE_MAX = 1_000
SUBMISSIONS_MAX = 10_000
IDS_MAX = 10_000
USES_MAX = 10_000
WAIT_MS_MAX = 60_000
"""How long an answer may be held back for what is about to come."""
EVENTS_MAX = 10_000
TTL_MS_MAX = 10 * 366 * 24 * 3_600_000

Line = Annotated[str, Meta(max_length=LINE_CHARACTERS_MAX)]
_Wait = Annotated[int, Meta(ge=0, le=WAIT_MS_MAX)]
Ids = Annotated[tuple[Id, ...], Meta(min_length=1, max_length=IDS_MAX)]


class Request(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything that can be asked."""


class Submission(msgspec.Struct, frozen=True):
    """A job and the id that the client made for it: the same submission twice is one job."""

    job_id: Annotated[JobId, Meta(max_length=ID_CHARACTERS_MAX)]
    spec: JobSpec


class SubmitJobs(Request, frozen=True, kw_only=True, tag="submit"):
    """All or none. Answered by JobList."""

    submissions: Annotated[tuple[Submission, ...], Meta(min_length=1, max_length=SUBMISSIONS_MAX)]


class ListWorkers(Request, frozen=True, kw_only=True, tag="workers"):
    """Answered by WorkerList. `filter` is a line of requirements; `revoked`: those that were revoked, too."""

    filter: Line = ""
    revoked: bool = False


class ListJobs(Request, frozen=True, kw_only=True, tag="jobs"):
    """Newest first; `before_ms` and `before_id` page. Answered by JobList."""

    filter: Line = ""
    project: Label = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100
    before_ms: Moment | None = None
    before_id: Id = ""


class ListProjects(Request, frozen=True, kw_only=True, tag="projects"):
    """Answered by ProjectList."""


class ListTemplates(Request, frozen=True, kw_only=True, tag="templates"):
    """Answered by TemplateList."""


class SetTemplate(Request, frozen=True, kw_only=True, tag="set_template"):
    """Create or replace a template."""

    template: TemplateRow


class SetProject(Request, frozen=True, kw_only=True, tag="set_project"):
    """Create or change a project; `status` is active, paused or archived."""

    name: Annotated[str, Meta(min_length=1, max_length=PROJECT_CHARACTERS_MAX)]
    description: Text | None = None
    status: Label | None = None


class ShowJob(Request, frozen=True, kw_only=True, tag="show"):
    """`id` is a job's, or any unambiguous prefix. Answered by JobDetail."""

    id: Id
    tasks_from: Annotated[int, Meta(ge=0, le=NUM_TASKS_MAX)] = 0
    tasks_limit: Annotated[int, Meta(ge=0, le=NUM_TASKS_MAX)] = NUM_TASKS_MAX
    events_limit: Annotated[int, Meta(ge=0, le=EVENTS_MAX)] = 1_000


class Act(Request, frozen=True, kw_only=True, tag="act"):
    """Pause, resume, cancel, retry, hold or release jobs or single tasks (`JOB/task-N`). Answered by ActResult."""

    verb: Label
    ids: Ids
    reason: Text = ""


class SetPriority(Request, frozen=True, kw_only=True, tag="set_priority"):
    """Change a waiting job's priority; `relative` adds to it."""

    id: Id
    priority: Annotated[int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]
    relative: bool = False


class WaitJobs(Request, frozen=True, kw_only=True, tag="wait"):
    """Answered by JobList when all have ended, or are blocked, or `timeout_ms` has passed."""

    ids: Ids
    timeout_ms: Moment | None = None


class Why(Request, frozen=True, kw_only=True, tag="why"):
    """Answered by WhyAnswer."""

    id: Id


class AskCandidates(Request, frozen=True, kw_only=True, tag="job_request"):
    """Ask every worker whether it would take this job now. Answered by Candidates.

    What workers say of input files is waited for so long at most; who hasn't answered then is shown as being asked.
    """

    spec: JobSpec
    wait_ms: _Wait = 2_000


class ReadLog(Request, frozen=True, kw_only=True, tag="logs"):
    """Read a page of a task's log; with `wait_ms` an empty page waits that long for more. Answered by LogAnswer.

    The last lines of an attempt may still be on their way when its end is known: `settle_ms` waits that long for them
    before the page is read.
    """

    id: Id
    task_index: Annotated[int, Meta(ge=0, lt=NUM_TASKS_MAX)] | None = None
    attempt: Whole | None = None
    query: LogQuery
    wait_ms: _Wait = 0
    settle_ms: _Wait = 0


class ListEvents(Request, frozen=True, kw_only=True, tag="events"):
    """Newest first. Answered by EventList."""

    subject: Label = ""
    before_seq: Whole | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 200


class SetWorker(Request, frozen=True, kw_only=True, tag="set_worker"):
    """Drain, undrain, revoke or remove a worker, by name or id. Answered by WorkerList, as it is or last was.

    `everybody`, for revoke alone: all workers, and no name.
    """

    name: Label
    action: Label
    everybody: bool = False


class ListPeople(Request, frozen=True, kw_only=True, tag="people"):
    """Who may do what here, by name. Answered by PersonList."""


class RenamePerson(Request, frozen=True, kw_only=True, tag="rename_person"):
    """Call somebody otherwise from now on. Answered by PersonList."""

    name: Label
    new: Label


class RevokePeople(Request, frozen=True, kw_only=True, tag="revoke_people"):
    """Take back what these people hold, or what everybody holds and all open invitations. Answered by PersonList.

    Their open connections end at once. The token in the coordinator's data folder stays.
    """

    names: Annotated[tuple[Label, ...], Meta(max_length=IDS_MAX)] = ()
    everybody: bool = False


class ListInvitations(Request, frozen=True, kw_only=True, tag="invitations"):
    """Those that still let somebody in. Answered by InvitationList."""


class RevokeInvitations(Request, frozen=True, kw_only=True, tag="revoke_invitations"):
    """Let nobody in by these any more, by none with `everything`. Answered by InvitationList: those that were open."""

    ids: Annotated[tuple[Label, ...], Meta(max_length=IDS_MAX)] = ()
    everything: bool = False


class Invite(Request, frozen=True, kw_only=True, tag="invite"):
    """Answered by Invited. `role` is worker, viewer, operator or admin."""

    role: Label = "worker"
    ttl_ms: Annotated[int, Meta(ge=1, le=TTL_MS_MAX)] = 3_600_000
    uses: Annotated[int, Meta(ge=1, le=USES_MAX)] = 1
    name: Label = ""
    tags: Tags = ()


class Subscribe(Request, frozen=True, kw_only=True, tag="subscribe"):
    """Answered by Snapshot; Updates follow. `finished_limit` is how many finished jobs to start with."""

    finished_limit: Annotated[int, Meta(ge=0, le=PAGE_MAX)] = 200


class ConfirmRestore(Request, frozen=True, kw_only=True, tag="confirm_restore"):
    """After a restored backup: let the coordinator stop what it doesn't know."""


class Backup(Request, frozen=True, kw_only=True, tag="backup"):
    """Copy the store, online, to a new file on the coordinator's machine. Answered by Done."""

    path: Annotated[Path, Meta(min_length=1)]


class Clean(Request, frozen=True, kw_only=True, tag="clean"):
    """What ended jobs left on these workers (all of them where none is named) and with the coordinator, for so long.

    `attempts`: what attempts left on workers and nobody has changed since; `outputs`: output folders; `logs` and `history`:
    what the coordinator holds. Shown only, unless `remove`. `policy`: also what goes by itself. Answered by Cleaned.
    """

    workers: Annotated[tuple[Label, ...], Meta(max_length=IDS_MAX)] = ()
    older_than_ms: Whole = 0
    remove: bool = False
    attempts: bool = True
    outputs: bool = False
    logs: bool = False
    history: bool = False
    policy: bool = False


class AskHealth(Request, frozen=True, kw_only=True, tag="health"):
    """Answered by Health."""


AnyRequest = (
    SubmitJobs | ListWorkers | ListJobs | ListProjects | ListTemplates | SetTemplate | SetProject | ShowJob | Act
    | SetPriority | WaitJobs | Why | AskCandidates | ReadLog | ListEvents | SetWorker | Invite | Subscribe
    | ConfirmRestore | Backup | Clean | AskHealth | ListPeople | RenamePerson | RevokePeople | ListInvitations
    | RevokeInvitations
)  # fmt: skip
