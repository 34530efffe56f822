"""What can be asked of the coordinator, and what it answers. Any request may be answered by a Failure instead."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.api.parameter import PARAMETERS_MAX
from opsconsole_protocol.api.queue_request import ClearQueue, MoveJob, PopJob, SetParallel
from opsconsole_protocol.api.request_base import IDS_MAX, Request
from opsconsole_protocol.api.template_request import ListTemplates, RemoveTemplate, SetTemplate, SyncTemplates
from opsconsole_protocol.bound import (
    CONTENTS_MAX,
    ID_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    PROJECT_CHARACTERS_MAX,
    TREE_BYTES_MAX,
    BoundedContentId,
    Id,
    Label,
    Moment,
    Name,
    Path,
    Tags,
    Text,
    Whole,
)
from opsconsole_protocol.dataset import DatasetQuery
from opsconsole_protocol.file_listing import FileQuery, PartQuery
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.report import METRICS_OF_LINE_MAX
from opsconsole_protocol.requirement import LINE_CHARACTERS_MAX
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import NUM_TASKS_MAX, PRIORITY_MAX, JobSpec, PauseBy
from opsconsole_protocol.stream.message import SIGNAL_BYTES_MAX, OpenStream, Way

PAGE_MAX = 1_000
DAYS_MAX = 400
"""How far back usage can be asked for."""
SUBMISSIONS_MAX = 10_000
USES_MAX = 10_000
WAIT_MS_MAX = 60_000
"""How long the coordinator may be asked to hold an answer back."""
EVENTS_PAGE_MAX = 10_000
POINTS_MIN = 4
"""What thinning keeps of any part of a curve: its ends and its extremes."""
POINTS_MAX = 10_000_000
"""Of one metric in one answer: all that any run can have."""
TTL_MS_MAX = 10 * 366 * 24 * 3_600_000

Line = Annotated[str, Meta(max_length=LINE_CHARACTERS_MAX)]
_Wait = Annotated[int, Meta(ge=0, le=WAIT_MS_MAX)]
Point = Annotated[dict[Label, Annotated[str, Meta(max_length=TREE_BYTES_MAX)]], Meta(max_length=PARAMETERS_MAX)]
"""The values of a task's parameters, by their names."""
Ids = Annotated[tuple[Id, ...], Meta(min_length=1, max_length=IDS_MAX)]


class Submission(msgspec.Struct, frozen=True):
    """A job and the id that the client made for it: a submission that is sent twice is one job."""

    job_id: Annotated[JobId, Meta(max_length=ID_CHARACTERS_MAX)]
    spec: JobSpec


class SubmitJobs(Request, frozen=True, kw_only=True, tag="submit"):
    """Submit these jobs, all or none. Answered by JobList, in the same order."""

    submissions: Annotated[tuple[Submission, ...], Meta(min_length=1, max_length=SUBMISSIONS_MAX)]


class ListWorkers(Request, frozen=True, kw_only=True, tag="workers"):
    """The workers that match `filter`, a line of requirements; with `revoked`, revoked ones too. Answered by WorkerList."""

    filter: Line = ""
    revoked: bool = False


class ListJobs(Request, frozen=True, kw_only=True, tag="jobs"):
    """Jobs that match `filter` (`job_filter.py`), newest first: those older than `before_ms` and `before_id`. Answered by JobList.

    `inverted`: those that don't match it. `count_only`: how many there are, without their rows. `sort`: in the order of this field
    (`job_filter.SORTS`), from the greatest, or with `ascending` from the least; the next page goes on at `cursor`, as the answer has it.
    """

    filter: Line = ""
    inverted: bool = False
    count_only: bool = False
    project: Label = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100
    before_ms: Moment | None = None
    before_id: Id = ""
    sort: Label = ""
    ascending: bool = False
    cursor: Text = ""


class ListProjects(Request, frozen=True, kw_only=True, tag="projects"):
    """All projects. Answered by ProjectList."""


