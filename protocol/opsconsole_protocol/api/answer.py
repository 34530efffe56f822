"""What the coordinator answers with. Which request gets which answer is said at the request (`request.py`)."""

import msgspec

from opsconsole_protocol.api.row import (
    EventRow,
    GraphRow,
    InvitationRow,
    JobDetail,
    JobRow,
    LeavingRow,
    LineRow,
    PersonRow,
    PolicyRow,
    ProjectRow,
    ReservationRow,
    RunRow,
    Snapshot,
    UsageRow,
    Verdict,
    WorkerRow,
)
from opsconsole_protocol.api.template_row import TemplateChange, TemplateRow
from opsconsole_protocol.dataset import DatasetDescription, DatasetFault
from opsconsole_protocol.estimate import EstimateError
from opsconsole_protocol.file_listing import FilePage, FilePart
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.log import LogPage
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.stream.message import StreamGrant


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all answers."""


class Done(Answered, frozen=True, kw_only=True, tag="done"):
    """What was asked for is done; `text` says what that was, in one line."""

    text: str = ""


class WorkerList(Answered, frozen=True, kw_only=True, tag="worker_list"):
    """Workers, ordered by name."""

    workers: tuple[WorkerRow, ...]


class JobList(Answered, frozen=True, kw_only=True, tag="job_list"):
    """Jobs, in the order that was asked for; `more` is true where a further page may exist.

    A filter looks at a bounded number of jobs for one page: `next_ms` and `next_id` say where it left off. Where they
    aren't set, the next page begins after the last job of this one. `matched` is how many of those that were looked at match,
    where only that was asked for. A sorted list goes on at `cursor`.
    """

    jobs: tuple[JobRow, ...]
    more: bool = False
    next_ms: int | None = None
    next_id: str = ""
    matched: int = 0
    cursor: str = ""


class ProjectList(Answered, frozen=True, kw_only=True, tag="project_list"):
    """Projects, ordered by name."""

    projects: tuple[ProjectRow, ...]


class TemplateList(Answered, frozen=True, kw_only=True, tag="template_list"):
    """Templates, ordered by name, or versions of one, newest first; `more`: there are older ones."""

    templates: tuple[TemplateRow, ...]
    more: bool = False


class TemplatesSet(Answered, frozen=True, kw_only=True, tag="templates_set"):
    """What became of each template, ordered by name; of a dry run, what would."""

    changes: tuple[TemplateChange, ...]


class Popped(Answered, frozen=True, kw_only=True, tag="popped"):
    """The job that was taken off the queue, as it is now, and what it was submitted with."""

    job: JobRow
    spec: JobSpec


class Cleared(Answered, frozen=True, kw_only=True, tag="cleared"):
    """The jobs that were taken off the queue, or would be; `more`: there are others."""

    ids: tuple[str, ...]
    more: bool = False


class DetailAnswer(Answered, frozen=True, kw_only=True, tag="detail"):
    """One job in detail."""

    detail: JobDetail


class ActResult(Answered, frozen=True, kw_only=True, tag="acted"):
    """One line for each id: `(id, what happened)`. That a job is already in the state asked for is no error.

    `refused` has the ids whose line says why nothing happened.
    """

    results: tuple[tuple[str, str], ...]
    refused: tuple[str, ...] = ()


class GraphAnswer(Answered, frozen=True, kw_only=True, tag="graph_answer"):
    """Jobs that wait for each other, each after those that it waits for. `more`: there are others, further away."""

    id: str
    """The whole id of the job that was asked for."""
    jobs: tuple[GraphRow, ...]
    more: bool = False


class WhyAnswer(Answered, frozen=True, kw_only=True, tag="why_answer"):
    """Why a job is in its state: `text` in one line, and each worker's verdict while the job waits.

    `ahead` says how many jobs have their turn before it as things stand, and `ahead_jobs` has the first of their ids.
    """

    job: JobRow
    text: str
    verdicts: tuple[Verdict, ...] = ()
    ahead: int = 0
    ahead_jobs: tuple[str, ...] = ()


class Candidates(Answered, frozen=True, kw_only=True, tag="job_response"):
    """Every worker's verdict, best first; `text` says which one automatic placement would take, or why none.

    `chosen` is the name of that worker, `because` why that one; both are empty where none would take it.
    """

    verdicts: tuple[Verdict, ...]
    text: str
    chosen: str = ""
    because: str = ""


class OfferReserved(Answered, frozen=True, kw_only=True, tag="reserved"):
    """Whether an offer is reserved for a job that is to come; `reason` says why not, and nothing is reserved for it then.

    `left_ms`: for how much longer. `gpus`: how many it has of that worker.
    """

    accepted: bool
    reason: str = ""
    worker: str = ""
    worker_id: str = ""
    left_ms: int = 0
    gpus: int = 0


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
    """An invitation: the line to paste, and when it ends (Unix milliseconds)."""

    line: str
    expires_at_ms: int


class PersonList(Answered, frozen=True, kw_only=True, tag="person_list"):
    """People, ordered by name."""

    people: tuple[PersonRow, ...]


class ReservationList(Answered, frozen=True, kw_only=True, tag="reservation_list"):
    """Reservations, ordered by when they begin."""

    reservations: tuple[ReservationRow, ...]


class InvitationList(Answered, frozen=True, kw_only=True, tag="invitation_list"):
    """Open invitations; the one that ends first comes first."""

    invitations: tuple[InvitationRow, ...]


class SnapshotAnswer(Answered, frozen=True, kw_only=True, tag="snapshot"):
    """The state of the fleet from which a subscriber folds the updates that follow."""

    snapshot: Snapshot


class Cleaned(Answered, frozen=True, kw_only=True, tag="cleaned"):
    """What can be removed or, where `removed` is true, what was. `remarks` says what couldn't be asked or done.

    `policy` says what is removed without being asked, where the request wanted to know.
    """

    leavings: tuple[LeavingRow, ...]
    removed: bool = False
    remarks: tuple[str, ...] = ()
    policy: tuple[PolicyRow, ...] = ()


class Health(Answered, frozen=True, kw_only=True, tag="health"):
    """How the coordinator is: how long it has been up, how many tasks run and wait, and where its store stands.

    `store_seq` is the sequence number of the last commit. `adopting`: the store was restored from a backup, and nothing is
    stopped before an operator confirms. `watchers` names the user of each open console, that of the asker included.
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


