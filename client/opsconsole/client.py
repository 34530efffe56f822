"""The asynchronous client: everything that a person or a script can ask of a coordinator."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from opsconsole import points
from opsconsole.ask import act, is_repeatable
from opsconsole.call import CALLS_FILE
from opsconsole.connection import Connection
from opsconsole.dialer import ConnectionSource, Dialer
from opsconsole.fleet_requests import FleetRequests
from opsconsole.function import PythonFunction
from opsconsole.function_requests import FunctionRequests
from opsconsole.log_follower import LogFollower
from opsconsole.outcome import RECOVERABLE, exit_code, is_finished_state, is_settled
from opsconsole.pipeline import named_specs
from opsconsole.place_requests import PlaceRequests
from opsconsole.queue_requests import QueueRequests
from opsconsole.resolver import resolve
from opsconsole.sweep_requests import SweepRequests
from opsconsole.target import TargetSource, current
from opsconsole.template_requests import TemplateRequests
from opsconsole_protocol import api
from opsconsole_protocol.error import (
    InvalidRequest,
    JobFailedError,
    NoWorkersAcceptedError,
    NoWorkersAvailableError,
    Unavailable,
)
from opsconsole_protocol.ids import ContentId, JobId, job_id
from opsconsole_protocol.log import LogLine, LogQuery
from opsconsole_protocol.spec import JobSpec, PauseBy, check_fields, check_spec
from opsconsole_protocol.state import TaskState, WorkerConnection, WorkerStatus

if TYPE_CHECKING:
    from opsconsole.transfer.client_transfer import ClientTransfers
    from opsconsole.transfer.row import TransferRow
    from opsconsole.work import Departure
    from opsconsole_protocol.host.stream.coordinator_dial import Home

WAIT_SLICE_MS = 30_000
"""A long wait is asked for in slices, so that a dead connection is noticed in between."""
SETTLE_MS = 5_000
"""How long `read_log` waits for the last lines of an attempt that has ended. They come as long as its worker lives."""

_log = logging.getLogger("opsconsole")
_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 3.0


class Client(FunctionRequests, SweepRequests, TemplateRequests, QueueRequests, PlaceRequests, FleetRequests):
    """Everything that can be asked of a coordinator. Use it as `async with await Client.connect() as client`.

    A call whose connection is lost is tried again for `retry_for_s` seconds, then it raises Unavailable; `on_retry` is told
    why, before each further try. A call that would do harm if it were carried out twice is not repeated. Every method
    raises OpsconsoleError and its subclasses; those named at a method are what its own arguments may cause.
    """

    def __init__(
        self, source: ConnectionSource, *, retry_for_s: float = 0.0, on_retry: Callable[[str], None] | None = None
    ) -> None:
        self._source = source
        self._target: TargetSource | None = None
        self.retry_for_s = retry_for_s
        self._on_retry = on_retry
        self._is_closed = False
        self._transfers: ClientTransfers | None = None

    @classmethod
    async def connect(
        cls,
        url: str | None = None,
        token: str | None = None,
        certificate_hash: str | None = None,
        data_dir: str | Path | None = None,
        *,
        retry_for_s: float = 0.0,
    ) -> Self:
        """Connect to the coordinator that the arguments, the environment or the data folder name.

        See `resolver.resolve`. Raises what that raises, and what `Connection.open` raises.
        """
        return await cls.open(lambda: resolve(url, token, certificate_hash, data_dir), retry_for_s=retry_for_s)

    @classmethod
    async def open(
        cls, target: TargetSource, *, retry_for_s: float = 0.0, on_retry: Callable[[str], None] | None = None
    ) -> Self:
        """Connect to a target that is known already. Raises what `Connection.open` raises."""
        source = Dialer(target)
        await source.connection()
        client = cls(source, retry_for_s=retry_for_s, on_retry=on_retry)
        client._target = target
        return client

    async def close(self) -> None:
        """Close the connection. Calls that wait fail with Unavailable and aren't tried again; transfers are cancelled."""
        if self._transfers is not None:
            await self._transfers.close()
        self._is_closed = True
        await self._source.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- asking ------------------------------------------------------------------------------------------------

    async def request(self, request: api.AnyRequest) -> api.AnyAnswer:
        """Send any request, and return its answer, of whatever kind."""
        deadline = asyncio.get_running_loop().time() + self.retry_for_s
        pause_s = _RETRY_FIRST_S
        while True:
            if self._is_closed:
                raise Unavailable("this client is closed")
            try:
                connection = await self._source.connection()
                answer = await connection.call(request)
            except Unavailable as error:
                is_late = asyncio.get_running_loop().time() + pause_s > deadline
                if is_late or not is_repeatable(request):
                    raise
                if self._on_retry is not None and not self._is_closed:
                    self._on_retry(error.message)
            else:
                return answer
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _RETRY_MAX_S)

    async def home(self) -> Home:
        """Where the coordinator is at the moment: for streams, which dial it on their own. Raises as `request` does."""
        from opsconsole_protocol.host.stream.coordinator_dial import Home

        connection = await self._connection()
        return Home(connection.url, connection.certificate_hash)

    async def store_id(self) -> str:
        """Which coordinator it is, wherever it listens. Raises as `request` does."""
        return (await self._connection()).welcome.store_id

    async def _connection(self) -> Connection:
        """The connection; a lost one is tried again as `request` does it."""
        await self.request(api.AskHealth())
        return await self._source.connection()

    # --- jobs --------------------------------------------------------------------------------------------------

    async def submit(
        self,
        specs: JobSpec | PythonFunction | Iterable[JobSpec | PythonFunction],
        job_ids: JobId | Sequence[JobId] | None = None,
        *,
        uploads: str | Path | Sequence[str | Path] = (),
        bundle: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> list[api.JobRow]:
        """Submit one job or several, commands or functions, all or none, and return their rows, in the order of the specs.

        `job_ids` are made here unless they are given. A submission with the ids of an earlier one is that earlier one, so
        that it may be repeated when its answer got lost. Raises InvalidRequest for a spec that can't be right.

        `uploads` (PATH or PATH:NAME) and the code in the folder `bundle` are brought along by each of the jobs: they are hashed
        and sent first, unless they are there; `tell` gets a line for each. A file that is too large for the coordinator to keep
        is sent from here once a worker is known, for as long as this client is open. Raises also what `packing.pack` raises.
        """
        given = (
            (specs,) if isinstance(specs, JobSpec | PythonFunction) or not isinstance(specs, Iterable) else tuple(specs)
        )
        many = tuple(one.spec() if isinstance(one, PythonFunction) else one for one in given)
        if job_ids is None:
            ids: Sequence[JobId] = [new_job_id() for _ in many]
        else:
            ids = [JobId(job_ids)] if isinstance(job_ids, str) else job_ids
        if len(ids) != len(many):
            raise InvalidRequest(f"{len(ids)} ids for {len(many)} jobs")
        for spec in many:
            _check(spec)
        if uploads or bundle is not None:
            many = await self._files().pack(many, ids, uploads, bundle, tell)
        for place, one in enumerate(given):
            if isinstance(one, PythonFunction) and one.needs_file:
                brought = await self._files().pack_text(CALLS_FILE, one.calls_json)
                many = (*many[:place], brought.put_into(many[place]), *many[place + 1 :])
        submissions = tuple(api.Submission(one, spec) for one, spec in zip(ids, many, strict=True))
        return list((await self._ask(api.SubmitJobs(submissions=submissions), api.JobList)).jobs)

    async def submit_pipeline(
        self,
        specs: Mapping[str, JobSpec],
        *,
        uploads: str | Path | Sequence[str | Path] = (),
        bundle: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> dict[str, api.JobRow]:
        """Submit jobs that name each other in `after`, `after_failure`, `after_any` and `takes`, all or none, and return their rows by these names.

        A job without a name gets the one by which the others call it. The rest is as for `submit`. Raises InvalidRequest also
        for a name that none of them has, and for jobs that wait for each other.
        """
        called = {name: spec if spec.name else msgspec.structs.replace(spec, name=name) for name, spec in specs.items()}
        jobs = named_specs(called, new_job_id)
        rows = await self.submit(
            [spec for _, spec in jobs.values()],
            [one for one, _ in jobs.values()],
            uploads=uploads,
            bundle=bundle,
            tell=tell,
        )
        return dict(zip(jobs, rows, strict=True))

    async def submit_now(self, spec: JobSpec, job_id: JobId | None = None) -> api.JobRow:
        """Submit a job that some worker takes at once; nothing is submitted where it would have to wait.

        Raises NoWorkersAvailableError where no worker matches what the job requires, and NoWorkersAcceptedError with
        every worker's reason where those that match decline. The offer is reserved until the submission; where that can't be done
        (`reserve_offer`), as for a gang, another job may take the worker meanwhile, and this one waits.
        """
        _check(spec)
        fitting = [worker for worker in await self.workers(" ".join(spec.requirements)) if _can_take(worker, spec)]
        if not fitting:
            raise NoWorkersAvailableError("no worker matches what the job requires: see `opsconsole workers`")
        asked = {worker.id for worker in fitting}
        verdicts = [one for one in (await self.candidates(spec)).verdicts if one.worker_id in asked]
        if not any(verdict.accepted for verdict in verdicts):
            reasons = {verdict.worker: verdict.reason for verdict in verdicts}
            said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            raise NoWorkersAcceptedError(f"no worker takes the job now: {said}", reasons)
        job_id = job_id or new_job_id()
        await self.reserve_offer(spec, job_id)
        return (await self.submit(spec, job_id))[0]

    async def show(
        self, id: str, tasks_from: int = 0, tasks_limit: int = 100_000, events_limit: int = 1_000  # noqa: A002
    ) -> api.JobDetail:  # fmt: skip
        """A job with its tasks and events. Raises NotFound or Ambiguous."""
        asked = api.ShowJob(id=id, tasks_from=tasks_from, tasks_limit=tasks_limit, events_limit=events_limit)
        return (await self._ask(asked, api.DetailAnswer)).detail

    async def act(
        self, verb: str, ids: Sequence[str], reason: str = "", by: PauseBy | None = None
    ) -> list[tuple[str, str]]:
        """Pause, resume, cancel, retry, hold or release jobs or tasks: `(id, what happened)` for each id. `by`: how to pause."""
        request = api.Act(verb=verb, ids=tuple(ids), reason=reason, by=by)
        return list((await act(self, request)).results)

    async def pause(self, *ids: str, reason: str = "", by: PauseBy | None = None) -> list[tuple[str, str]]:
        """Pause running jobs or tasks, and return `(id, what happened)` for each, as all six verbs do.

        `by`: freeze them, or have them save a checkpoint and make way; None: as each job says.
        """
        return await self.act("pause", ids, reason, by)

    async def resume(self, *ids: str, reason: str = "") -> list[tuple[str, str]]:
        """Let paused jobs or tasks go on."""
        return await self.act("resume", ids, reason)

    async def cancel(self, *ids: str, reason: str = "") -> list[tuple[str, str]]:
        """End jobs or tasks, with the grace time that the job asked for."""
        return await self.act("cancel", ids, reason)

    async def retry(self, *ids: str, reason: str = "") -> list[tuple[str, str]]:
        """Run failed jobs or tasks again."""
        return await self.act("retry", ids, reason)

    async def hold(self, *ids: str, reason: str = "") -> list[tuple[str, str]]:
        """Keep waiting jobs or tasks from being started."""
        return await self.act("hold", ids, reason)

    async def release(self, *ids: str, reason: str = "") -> list[tuple[str, str]]:
        """Let held jobs or tasks be started."""
        return await self.act("release", ids, reason)

    async def wait(self, *ids: str, timeout_s: float | None = None) -> list[api.JobRow]:
        """Wait until each of these jobs has ended or is blocked, `timeout_s` at most, and return their rows as they are then."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while True:
            left_ms = WAIT_SLICE_MS if deadline is None else round(1000 * (deadline - loop.time()))
            asked = api.WaitJobs(ids=ids, timeout_ms=max(0, min(left_ms, WAIT_SLICE_MS)))
            rows = list((await self._ask(asked, api.JobList)).jobs)
            if all(is_settled(row) for row in rows) or left_ms <= 0:
                return rows

    async def wait_for_success(self, *ids: str, timeout_s: float | None = None) -> list[api.JobRow]:
        """Wait as `wait` does, and return the rows. Raises JobFailedError unless all have succeeded by then."""
        rows = await self.wait(*ids, timeout_s=timeout_s)
        if bad := [row for row in rows if row.state != TaskState.SUCCEEDED]:
            said = "; ".join(f"{row.id} {row.state}{': ' * bool(row.reason)}{row.reason}" for row in bad)
            first = bad[0]
            code = (
                exit_code((await self.show(first.id, events_limit=0)).tasks) if is_finished_state(first.state) else None
            )
            raise JobFailedError(
                said, first.state, recoverable=first.state in RECOVERABLE, job=first.id, exit_code=code
            )
        return rows

    async def why(self, id: str) -> api.WhyAnswer:  # noqa: A002
        """Why a job is in its state."""
        return await self._ask(api.Why(id=id), api.WhyAnswer)

    async def graph(self, id: str) -> api.GraphAnswer:  # noqa: A002
        """The jobs that a job waits for and those that wait for it, and so on, in the order in which they can run."""
        return await self._ask(api.AskGraph(id=id), api.GraphAnswer)

    async def candidates(
        self, spec: JobSpec, supplied: Sequence[ContentId] = (), job_id: str = ""
    ) -> api.Candidates:  # fmt: skip
        """What every worker says to this job, best first. Raises InvalidRequest for a spec that can't be right.

        `supplied`: trees of the spec that will be sent, or offered, before it is submitted. `job_id`: what is reserved for it is free.
        """
        _check(spec)
        return await self._ask(
            api.AskCandidates(spec=spec, supplied=tuple(supplied), job_id=job_id), api.Candidates
        )  # fmt: skip

    async def reserve_offer(self, spec: JobSpec, job_id: JobId, worker: str = "") -> api.OfferReserved:
        """Reserve what a worker, or the best one, offers this job for a short time (`left_ms`), until it is submitted with that id.

        `accepted` says whether that was done, and `reason` why not. It is free when this client is closed. Raises NotFound for a worker.
        """
        _check(spec)
        return await self._ask(api.ReserveOffer(job_id=job_id, spec=spec, worker=worker), api.OfferReserved)

    async def free_offer(self, job_id: JobId) -> None:
        """Give up what was reserved for a job that won't be submitted."""
        await self._ask(api.FreeOffer(job_id=job_id), api.Done)

    # --- files -------------------------------------------------------------------------------------------------

    async def put(
        self,
        files: str | Path | Sequence[str | Path],
        worker: str,
        folder: str = "",
        *,
        replace: bool = False,
        via: str = "auto",
    ) -> TransferRow:
        """Bring files and folders of this machine into a folder of a worker: see `ClientTransfers.put`, also for what is raised."""
        return await self._files().put(files, await self.workers(), worker, folder, replace=replace, via=via)

    async def get(
        self,
        job: str,
        patterns: str | Sequence[str] = (),
        to: str | Path = ".",
        *,
        replace: bool = False,
        via: str = "auto",
    ) -> list[Path]:
        """Bring a job's results (or a task's: JOB/task-N) and return where they lie now: see `ClientTransfers.get`, also for what is raised."""
        return await self._files().get(job, patterns, to, replace=replace, via=via)

    def _files(self) -> ClientTransfers:
        """The transfers of this client."""
        from opsconsole.transfer.client_transfer import ClientTransfers

        if self._transfers is None:
            self._transfers = ClientTransfers(self)
        return self._transfers

    # --- working -----------------------------------------------------------------------------------------------

    async def work(
        self,
        project: str,
        *,
        poll_interval: float = 1.0,
        run_forever: bool = True,
        name: str | None = None,
        max_concurrent_jobs: int = 1,
        state_dir: Path | None = None,
        tell: Callable[[str], None] | None = None,
        departure: Departure | None = None,
    ) -> None:
        """Turn this process into a worker that runs this project's jobs, `max_concurrent_jobs` tasks at a time.

        Tasks come by themselves. SIGINT or SIGTERM, where this is called in the main thread, or `departure.ask()`: take no more
        tasks, finish those that run, and return; a second time: return at once, and the tasks go on without their worker. Without
        `run_forever` it leaves as well when nothing of the project waits and nothing runs here, of which it asks every
        `poll_interval` seconds. `name`: HOST-PROJECT unless given; `state_dir`: one for each name. `tell` gets a line for what
        happens. Raises NotFound where the agent isn't installed, InvalidRequest, and Conflict where such a worker runs already.
        """
        from opsconsole import work

        if self._target is None:
            raise InvalidRequest("this client was given its connection: work with one that connects by itself")
        departure = departure or work.Departure()
        with work.signals(departure.ask):
            await work.work(
                current(self._target), project, departure, poll_interval=poll_interval, run_forever=run_forever,
                name=name, max_concurrent_jobs=max_concurrent_jobs, state_dir=state_dir, tell=tell or _log.info,
            )  # fmt: skip

    # --- metrics -----------------------------------------------------------------------------------------------

    async def metrics(
        self,
        id: str,  # noqa: A002
        names: Sequence[str] = (),
        *,
        axis: api.Axis = api.Axis.STEP,
        points_max: int = 1_000,
        attempt: int | None = None,
        gpus: bool = False,
    ) -> list[api.RunRow]:
        """What the tasks of a job (or one: JOB/task-N) have reported: every metric in short, and the points of `names`.

        `gpus`: with what was measured of their GPUs, over Unix milliseconds. `points_max` (4 to 10,000,000): how many points of each metric come, roughly;
        the extremes are among them. Of a metric with more come 500,000 at most. Raises NotFound.
        """
        wanted = api.ReadMetrics(
            id=id, names=tuple(names), axis=axis, points_max=points_max, attempt=attempt, settle_ms=SETTLE_MS, gpus=gpus
        )
        return await points.read_runs(lambda asked: self._ask(asked, api.MetricsAnswer), wanted)

    # --- logs --------------------------------------------------------------------------------------------------

    async def read_log(
        self,
        id: str,  # noqa: A002
        query: LogQuery | None = None,
        *,
        task_index: int | None = None,
        attempt: int | None = None,
        wait_ms: int = 0,
        settle_ms: int = SETTLE_MS,
    ) -> api.LogAnswer:
        """One page of the log of a task, of its latest attempt where none is named.

        At the end of the log more is waited for, `wait_ms` (up to 60,000) at most. The last lines of an attempt that has
        ended are waited for, `settle_ms` at most: a log that is read after `wait` is complete. Raises NotFound.
        """
        asked = api.ReadLog(
            id=id, task_index=task_index, attempt=attempt, query=query or LogQuery(), wait_ms=wait_ms, settle_ms=settle_ms
        )  # fmt: skip
        return await self._ask(asked, api.LogAnswer)

    async def follow_log(
        self,
        id: str,  # noqa: A002
        query: LogQuery | None = None,
        *,
        task_index: int | None = None,
        attempt: int | None = None,
    ) -> AsyncGenerator[LogLine, None]:
        """The lines of a task's log (or fragments of them) as they come, until the task has ended and its log is complete.

        Without `attempt` the lines of further attempts follow when the task is retried. Raises NotFound.
        """
        follower = LogFollower(self, id, query or LogQuery(), task_index=task_index, attempt=attempt)
        async with contextlib.aclosing(follower.pages()) as pages:
            async for page in pages:
                for line in page.answer.page.lines:
                    yield line


def _check(spec: JobSpec) -> None:
    check_spec(check_fields(spec))


def _can_take(worker: api.WorkerRow, spec: JobSpec) -> bool:
    """Whether a worker that meets the requirements is connected, not drained, named if any is, and has enough GPUs."""
    is_up = worker.connection == WorkerConnection.CONNECTED and worker.status != WorkerStatus.MAINTENANCE
    return is_up and spec.worker in {None, worker.name, worker.id} and len(worker.gpus) >= spec.resources.gpus_asked


def new_job_id() -> JobId:
    """A fresh job id."""
    return job_id(secrets.randbits(50))