class SetProject(Request, frozen=True, kw_only=True, tag="set_project"):
    """Change a project; `status` is active, paused or archived. Answered by Done, by NotFound where there is none."""

    name: Annotated[str, Meta(min_length=1, max_length=PROJECT_CHARACTERS_MAX)]
    description: Text | None = None
    status: Label | None = None
    share: ShareChange | None = None
    """How much it may have of the fleet: for admins."""
    preemptible: bool | None = None
    """Whether its tasks make way for jobs of a higher priority band: for admins."""
    place: Label | None = None
    """Where tasks of its new jobs go that don't say: `pack` or `spread`; empty: nobody says."""
    create: bool = False
    """Make it, where there is none."""


class SetPerson(Request, frozen=True, kw_only=True, tag="set_person"):
    """Change how much a person may have of the fleet, by the name under which they submit.

    Answered by Done, by NotFound where nobody is called so.
    """

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
    share: ShareChange


class AskUsage(Request, frozen=True, kw_only=True, tag="usage"):
    """Who had what of the fleet in the last days, who has what now, and whose turn is next. Answered by UsageAnswer."""

    days: Annotated[int, Meta(ge=1, le=DAYS_MAX)] = 7


class ShowJob(Request, frozen=True, kw_only=True, tag="show"):
    """One job with its tasks and events; `id` is its id or a prefix that only it has. Answered by DetailAnswer."""

    id: Id
    tasks_from: Annotated[int, Meta(ge=0, le=NUM_TASKS_MAX)] = 0
    tasks_limit: Annotated[int, Meta(ge=0, le=NUM_TASKS_MAX)] = NUM_TASKS_MAX
    events_limit: Annotated[int, Meta(ge=0, le=EVENTS_PAGE_MAX)] = 1_000


class Act(Request, frozen=True, kw_only=True, tag="act"):
    """Pause, resume, cancel, retry, hold or release jobs, or some of their tasks (`task_selection.py`). Answered by ActResult."""

    verb: Label
    ids: Ids
    reason: Text = ""
    by: PauseBy | None = None
    """Of a pause: how; None: as each job says."""


class SetPriority(Request, frozen=True, kw_only=True, tag="set_priority"):
    """Change the priority of a waiting job, or of some of its tasks; with `relative`, add to it. Answered by Done."""

    id: Id
    priority: Annotated[int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]
    relative: bool = False


class AddTasks(Request, frozen=True, kw_only=True, tag="add_tasks"):
    """Add a task to a sweep for each of these points that it hasn't yet. Answered by Done."""

    id: Id
    points: Annotated[tuple[Point, ...], Meta(min_length=1, max_length=NUM_TASKS_MAX)]


class WaitJobs(Request, frozen=True, kw_only=True, tag="wait"):
    """Wait until each of these has ended or is blocked, for `timeout_ms` at most. Answered by JobList."""

    ids: Ids
    timeout_ms: Moment | None = None


class Why(Request, frozen=True, kw_only=True, tag="why"):
    """Why a job is in its state. Answered by WhyAnswer."""

    id: Id


class AskGraph(Request, frozen=True, kw_only=True, tag="ask_graph"):
    """The jobs that a job waits for and those that wait for it, and so on. Answered by GraphAnswer."""

    id: Id


class AskCandidates(Request, frozen=True, kw_only=True, tag="job_request"):
    """Ask every worker whether it would take this job now. Answered by Candidates.

    What workers say of input files is waited for, `wait_ms` at most; a worker that hasn't answered by then is shown as being asked.
    """

    spec: JobSpec
    wait_ms: _Wait = 2_000
    supplied: Annotated[tuple[BoundedContentId, ...], Meta(max_length=CONTENTS_MAX)] = ()
    """Trees of the spec that will be sent, or offered, before it is submitted: that nobody has them yet is no obstacle."""
    job_id: Id = ""
    """What is reserved for this job (ReserveOffer) is free to it."""


