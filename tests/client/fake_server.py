"""A coordinator for tests: speaks `api.py` over a real websocket, keeps a small fleet in memory, does as it is told.

It has a thread and loop of its own, so blocking command lines and other loops can talk to it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from msgspec.structs import replace
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from opsconsole.target import Target
from opsconsole_coordinator.core import view
from opsconsole_protocol import PROTOCOL_VERSION, api
from opsconsole_protocol.api.codec import server_codec
from opsconsole_protocol.error import InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.host.data_folder import ENDPOINT_FILE, TOKEN_FILE
from opsconsole_protocol.host.endpoint import Endpoint
from opsconsole_protocol.host.private_file import write_private
from opsconsole_protocol.log import LogLine, LogPage, LogQuery, Source
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import TaskState, is_task_finished
from opsconsole_protocol.trust.invitation import INVITATION_HEADER
from tests.client.row import NOW_MS, job_row, task_row, worker_row
from tests.proving import proving

TOKEN = "0123456789abcdef"
T = TypeVar("T")
Handler = Callable[["FakeServer", Any], api.AnyAnswer]
_POLL_S = 0.005


class FakeServer:
    """Start with `with FakeServer() as server`. Change its fleet from the test through the methods below.

    `answers` overrides what a request type is answered with; `asked` keeps every request in order. `on_submit` is
    called with each new job's id and spec, and may finish it at once.
    """

    def __init__(self) -> None:
        self.workers: dict[str, api.WorkerRow] = {}
        self.jobs: dict[str, api.JobRow] = {}
        self.specs: dict[str, JobSpec] = {}
        self.tasks: dict[str, list[api.TaskRow]] = {}
        self.logs: dict[tuple[str, int, int], list[LogLine]] = {}
        """(job, task index, attempt) to fragments."""
        self.open_logs: set[tuple[str, int, int]] = set()
        """Logs of which more is to come, although the attempt has ended."""
        self.events: list[api.EventRow] = []
        self.projects: list[api.ProjectRow] = []
        self.templates: list[api.TemplateRow] = []
        self.asked: list[api.AnyRequest] = []
        self.answers: dict[type[Any], Handler] = {}
        self.on_submit: Callable[[str, JobSpec], None] = lambda _id, _spec: None
        self.headers: list[dict[str, str]] = []
        self.tokens = {TOKEN}
        self.lets_in = True
        self.protocol = PROTOCOL_VERSION
        self.greets = True
        self.is_deaf = False
        """Takes calls and answers none."""
        self.seq = 0
        self.url = ""
        self._port = 0
        self._subscribers: set[ServerConnection] = set()
        self._sockets: set[ServerConnection] = set()
        self._codec = server_codec()
        self._server: Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake coordinator", daemon=True)

    # --- life --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self) -> None:
        """Begin, or begin again on the same port."""
        self._run(self._listen())

    def hang_up(self) -> None:
        """Close every connection and stop listening."""
        self._run(self._hang_up())

    def drop_connections(self) -> None:
        """Close every connection without a word, and go on listening."""
        self._run(self._drop())

    @property
    def target(self) -> Target:
        """How to reach it."""
        return Target(self.url, TOKEN)

    def write_data_dir(self, folder: Path) -> Path:
        """Write what a coordinator leaves in its data folder; the folder."""
        endpoint = Endpoint(self.url, None, 1, "store", "fake")
        write_private(folder / ENDPOINT_FILE, msgspec.json.encode(endpoint).decode() + "\n")
        write_private(folder / TOKEN_FILE, TOKEN + "\n")
        return folder

    # --- the fleet ---------------------------------------------------------------------------------------------

    def add_worker(self, name: str, **fields: Any) -> api.WorkerRow:
        """Add or replace a worker."""
        row = self.workers[name] = worker_row(name, **fields)
        return row

    def add_job(self, job_id: str, spec: JobSpec | None = None, **fields: Any) -> api.JobRow:
        """Add a pending job with pending tasks."""
        spec = spec or JobSpec(command=("true",))
        self.specs[job_id] = spec
        self.tasks[job_id] = [task_row(job_id, index) for index in range(spec.num_tasks)]
        row = job_row(job_id, name=spec.title, project=spec.project, num_tasks=spec.num_tasks)
        self.jobs[job_id] = replace(row, priority=spec.priority, **fields)
        return self.jobs[job_id]

    def move(self, job_id: str, index: int = 0, **fields: Any) -> None:
        """Change a task; the job's state follows. `attempt`, `state`, `exit_code`, `signal`, … as in the rows.

        `attempt_state`: how the attempt ended where the task goes on without it, as before a retry.
        """
        signal, attempt_state = fields.pop("signal", None), fields.pop("attempt_state", None)
        task = replace(self.tasks[job_id][index], **fields)
        if task.attempt is not None:
            attempt = api.AttemptRow(
                attempt=task.attempt, attempt_id=f"{job_id}.{index}.{task.attempt}.aaaa",
                state=attempt_state or task.state, worker=task.worker or "gpu-a", exit_code=task.exit_code,
                signal=signal, error=task.error, started_at_ms=task.started_at_ms,
                finished_at_ms=task.finished_at_ms,
            )  # fmt: skip
            earlier = tuple(one for one in task.attempts if one.attempt != task.attempt)
            task = replace(task, attempts=(*earlier, attempt))
        self.tasks[job_id][index] = task
        self._follow(job_id)

    def finish(self, job_id: str, index: int = 0, exit_code: int | None = 0, **fields: Any) -> None:
        """End a task."""
        state = "succeeded" if exit_code == 0 else "failed"
        known = self.tasks[job_id][index]
        ended = {"state": state, "exit_code": exit_code, "attempt": known.attempt or 0, "worker": "gpu-a",
                 "started_at_ms": NOW_MS, "finished_at_ms": NOW_MS + 1_000}  # fmt: skip
        self.move(job_id, index, **{**ended, **fields})

    def log(self, job_id: str, *texts: str, index: int = 0, attempt: int = 0, source: Source = Source.STDOUT) -> None:
        """Add whole lines to a log."""
        lines = self.logs.setdefault((job_id, index, attempt), [])
        for text in texts:
            lines.append(LogLine(len(lines), source, text, NOW_MS + len(lines)))

    def push(self, **fields: Any) -> None:
        """Send an Update to every subscriber."""
        self.seq += 1
        update = api.Update(seq=self.seq, **fields)

        async def send() -> None:
            for socket in self._subscribers:
                await socket.send(self._codec.encode((update,)))

        self._run(send())

    # --- within the loop ---------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self._port,
            process_request=self._admit,
            compression=None,
            close_timeout=0.2,
            create_connection=proving(lambda: self.tokens),
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{self._port}"

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _drop(self) -> None:
        for socket in tuple(self._sockets):
            socket.transport.abort()

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        self.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.lets_in:
            return socket.respond(HTTPStatus.UNAUTHORIZED, "nobody is let in\n")
        if token in self.tokens:
            return None
        if request.headers.get(INVITATION_HEADER) in self.tokens:
            self.tokens.add(token)
            return None
        return socket.respond(HTTPStatus.UNAUTHORIZED, "the token is not valid here\n")

    async def _serve(self, socket: ServerConnection) -> None:
        self._sockets.add(socket)
        calls: set[asyncio.Task[None]] = set()
        try:
            self._codec.decode(_bytes(await socket.recv()))
            if not self.greets:
                await socket.wait_closed()
                return
            welcome = api.Welcome(
                protocol=self.protocol, coordinator="fake", version="0", store_id="store", role="admin", actor="ana"
            )
            await socket.send(self._codec.encode((welcome,)))
            while True:
                for message in self._codec.decode(_bytes(await socket.recv())):
                    assert isinstance(message, api.Call)
                    self.asked.append(message.request)
                    if not self.is_deaf:
                        calls.add(asyncio.create_task(self._answer(socket, message)))
        except ConnectionClosed:
            pass
        finally:
            self._sockets.discard(socket)
            self._subscribers.discard(socket)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def _answer(self, socket: ServerConnection, call: api.Call) -> None:
        try:
            message: msgspec.Struct = api.Answer(call.number, await self._decide(socket, call.request))
        except OpsconsoleError as error:
            message = api.Failure(call.number, error.code, error.message)
        except Exception as error:  # noqa: BLE001 - a fault of the fake fails the test that met it
            message = api.Failure(call.number, "internal", repr(error))
        await socket.send(self._codec.encode((message,)))

    async def _decide(self, socket: ServerConnection, request: api.AnyRequest) -> api.AnyAnswer:
        if type(request) in self.answers:
            return self.answers[type(request)](self, request)
        match request:
            case api.Subscribe():
                self._subscribers.add(socket)
                return self._snapshot()
            case api.WaitJobs():
                return await self._wait(request)
            case api.ReadLog():
                return await self._read_log(request)
            case _:
                return self._decide_now(request)

    def _decide_now(self, request: api.AnyRequest) -> api.AnyAnswer:  # noqa: C901 - one line for each request
        match request:
            case api.SubmitJobs(submissions=submissions):
                return api.JobList(jobs=tuple(self._submit(one) for one in submissions))
            case api.ListWorkers():
                return api.WorkerList(workers=tuple(self.workers.values()))
            case api.ListJobs():
                return self._list_jobs(request)
            case api.ListProjects():
                return api.ProjectList(projects=tuple(self.projects))
            case api.ListTemplates(name=name, version=version):
                found = [one for one in reversed(self.templates) if one.name == name and version in {None, one.version}]
                newest = {one.name: one for one in self.templates}
                return api.TemplateList(templates=tuple(found if name else newest.values()))
            case api.SetTemplate(template=template):
                self.templates.append(template)
                return api.Done(text=f"template {template.name} set")
            case api.SetProject(name=name):
                return api.Done(text=f"project {name} set")
            case api.ShowJob():
                return self._show(request)
            case api.Act(verb=verb, ids=ids):
                return api.ActResult(results=tuple((self._find(one), f"{verb} done") for one in ids))
            case api.SetPriority(id=id_, priority=priority):
                return api.Done(text=f"{id_} now {priority}")
            case api.MoveJob(id=id_, where=where, other=other):
                return api.Done(text=f"{self._find(id_)} moved {where} {other}".strip())
            case api.SetParallel(id=id_, max_parallel=most):
                return api.Done(text=f"{self._find(id_)} at most {most}")
            case api.PopJob():
                row = next((row for row in self.jobs.values() if row.state == "pending"), None)
                if row is None:
                    raise NotFound("no job waits: there is none to take")
                self.jobs[row.id] = popped = replace(row, state="held" if request.hold else "killed")
                return api.Popped(job=popped, spec=self.specs[row.id])
            case api.SyncTemplates(templates=templates):
                changes = [api.TemplateChange(name=one.name, change="created", version=1) for one in templates]
                return api.TemplatesSet(changes=tuple(changes))
            case api.AddTasks(id=id_, points=points):
                return api.Done(text=f"{len(points)} added to {self._find(id_)}")
            case api.Why(id=id_):
                return api.WhyAnswer(job=self.jobs[self._find(id_)], text="because")
            case api.ReserveOffer(worker=worker):
                return api.OfferReserved(accepted=True, worker=worker or "gpu1", worker_id="w-1", left_ms=60_000)
            case api.FreeOffer():
                return api.Done(text="nothing is reserved")
            case api.AskCandidates():
                return self._candidates()
            case api.ListEvents(before_seq=before, limit=limit):
                older = [row for row in reversed(self.events) if before is None or row.seq < before]
                return api.EventList(events=tuple(older[:limit]))
            case api.SetWorker(name=name, action=action):
                return self._set_worker(name, action)
            case api.Invite():
                return api.Invited(line=f"{self.url}#-.abcdefgh.{'0' * 52}", expires_at_ms=NOW_MS)
            case api.AskHealth():
                return api.Health(
                    healthy=True, uptime_ms=61_000, workers=1, running_tasks=0, pending_tasks=0, store_seq=self.seq
                )
            case _:
                raise InvalidRequest(f"{type(request).__name__} can't be asked of a fake")

    def _submit(self, one: api.Submission) -> api.JobRow:
        if one.job_id not in self.jobs:
            self.add_job(one.job_id, one.spec)
            self.on_submit(one.job_id, one.spec)
        return self.jobs[one.job_id]

    def _list_jobs(self, request: api.ListJobs) -> api.JobList:
        def key(row: api.JobRow) -> tuple[int, str]:
            return row.created_at_ms, row.id

        rows = sorted(self.jobs.values(), key=key, reverse=True)
        if request.before_ms is not None:
            rows = [row for row in rows if key(row) < (request.before_ms, request.before_id)]
        return api.JobList(jobs=tuple(rows[: request.limit]), more=len(rows) > request.limit)

    def _show(self, request: api.ShowJob) -> api.DetailAnswer:
        job_id = self._find(request.id)
        tasks = self.tasks[job_id][request.tasks_from : request.tasks_from + request.tasks_limit]
        events = tuple(row for row in self.events if row.subject == job_id)[: request.events_limit]
        return api.DetailAnswer(
            detail=api.JobDetail(
                job=self.jobs[job_id],
                spec=self.specs[job_id],
                tasks=tuple(tasks),
                events=events,
                inputs=view.input_rows(self.specs[job_id]),
                outputs=view.outputs_row(self.jobs[job_id]),
            )
        )

    def _candidates(self) -> api.Candidates:
        verdicts = tuple(
            api.Verdict(worker_id=row.id, worker=row.name, accepted=row.status == "available",
                        reason="" if row.status == "available" else row.status, estimated_duration_ms=2_520_000)
            for row in self.workers.values()
        )  # fmt: skip
        chosen = next((verdict.worker for verdict in verdicts if verdict.accepted), None)
        if chosen is None:
            return api.Candidates(verdicts=verdicts, text="no worker takes it now")
        because = "faster estimate"
        return api.Candidates(verdicts=verdicts, text=f"{chosen}: {because}", chosen=chosen, because=because)

    def _set_worker(self, name: str, action: str) -> api.WorkerList:
        if name not in self.workers:
            raise NotFound(f"there is no worker {name}")
        status = "maintenance" if action == "drain" else "available"
        self.workers[name] = replace(self.workers[name], status=status)
        return api.WorkerList(workers=(self.workers[name],))

    def _snapshot(self) -> api.SnapshotAnswer:
        return api.SnapshotAnswer(
            snapshot=api.Snapshot(
                seq=self.seq, coordinator="fake", workers=tuple(self.workers.values()), jobs=tuple(self.jobs.values()),
                events=tuple(self.events), jobs_total=len(self.jobs), projects=tuple(self.projects),
            )
        )  # fmt: skip

    async def _wait(self, request: api.WaitJobs) -> api.JobList:
        ids = [self._find(one) for one in request.ids]
        deadline = self._loop.time() + (request.timeout_ms or 0) / 1000
        while not all(self.jobs[one].finished_at_ms or self.jobs[one].state == "blocked" for one in ids):
            if request.timeout_ms is not None and self._loop.time() > deadline:
                break
            await asyncio.sleep(_POLL_S)
        return api.JobList(jobs=tuple(self.jobs[one] for one in ids))

    async def _read_log(self, request: api.ReadLog) -> api.LogAnswer:
        deadline = self._loop.time() + request.wait_ms / 1000
        while True:
            answer = self._page(request)
            if answer.page.lines or answer.finished or self._loop.time() > deadline:
                return answer
            await asyncio.sleep(_POLL_S)

    def _page(self, request: api.ReadLog) -> api.LogAnswer:
        job_id, query = self._find(request.id), request.query
        index = request.task_index or 0
        task = self.tasks[job_id][index]
        number = task.attempt if request.attempt is None else request.attempt
        if number is None:
            ended = is_task_finished(TaskState(task.state))
            return api.LogAnswer(page=LogPage(lines=(), next_cursor="", end=True), task_id=task.id, attempt=0,
                                 attempt_state=task.state, finished=ended)  # fmt: skip
        lines = _select(self.logs.get((job_id, index, number), []), query)
        start = int(query.cursor) if query.cursor else 0
        page = lines[start : start + query.max_lines]
        end = start + len(page) >= len(lines)
        state = next((one.state for one in task.attempts if one.attempt == number), task.state)
        over = is_task_finished(TaskState(task.state)) and (job_id, index, number) not in self.open_logs
        return api.LogAnswer(
            page=LogPage(lines=tuple(page), next_cursor=str(start + len(page)), end=end, first_line=start, total_lines=len(lines)),
            task_id=task.id, attempt=number, attempt_state=state, worker=task.worker or "gpu-a", finished=end and over,
        )  # fmt: skip

    def _find(self, id_: str) -> str:
        prefix = id_.partition("/")[0]
        found = [one for one in self.jobs if one.startswith(prefix)]
        if len(found) != 1:
            raise NotFound(f"there is no job {prefix}")
        return found[0]

    def _follow(self, job_id: str) -> None:
        """A job's state and counts follow from its tasks."""
        from opsconsole_protocol.state import job_state

        tasks = self.tasks[job_id]
        counts: dict[str, int] = {}
        for task in tasks:
            counts[task.state] = counts.get(task.state, 0) + 1
        state = job_state({TaskState(name): number for name, number in counts.items()})
        ended = is_task_finished(state)
        started = [task.started_at_ms for task in tasks if task.started_at_ms is not None]
        done = sum(is_task_finished(TaskState(task.state)) for task in tasks)
        self.jobs[job_id] = replace(
            self.jobs[job_id], state=str(state), task_counts=counts, progress=done / len(tasks),
            worker=tasks[0].worker if len(tasks) == 1 else None, started_at_ms=min(started, default=None),
            finished_at_ms=max((task.finished_at_ms or NOW_MS for task in tasks), default=None) if ended else None,
        )  # fmt: skip


def _select(lines: list[LogLine], query: LogQuery) -> list[LogLine]:
    import re

    found = [line for line in lines if not query.sources or line.source in query.sources]
    if query.grep is not None:
        found = [line for line in found if re.search(query.grep, line.data)]
    if query.since_ms is not None:
        found = [line for line in found if line.timestamp_ms >= query.since_ms]
    tail = query.tail if query.tail is not None else -(query.start_line or 0)
    if query.tail is not None or (query.start_line or 0) < 0:
        return found[max(0, len(found) - tail) :]
    return [line for line in found if line.line_number >= (query.start_line or 0)]


def _bytes(frame: str | bytes) -> bytes:
    assert isinstance(frame, bytes)
    return frame