class StreamAnswer(Answered, frozen=True, kw_only=True, tag="stream"):
    """The asker's end of a new stream."""

    grant: StreamGrant


class SignalsAnswer(Answered, frozen=True, kw_only=True, tag="signals"):
    """What the other end has told, in order. `is_over`: nothing more comes; `stopped`: why the stream is to end, also where it stands."""

    bodies: tuple[bytes, ...] = ()
    is_over: bool = False
    stopped: str = ""


class ContentsAnswer(Answered, frozen=True, kw_only=True, tag="contents"):
    """Those of the trees asked for that the coordinator keeps. Larger ones than `keep_bytes_max` it doesn't take."""

    kept: tuple[ContentId, ...] = ()
    keep_bytes_max: int = 0


class OfferAnswer(Answered, frozen=True, kw_only=True, tag="offered"):
    """Streams by which trees of the asker are wanted. `unwanted`: no unfinished job needs these any more."""

    grants: tuple[StreamGrant, ...] = ()
    unwanted: tuple[ContentId, ...] = ()


class FileList(Answered, frozen=True, kw_only=True, tag="file_list"):
    """A page of a folder, and the name of the worker that it is on; empty where that is several workers' (a job's tasks)."""

    page: FilePage
    worker: str = ""


class FilePartAnswer(Answered, frozen=True, kw_only=True, tag="file_part"):
    """A piece of a file, and the name of the worker that it is on."""

    part: FilePart
    worker: str = ""


class MetricsAnswer(Answered, frozen=True, kw_only=True, tag="metrics"):
    """What tasks have reported, by index. `more`: the job has tasks beyond these."""

    runs: tuple[RunRow, ...]
    more: bool = False


class DatasetAnswer(Answered, frozen=True, kw_only=True, tag="dataset"):
    """What a dataset is, or else what is wrong with it, and the name of the worker that looked."""

    description: DatasetDescription | None = None
    fault: DatasetFault | None = None
    worker: str = ""


class UsageAnswer(Answered, frozen=True, kw_only=True, tag="usage_answer"):
    """Who had and has what since `from_ms`, most first, and the waiting lines in order. `half_life_ms`: what was had fades.

    `left_out`: how many rows there are beyond these, of those who have nothing now and had least.
    """

    from_ms: int
    half_life_ms: int
    rows: tuple[UsageRow, ...]
    lines: tuple[LineRow, ...]
    left_out: int = 0
    estimates: tuple[EstimateError, ...] = ()
    """How wrong estimates were, by kind of job, those that ran last first."""


AnyAnswer = (
    Done | WorkerList | JobList | ProjectList | TemplateList | DetailAnswer | ActResult | WhyAnswer | GraphAnswer | Candidates
    | LogAnswer | EventList | Invited | SnapshotAnswer | Health | PersonList | InvitationList | Cleaned
    | StreamAnswer | SignalsAnswer | ContentsAnswer | OfferAnswer | FileList | FilePartAnswer
    | MetricsAnswer
    | DatasetAnswer | UsageAnswer
    | TemplatesSet | Popped | Cleared
    | ReservationList | OfferReserved
)  # fmt: skip