class ReserveOffer(Request, frozen=True, kw_only=True, tag="reserve_offer"):
    """Choose what a worker offers, or without a name the best one: it is kept for a short time for one task of the job that will be
    submitted with this id, in the place of what was reserved for that id before. Answered by OfferReserved.

    It is free again when the job has come in, when its time is over, when the worker or this connection is gone, and by FreeOffer.
    """

    job_id: Id
    spec: JobSpec
    worker: Label = ""


class FreeOffer(Request, frozen=True, kw_only=True, tag="free_offer"):
    """Give up what was reserved for a job that won't come, or not there. Answered by Done, also where nothing is reserved."""

    job_id: Id


class ReadLog(Request, frozen=True, kw_only=True, tag="logs"):
    """A page of a task's log; an empty one is held back for `wait_ms`, in case more comes. Answered by LogAnswer.

    `attempt` null is the latest. The last lines of an attempt may still be on their way when its end is known: they are
    waited for before the page is read, `settle_ms` at most.
    """

    id: Id
    task_index: Annotated[int, Meta(ge=0, lt=NUM_TASKS_MAX)] | None = None
    attempt: Whole | None = None
    query: LogQuery
    wait_ms: _Wait = 0
    settle_ms: _Wait = 0


class Axis(StrEnum):
    """What points are placed by: the step, or the time in Unix milliseconds."""

    STEP = "step"
    TIME = "time"


class ReadMetrics(Request, frozen=True, kw_only=True, tag="metrics"):
    """What a job's tasks, or one of them (`JOB/task-N`), have reported. Answered by MetricsAnswer.

    Of `names` points come too, at most about `points_max` for each metric of a task, with the extremes kept, and only those
    from `first` to `last`. `attempt`: of this one only, not of all attempts together. What an attempt that has ended reported last
    may still be on its way: that is waited for, `settle_ms` at most. `gpus`: with what was measured of each task's GPUs, at most about
    `points_max` of each kind, from `first` to `last` where they are times. `points_from`: not thinned, but `points_max` points from this
    one on, 0 being the first.
    """

    id: Id
    names: Annotated[tuple[Label, ...], Meta(max_length=METRICS_OF_LINE_MAX)] = ()
    axis: Axis = Axis.STEP
    first: float | None = None
    last: float | None = None
    points_max: Annotated[int, Meta(ge=POINTS_MIN, le=POINTS_MAX)] = 1_000
    attempt: Whole | None = None
    tasks_from: Annotated[int, Meta(ge=0, le=NUM_TASKS_MAX)] = 0
    tasks_limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100
    settle_ms: _Wait = 0
    gpus: bool = False
    points_from: Whole | None = None


class ListEvents(Request, frozen=True, kw_only=True, tag="events"):
    """Events, newest first: those of `subject` where it isn't empty, and before `before_seq`. Answered by EventList."""

    subject: Label = ""
    before_seq: Whole | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 200


DRAIN_DAYS_MAX = 366


class SetWorker(Request, frozen=True, kw_only=True, tag="set_worker"):
    """Drain, undrain, revoke or remove a worker, by name or id. Answered by WorkerList, as it is or last was.

    `everybody`, which only revoke knows, means all workers; `name` is then empty. What is drained may have a `reason`, and with `within_ms`
    what still runs there after that time leaves: it saves a checkpoint if it can, else it is ended, and waits in the queue again.
    """

    name: Label
    action: Label
    everybody: bool = False
    reason: Label = ""
    within_ms: Annotated[int, Meta(ge=0, le=DRAIN_DAYS_MAX * 86_400_000)] | None = None


RESERVATIONS_MAX = 1_000
"""How many reservations there may be at a time."""
RESERVED_GPUS_MAX = 1_024
RESERVE_DAYS_MAX = 366


