"""A `FleetSource` that plays the recorded fleet and writes down what it is asked."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from opsconsole.fleet import Fleet
from opsconsole.target import Target
from opsconsole_console.model.contact import Contact
from opsconsole_console.service.source import OnChange, OnContact
from opsconsole_protocol import api
from opsconsole_protocol.api import job_filter
from opsconsole_protocol.error import Conflict, NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.spec import JobSpec
from tests.console.app import recorded, recorded_log, recorded_metric
from tests.console.app.recorded_file import RecordedFiles


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now_ms: int = recorded.NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class RecordedSource:
    """`requests` has everything asked but for logs, in order; `refuse` makes the next request of a kind fail."""

    address = "wss://10.77.0.1:7373"

    def __init__(self, clock: Clock | None = None, *, snapshot: api.Snapshot | None = None, role: str = "operator"):
        self.clock = clock or Clock()
        self.fleet = Fleet()
        self.requests: list[api.AnyRequest] = []
        self.log_requests: list[api.ReadLog] = []
        self.refuse: tuple[type, OpsconsoleError] | None = None
        self.older: list[api.JobRow] = []
        self.older_events: list[api.EventRow] = []
        self.reporting = 3
        """How many tasks of a job have reported something."""
        self.points: tuple[dict[str, str], ...] = ()
        """Where they are given, the tasks of a job are these: one has succeeded, one runs, one has failed, one waits, and so on."""
        self.over: set[int] = set()
        """Which of them have ended since."""
        self.shift = 0.0
        """By how much what they reported last is greater than at first."""
        self.page_rows = 1_000
        """How many jobs or events are in one answer."""
        self.silent = False
        """Whether nothing is answered any more, though the connection is there."""
        self.snapshot = snapshot or recorded.snapshot()
        self.log = recorded_log.RecordedLog()
        self.files = RecordedFiles()
        self.datasets: dict[str, api.DatasetAnswer] = {}
        """What workers say of datasets, by URL or by label and path."""
        self.needs: dict[str, tuple[api.NeedRow, ...]] = {
            one.job.id: tuple(api.NeedRow(id=need.job, end=need.end) for need in one.spec.dependencies)
            for one in recorded.DETAILS.values()
        }
        """What each job waits for of others."""
        self.connected = True
        self.join_line = recorded.JOIN_LINE
        self.people = list(recorded.people())
        self.invitations = list(recorded.invitations())
        self.reservations = list(recorded.reservations())
        self.unreachable = ""
        """Why nobody answers from the start on; empty where somebody does."""
        self.watchers: tuple[str, ...] = ("ana",)
        self._role = role
        self._on_change: OnChange | None = None
        self._on_contact: OnContact | None = None

    async def run(self, on_change: OnChange, on_contact: OnContact) -> None:
        self._on_change, self._on_contact = on_change, on_contact
        if self.unreachable:
            self.lose(self.unreachable)
            await asyncio.Event().wait()
        now_ms, self.clock.now_ms = self.clock.now_ms, self.clock.now_ms - (recorded.HEARTBEATS + 1) * 5_000
        on_contact(Contact("connected", self.address, self._role, "ana"))
        on_change(self.fleet.reset(self.snapshot))
        self._play_history(now_ms)
        await asyncio.Event().wait()

    def _play_history(self, now_ms: int) -> None:
        """Two minutes of heartbeats, so that sparklines have something to show."""
        for step, update in enumerate(recorded.heartbeats(self.snapshot)):
            self.clock.now_ms = now_ms - (recorded.HEARTBEATS - step) * 5_000
            self.push(update)
        self.clock.now_ms = now_ms

    def push(self, update: api.Update) -> None:
        """Let an update come from the coordinator."""
        assert self._on_change is not None
        self._on_change(self.fleet.fold(update))

    def enlarge(self, job: str, tasks: int) -> None:
        """Have a job with more tasks, from the start."""
        rows = [
            replace(row, num_tasks=tasks, task_counts={"running": tasks}) if row.id.startswith(job) else row
            for row in self.snapshot.jobs
        ]
        self.snapshot = replace(self.snapshot, jobs=tuple(rows))

    def change_jobs(self, *rows: api.JobRow) -> None:
        """Let jobs change."""
        self.push(api.Update(seq=self.fleet.seq + 1, jobs=rows))

    def change_workers(self, *rows: api.WorkerRow) -> None:
        """Let workers change."""
        self.push(api.Update(seq=self.fleet.seq + 1, workers=rows))

    def lose(self, why: str = "the connection was reset", *, retry_ms: int = 0) -> None:
        """Lose the connection."""
        self.connected = False
        assert self._on_contact is not None
        self._on_contact(Contact("lost", why, self._role, retry_ms=retry_ms))

    def regain(self) -> None:
        """Have it back."""
        self.connected = True
        assert self._on_contact is not None
        assert self._on_change is not None
        self._on_contact(Contact("connected", self.address, self._role, "ana"))
        self._on_change(self.fleet.reset(self.snapshot))

    async def home(self) -> Home:
        raise Unavailable("the recorded fleet has no streams")

    def target(self) -> Target:
        return Target("ws://127.0.0.1:7373", "token")

    async def store_id(self) -> str:
        return "recorded"

    async def request(self, request: api.AnyRequest) -> api.AnyAnswer:
        await asyncio.sleep(0)
        if not self.connected:
            raise Unavailable("no connection to the coordinator")
        if self.silent:
            await asyncio.Event().wait()
        if isinstance(request, api.ReadLog):
            self.log_requests.append(request)
            return await self.log.read(request, self.fleet)
        self.requests.append(request)
        if self.refuse is not None and isinstance(request, self.refuse[0]):
            refusal, self.refuse = self.refuse[1], None
            raise refusal
        answer = ANSWERS.get(type(request))
        if answer is None:
            raise Conflict(f"the recorded fleet has no answer to {type(request).__name__}")
        return answer(self, request)

    def asked(self, kind: type[api.AnyRequest]) -> list[api.AnyRequest]:
        """The requests of one kind."""
        return [request for request in self.requests if isinstance(request, kind)]


def _detail(job_id: str) -> api.JobDetail:
    found = next((detail for detail in recorded.DETAILS.values() if detail.job.id.startswith(job_id)), None)
    if found is None:
        raise NotFound(f"there is no job {job_id}")
    return found


def _act(source: RecordedSource, request: api.Act) -> api.ActResult:
    return api.ActResult(results=tuple((job_id, recorded.SAID[request.verb]) for job_id in request.ids))


def _set_priority(source: RecordedSource, request: api.SetPriority) -> api.Done:
    before = source.fleet.jobs[request.id.partition("/")[0]].priority if request.relative else 0
    return api.Done(text=f"priority set to {before + request.priority} by ana")


def _show(source: RecordedSource, request: api.ShowJob) -> api.DetailAnswer:
    old = next((job for job in source.older if job.id == request.id), None)
    if old is not None and old.name not in recorded.DETAILS:
        spec = JobSpec(command=("python", "old.py"), name=old.name)
        return api.DetailAnswer(detail=api.JobDetail(job=old, spec=spec, tasks=(), events=()))
    detail = _detail(request.id)
    return api.DetailAnswer(
        detail=replace(
            detail,
            job=source.fleet.jobs.get(detail.job.id) or detail.job,
            tasks=detail.tasks[request.tasks_from : request.tasks_from + request.tasks_limit],
            events=detail.events[: request.events_limit],
        )
    )


def _why(source: RecordedSource, request: api.Why) -> api.WhyAnswer:
    job = _detail(request.id).job
    return replace(recorded.WHYS[job.id], job=source.fleet.jobs[job.id])


def _graph(source: RecordedSource, request: api.AskGraph) -> api.GraphAnswer:
    """What the recorded jobs wait for, as far as they hang together."""
    asked = _detail(request.id).job.id
    needs = source.needs
    near = {asked}
    while more := {
        other
        for one in needs
        for need in needs[one]
        for other in (one, need.id)
        if {one, need.id} & near and other not in near
    }:
        near |= more
    order = [one for one in source.fleet.jobs if one in near]
    rows = sorted(order, key=lambda one: len(_before(one, needs)))
    return api.GraphAnswer(
        id=asked, jobs=tuple(api.GraphRow(job=source.fleet.jobs[one], needs=needs[one]) for one in rows)
    )


def _before(one: str, needs: dict[str, tuple[api.NeedRow, ...]]) -> set[str]:
    return {need.id for need in needs[one]}.union(*(_before(need.id, needs) for need in needs[one]))


def _candidates(source: RecordedSource, request: api.AskCandidates) -> api.Candidates:
    return recorded.candidates(request.spec)


def _submit(source: RecordedSource, request: api.SubmitJobs) -> api.JobList:
    rows = []
    for submission in request.submissions:
        spec = submission.spec
        rows.append(
            api.JobRow(
                id=submission.job_id, name=spec.title, project=spec.project, state="pending", reason="",
                priority=spec.priority, num_tasks=spec.num_tasks, task_counts={"pending": spec.num_tasks},
                worker=None, output_path=None, submitted_by="ana", created_at_ms=source.clock.now_ms,
                started_at_ms=None, finished_at_ms=None,
            )
        )  # fmt: skip
    source.change_jobs(*rows)
    return api.JobList(jobs=tuple(rows))


def _dataset(source: RecordedSource, request: api.DescribeDataset) -> api.DatasetAnswer:
    query = request.query
    where = query.url if query.root is None else f"{query.root.mount}:{query.path.decode()}"
    if where not in source.datasets:
        raise NotFound(f"{where} is not there")
    return source.datasets[where]


def _events(source: RecordedSource, request: api.ListEvents) -> api.EventList:
    rows = [*recorded.EVENTS, *source.older_events]
    rows = [event for event in rows if request.subject in ("", event.subject, event.subject.partition("/")[0])]
    if request.before_seq is not None:
        rows = [event for event in rows if event.seq < request.before_seq]
    return api.EventList(events=tuple(rows[: request.limit]))


def _jobs(source: RecordedSource, request: api.ListJobs) -> api.JobList:
    """Newest first; a filter looks at one page's jobs and no more."""
    rows = sorted(source.older, key=lambda job: (-job.created_at_ms, job.id))
    if request.before_ms is not None:
        before = (-request.before_ms, request.before_id)
        rows = [job for job in rows if (-job.created_at_ms, job.id) > before]
    page, more = rows[: source.page_rows], len(rows) > source.page_rows
    shown = job_filter.parse(request.filter, inverted=request.inverted)
    keeps = shown.predicate(job_filter.properties_by(source.clock), job_filter.haystack)
    kept = tuple(job for job in page if keeps is None or keeps(job))
    answer = api.JobList(jobs=kept, more=more)
    if request.count_only:
        answer = api.JobList(jobs=(), more=more, matched=len(kept))
    if more and answer.jobs[-1:] != tuple(page[-1:]):
        answer = replace(answer, next_ms=page[-1].created_at_ms, next_id=page[-1].id)
    return answer