class Reserve(Request, frozen=True, kw_only=True, tag="reserve"):
    """Reserve workers, by names or ids, for one project or person, or for maintenance. Answered by ReservationList: this one.

    `gpus`: only so many of each worker's. When it begins, what others run there leaves: it saves a checkpoint if it can, else it is ended,
    and waits in the queue again. What may not be run again stays, but for maintenance.
    """

    workers: Annotated[tuple[Label, ...], Meta(min_length=1, max_length=RESERVATIONS_MAX)]
    from_ms: Moment
    until_ms: Moment
    project: Label = ""
    person: Label = ""
    maintenance: bool = False
    gpus: Annotated[int, Meta(ge=1, le=RESERVED_GPUS_MAX)] | None = None
    reason: Label = ""


class ListReservations(Request, frozen=True, kw_only=True, tag="reservations"):
    """All reservations that haven't ended. Answered by ReservationList."""


class CancelReservation(Request, frozen=True, kw_only=True, tag="cancel_reservation"):
    """Take a reservation back, one that has begun too. Answered by Done."""

    id: Label


class ListPeople(Request, frozen=True, kw_only=True, tag="people"):
    """Who may do what here, by name. Answered by PersonList."""


class RenamePerson(Request, frozen=True, kw_only=True, tag="rename_person"):
    """Give a person another name. Answered by PersonList."""

    name: Label
    new: Label


class RevokePeople(Request, frozen=True, kw_only=True, tag="revoke_people"):
    """Take back the credentials of these people, or of everybody together with all open invitations. Answered by PersonList.

    Their open connections end at once. The token in the coordinator's data folder stays good.
    """

    names: Annotated[tuple[Label, ...], Meta(max_length=IDS_MAX)] = ()
    everybody: bool = False


class ListInvitations(Request, frozen=True, kw_only=True, tag="invitations"):
    """The invitations that still let somebody in. Answered by InvitationList."""


class RevokeInvitations(Request, frozen=True, kw_only=True, tag="revoke_invitations"):
    """End these invitations or, with `everything`, all. Answered by InvitationList: those that were open."""

    ids: Annotated[tuple[Label, ...], Meta(max_length=IDS_MAX)] = ()
    everything: bool = False


class Invite(Request, frozen=True, kw_only=True, tag="invite"):
    """Make an invitation; `role` is worker, viewer, operator or admin. Answered by Invited."""

    role: Label = "worker"
    ttl_ms: Annotated[int, Meta(ge=1, le=TTL_MS_MAX)] = 3_600_000
    uses: Annotated[int, Meta(ge=1, le=USES_MAX)] = 1
    name: Label = ""
    tags: Tags = ()


class Subscribe(Request, frozen=True, kw_only=True, tag="subscribe"):
    """Hear of every change from now on. Answered by SnapshotAnswer, which has `finished_limit` finished jobs at most; Updates follow."""

    finished_limit: Annotated[int, Meta(ge=0, le=PAGE_MAX)] = 200


class ConfirmRestore(Request, frozen=True, kw_only=True, tag="confirm_restore"):
    """After a restored backup: let the coordinator stop what it doesn't know. Answered by Done."""


class Backup(Request, frozen=True, kw_only=True, tag="backup"):
    """Copy the store, online, to a new file on the coordinator's machine. Answered by Done."""

    path: Annotated[Path, Meta(min_length=1)]


class Clean(Request, frozen=True, kw_only=True, tag="clean"):
    """Show what ended jobs left on these workers (on all where none is named) and with the coordinator; with `remove`, remove it.

    Only what is older than `older_than_ms` counts. `attempts`: what attempts left on workers and nobody has changed since.
    `outputs`: output folders. `logs`, `history`: what the coordinator holds. `policy`: say also what is removed without being
    asked. `jobs`: ended jobs, by id or a prefix that only it has; then nothing of any other job counts, and their age doesn't
    matter. Answered by Cleaned.
    """

    workers: Annotated[tuple[Label, ...], Meta(max_length=IDS_MAX)] = ()
    older_than_ms: Whole = 0
    remove: bool = False
    attempts: bool = True
    outputs: bool = False
    logs: bool = False
    history: bool = False
    policy: bool = False
    jobs: Annotated[tuple[Id, ...], Meta(max_length=IDS_MAX)] = ()


class AskHealth(Request, frozen=True, kw_only=True, tag="health"):
    """How the coordinator is. Answered by Health."""


class AskForStream(Request, frozen=True, kw_only=True, tag="ask_for_stream"):
    """Open a stream. Answered by StreamAnswer."""

    open: OpenStream


class SendSignal(Request, frozen=True, kw_only=True, tag="send_signal"):
    """Tell the other end of one's stream something. Answered by Done."""

    stream_id: Id
    body: Annotated[bytes, Meta(max_length=SIGNAL_BYTES_MAX)]


class AwaitSignals(Request, frozen=True, kw_only=True, tag="await_signals"):
    """Take what the other end of one's stream has told, or wait for it. Answered by SignalsAnswer."""

    stream_id: Id
    wait_ms: _Wait = 10_000


class EndStream(Request, frozen=True, kw_only=True, tag="end_stream"):
    """A stream that one opened has done its work, or failed (`error`). Answered by Done."""

    stream_id: Id
    way: Way | None = None
    bytes: Whole = 0
    files: Whole = 0
    milliseconds: Whole = 0
    error: Text = ""
    engine: Label = ""
    """Of WebRTC, where that was the way."""


class FindContents(Request, frozen=True, kw_only=True, tag="find_contents"):
    """Ask which of these trees the coordinator keeps. Answered by ContentsAnswer."""

    content_ids: Annotated[tuple[BoundedContentId, ...], Meta(max_length=CONTENTS_MAX)]


class OfferContents(Request, frozen=True, kw_only=True, tag="offer_contents"):
    """Say that this machine has these trees, and wait until one of them is wanted. Answered by OfferAnswer.

    The machine counts as connected as long as such a call is open, and a little longer.
    """

    host: Name
    host_id: Annotated[str, Meta(min_length=1, max_length=ID_CHARACTERS_MAX)]
    content_ids: Annotated[tuple[BoundedContentId, ...], Meta(max_length=CONTENTS_MAX)]
    wait_ms: _Wait = 10_000


class ListFiles(Request, frozen=True, kw_only=True, tag="list_files"):
    """A page of a folder on a worker, or what a search below it finds. Answered by FileList.

    `worker` is the name or id of the worker whose mount it is. For a job's folders it may be empty: then it is the worker of
    the task's last attempt. The tasks of a job with several are the folders `task-0`, `task-1`, … of the job's root, as far
    as they have started; what is below them is asked of the worker of each. The coordinator fills in the rest of the root.
    """

    worker: Label = ""
    query: FileQuery


class ReadFilePart(Request, frozen=True, kw_only=True, tag="read_file_part"):
    """A piece of a file on a worker. `worker` is as in ListFiles. Answered by FilePartAnswer."""

    worker: Label = ""
    query: PartQuery


class DescribeDataset(Request, frozen=True, kw_only=True, tag="describe_dataset"):
    """What a dataset on a worker is, or one that the worker reaches by a URL. Answered by DatasetAnswer.

    `worker` is as in ListFiles; for a URL it is the worker that reads it.
    """

    worker: Label = ""
    query: DatasetQuery


AnyRequest = (
    SubmitJobs | ListWorkers | ListJobs | ListProjects | ListTemplates | SetTemplate | SetProject | ShowJob | Act
    | SetPriority | WaitJobs | Why | AskGraph | AskCandidates | ReadLog | ListEvents | SetWorker | Invite | Subscribe
    | ConfirmRestore | Backup | Clean | AskHealth | ListPeople | RenamePerson | RevokePeople | ListInvitations
    | RevokeInvitations | AskForStream | SendSignal | AwaitSignals | EndStream | FindContents | OfferContents
    | ListFiles | ReadFilePart | ReadMetrics | DescribeDataset | SetPerson | AskUsage | AddTasks
    | SyncTemplates | RemoveTemplate | MoveJob | PopJob | ClearQueue | SetParallel
    | Reserve | ListReservations | CancelReservation | ReserveOffer | FreeOffer
)  # fmt: skip