def _metrics(source: RecordedSource, request: api.ReadMetrics) -> api.MetricsAnswer:
    """A loss that falls and an accuracy that rises, of each task its own."""
    job_id, _, task = request.id.partition("/")
    job = source.fleet.jobs[job_id]
    count = len(source.points) or min(job.num_tasks, source.reporting)
    indices = [int(task.rpartition("-")[2])] if task else range(count)[request.tasks_from :][: request.tasks_limit]
    runs = tuple(recorded_metric.run(job.id, job.name, index, request, count) for index in indices)
    runs = tuple(
        recorded_metric.gone_on(run, source.shift, over=index in source.over)
        for index, run in zip(indices, runs, strict=True)
    )
    if source.points:
        states = ("succeeded", "running", "failed", "pending")
        runs = tuple(
            replace(
                run,
                parameters=source.points[index],
                state=states[index % 4],
                metrics=run.metrics if index % 4 < 3 else (),
            )
            for index, run in zip(indices, runs, strict=True)
        )
    return api.MetricsAnswer(runs=runs, more=request.tasks_from + len(runs) < count and not task)


def _templates(_source: RecordedSource, request: api.ListTemplates) -> api.TemplateList:
    """All of them; of `train` there was another version before."""
    newest = tuple(replace(one, version=2) if one.name == "train" else one for one in recorded.templates())
    if not request.name:
        return api.TemplateList(templates=newest)
    found = [one for one in newest if one.name == request.name]
    if found and found[0].version == 2:
        older = replace(found[0], version=1, command=(*found[0].command, "--old"), created_by="bo")
        found.append(older)
    return api.TemplateList(templates=tuple(one for one in found if request.version in {None, one.version}))


def _reserve(source: RecordedSource, request: api.Reserve) -> api.ReservationList:
    made = replace(
        source.reservations[0], id="rn3w0ne", workers=request.workers, project=request.project, person=request.person,
        maintenance=request.maintenance, gpus=request.gpus, from_ms=request.from_ms, until_ms=request.until_ms, reason=request.reason,
    )  # fmt: skip
    source.reservations.append(made)
    return api.ReservationList(reservations=(made,))


def _cancel_reservation(source: RecordedSource, request: api.CancelReservation) -> api.Done:
    source.reservations = [one for one in source.reservations if one.id != request.id]
    return api.Done(text=f"reservation {request.id} cancelled by ana")


ANSWERS: dict[type, Callable[..., api.AnyAnswer]] = {
    api.Act: _act,
    api.AskCandidates: _candidates,
    api.ReserveOffer: lambda _s, r: api.OfferReserved(
        accepted=True, worker=r.worker, worker_id=r.worker, left_ms=60_000
    ),
    api.FreeOffer: lambda _s, r: api.Done(text=f"nothing is reserved for job {r.job_id}"),
    api.AskUsage: lambda _s, _r: recorded.usage(),
    api.SetPerson: lambda _s, r: api.Done(text=f"{r.name} is set"),
    api.SetProject: lambda _s, r: api.Done(text=f"{r.name} is set"),
    api.AskHealth: lambda s, _r: api.Health(
        healthy=True, uptime_ms=1, workers=1, running_tasks=0, pending_tasks=0, store_seq=1, watchers=s.watchers
    ),
    api.DescribeDataset: _dataset,
    api.Invite: lambda _s, _r: api.Invited(
        line=_s.join_line,
        expires_at_ms=recorded.NOW_MS + 3_600_000,
    ),
    api.ListEvents: _events,
    api.ListFiles: lambda s, r: s.files.list_files(r),
    api.ListJobs: _jobs,
    api.ListInvitations: lambda s, _r: api.InvitationList(invitations=tuple(s.invitations)),
    api.ListPeople: lambda s, _r: api.PersonList(people=tuple(s.people)),
    api.ListReservations: lambda s, _r: api.ReservationList(reservations=tuple(s.reservations)),
    api.Reserve: _reserve,
    api.CancelReservation: _cancel_reservation,
    api.RenamePerson: lambda s, _r: api.PersonList(people=tuple(s.people[:1])),
    api.RevokeInvitations: lambda s, _r: api.InvitationList(invitations=tuple(s.invitations)),
    api.RevokePeople: lambda s, _r: api.PersonList(people=tuple(s.people)),
    api.ReadMetrics: _metrics,
    api.ReadFilePart: lambda s, r: s.files.read_part(r),
    api.ListTemplates: _templates,
    api.MoveJob: lambda _s, r: api.Done(text=f"moved {r.where}: 1 of 3 of ana's jobs"),
    api.SetParallel: lambda _s, r: api.Done(text=f"at most {r.max_parallel} of its tasks run at a time"),
    api.SetPriority: _set_priority,
    api.SetWorker: lambda _s, _r: api.WorkerList(workers=()),
    api.ShowJob: _show,
    api.SubmitJobs: _submit,
    api.AskGraph: _graph,
    api.Why: _why,
}
