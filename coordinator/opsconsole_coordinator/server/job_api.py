"""What operators ask about jobs, answered."""

import asyncio
import contextlib
import sqlite3
from functools import partial

import msgspec

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.core.turn_forecast import AHEAD_NAMED, ahead_of
from opsconsole_coordinator.giving_way import giving_way
from opsconsole_coordinator.server import preencoded
from opsconsole_coordinator.server.cleaning import Cleaning
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.fair_semaphore import FairSemaphore
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.job_graph import graph_of
from opsconsole_coordinator.server.job_lookup import (
    check_task,
    load_job,
    load_templates,
    release_job,
    resolve,
    resolve_tasks,
)
from opsconsole_coordinator.server.job_submission import submitted
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.job_search import WORK_MAX, JobSearch, Place
from opsconsole_coordinator.store.job_sort import JobSort
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api
from opsconsole_protocol.api import job_filter
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.filter import Filter
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec, check_spec
from opsconsole_protocol.state import TaskState, is_task_finished

ANSWER_WAIT_S = 2.0
ANSWER_POLL_S = 0.02
SORT_WORK_MAX = 4_000_000
"""How much is looked at for a page of a sorted list, counted as WORK_MAX is: some 400,000 jobs where their rows are read."""


class JobApi:
    """Handlers of the requests about jobs; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop, log_service: LogService, cleaning: Cleaning) -> None:
        self._commit_loop = commit_loop
        self._log_service = log_service
        self._cleaning = cleaning
        self._large_answers = FairSemaphore(2, 1)
        """Two answers that take much memory are made at a time, and one of a caller."""
        self._searches = FairSemaphore(2, 1)

    async def submit(self, request: api.SubmitJobs, caller: Caller) -> api.JobList:
        commit_loop = self._commit_loop
        async with submitted(commit_loop, request.submissions, caller.actor) as jobs:
            rows = [preencoded.encode(view.job_row(commit_loop.fleet, job)) async for job in giving_way(jobs)]
        return api.JobList(jobs=preencoded.rows(rows, api.JobRow))

    async def _stored_states(self, job_ids: list[JobId]) -> dict[JobId, TaskState]:
        return await self._commit_loop.database.read(lambda connection: query.states(connection, job_ids))

    async def list_jobs(self, request: api.ListJobs, caller: Caller) -> api.AnyAnswer:
        shown = job_filter.parse(request.filter, inverted=request.inverted)
        if request.sort and not request.count_only:
            async with self._searches.acquire(caller.actor):
                return await self._sorted(request, shown)
        if not shown.empty or request.count_only:
            async with self._searches.acquire(caller.actor):
                return await self._search(request, shown)
        limit = request.limit

        def read(connection: sqlite3.Connection) -> list[query.EncodedRow]:
            return query.encoded_job_rows(
                connection, project=request.project, before_ms=request.before_ms, before_id=request.before_id,
                limit=limit + 1,
            )  # fmt: skip

        def finish(found: list[query.EncodedRow]) -> api.AnyAnswer:
            jobs = preencoded.job_rows(found[:limit], self._commit_loop.shown)
            return preencoded.answer(api.JobList(jobs=jobs, more=len(found) > limit))

        return await self._commit_loop.database.share(request, read, finish)

    async def _sorted(self, request: api.ListJobs, shown: Filter) -> api.AnyAnswer:
        """A page of what a filter shows, in the order of a field: all of it is looked at. Others read between the steps."""
        now_ms = self._commit_loop.clock.now_ms()
        search = JobSearch(shown, request.project, now_ms)
        found = JobSort(
            request.sort, ascending=request.ascending, limit=request.limit, cursor=request.cursor, now_ms=now_ms
        )
        place: Place | None = Place()
        work = 0
        while place is not None:
            if work > SORT_WORK_MAX:
                raise InvalidRequest(
                    "too many jobs to sort in one go: name a project, or leave old ones out with created<30d"
                )
            place, done = await self._commit_loop.database.read(partial(found.step, search=search, place=place))
            work += done
        rows, more, cursor = found.page()
        jobs = preencoded.job_rows(rows, self._commit_loop.shown)
        return preencoded.answer(api.JobList(jobs=jobs, more=more, cursor=cursor))

    async def _search(self, request: api.ListJobs, shown: Filter) -> api.AnyAnswer:
        """A page of what a filter shows. Others read between its steps."""
        search = JobSearch(shown, request.project, self._commit_loop.clock.now_ms())
        place: Place | None = Place()
        if request.before_ms is not None:
            place = Place(request.before_ms, request.before_id or "~")
        limit = 0 if request.count_only else request.limit
        rows, matched, work = list[query.EncodedRow](), 0, 0
        while place is not None and work < WORK_MAX and (request.count_only or len(rows) < limit):
            step = await self._commit_loop.database.read(partial(search.step, place=place, wanted=limit - len(rows)))
            rows += step.rows
            matched, work, place = matched + step.matched, work + step.work, step.place
        answer = api.JobList(
            jobs=preencoded.job_rows(rows, self._commit_loop.shown),
            more=place is not None,
            matched=matched if request.count_only else 0,
        )
        if place is not None:
            answer = msgspec.structs.replace(answer, next_ms=place.created_at_ms, next_id=place.job_id)
        return preencoded.answer(answer)

    async def show(self, request: api.ShowJob, caller: Caller) -> api.AnyAnswer:
        async with self._large_answers.acquire(caller.actor):
            return await self._detail(request, caller)

    async def _detail(self, request: api.ShowJob, caller: Caller) -> api.AnyAnswer:
        commit_loop = self._commit_loop
        job_id, index = await resolve(commit_loop, request.id)
        first, limit = (request.tasks_from, request.tasks_limit) if index is None else (index, 1)

        def read(connection: sqlite3.Connection) -> query.Detail | None:
            return query.detail(connection, job_id, first, limit, request.events_limit)

        def finish(found: query.Detail | None) -> api.AnyAnswer:
            if found is None:
                raise NotFound(f"there is no job {job_id}")
            check_task(job_id, found.row.num_tasks, index)
            detail = api.JobDetail(
                job=commit_loop.shown.get(found.job.id, found.row),
                spec=_visible(found.job.spec, caller),
                tasks=tuple(self._task_row(found, task) for task in found.tasks),
                events=tuple(reversed(found.events)),
                inputs=view.input_rows(found.job.spec, found.job.uploads),
                outputs=view.outputs_row(found.row),
            )
            return preencoded.answer(api.DetailAnswer(detail=detail))

        return await commit_loop.database.share((request, caller.role), read, finish)

    def _task_row(self, found: query.Detail, task: Task) -> api.TaskRow:
        attempts = found.attempts.get(task.index, [])
        for attempt in attempts:
            live = self._commit_loop.fleet.attempts.get(attempt.id)
            if live is not None:
                attempt.usage, attempt.progress = live.usage, live.progress
                attempt.metrics = live.metrics
        return view.task_row(found.job, task, attempts, found.output_copies.get(task.index))

    async def _shown_row(self, job_id: JobId) -> api.JobRow:
        row = await self._commit_loop.database.read(lambda connection: query.job_row(connection, job_id))
        if row is None:
            raise NotFound(f"there is no job {job_id}")
        return self._commit_loop.shown.get(job_id, row)

    async def act(self, request: api.Act, caller: Caller) -> api.ActResult:
        commit_loop = self._commit_loop
        targets = [await resolve_tasks(commit_loop, text) for text in request.ids]
        results: list[tuple[str, str]] = []
        refused: list[str] = []
        errors: list[OpsconsoleError] = []
        for (job_id, selection), text in zip(targets, request.ids, strict=True):
            await load_job(commit_loop, job_id)  # a job in memory isn't cleaned
            name = _result_name(job_id, text)
            try:
                if job_id in self._cleaning.removing:
                    raise Conflict(f"what job {job_id} left is being removed: try again in a moment")
                words = commit_loop.reactor.on_act(
                    request.verb,
                    job_id,
                    selection,
                    caller.actor,
                    request.reason,
                    commit_loop.clock.now_ms(),
                    request.by,
                )
                results.append((name, words))
            except OpsconsoleError as error:
                results.append((name, str(error)))
                refused.append(name)
                errors.append(error)
        try:
            await commit_loop.committed()
        finally:
            for job_id, _ in targets:
                release_job(commit_loop, job_id)
        if errors and len(errors) == len(targets):
            raise errors[0]
        return api.ActResult(results=tuple(results), refused=tuple(refused))

    async def set_priority(self, request: api.SetPriority, caller: Caller) -> api.Done:
        commit_loop = self._commit_loop
        job_id, selection = await resolve_tasks(commit_loop, request.id)
        words = commit_loop.reactor.on_set_priority(
            job_id,
            selection,
            request.priority,
            caller.actor,
            commit_loop.clock.now_ms(),
            relative=request.relative,
        )
        await commit_loop.committed()
        return api.Done(text=words)

    async def add_tasks(self, request: api.AddTasks, caller: Caller) -> api.Done:
        """A job that has ended is fetched from the store: it goes on with the new tasks."""
        commit_loop = self._commit_loop
        job_id, index = await resolve(commit_loop, request.id)
        if index is not None:
            raise InvalidRequest(f"{request.id[:60]} is a task: tasks are added to a job")
        job = await load_job(commit_loop, job_id)
        try:
            await load_templates(commit_loop, [job.spec])
            if job_id in self._cleaning.removing:
                raise Conflict(f"what job {job_id} left is being removed: try again in a moment")
            words = commit_loop.reactor.on_add_tasks(job_id, request.points, caller.actor, commit_loop.clock.now_ms())
            await commit_loop.committed()
        finally:
            release_job(commit_loop, job_id)
        return api.Done(text=words)

    async def wait(self, request: api.WaitJobs, caller: Caller) -> api.JobList:
        del caller
        commit_loop = self._commit_loop
        ids = [(await resolve(commit_loop, text))[0] for text in request.ids]
        with commit_loop.watch(ids) as changed, contextlib.suppress(TimeoutError):
            timeout_s = request.timeout_ms / 1000 if request.timeout_ms is not None else None
            async with asyncio.timeout(timeout_s):
                while not await self._all_ended(ids):
                    await changed.wait()
                    changed.clear()
        return api.JobList(jobs=tuple([await self._shown_row(job_id) for job_id in ids]))

    async def _all_ended(self, ids: list[JobId]) -> bool:
        """Whether all have ended or are blocked: a blocked job doesn't go on by itself."""
        live = self._commit_loop.fleet.jobs
        if any(job_id in live and not _is_settled(live[job_id].state) for job_id in ids):
            return False  # asked after every commit: mostly there is no need to ask the store
        return all(_is_settled(state) for state in (await self._stored_states(ids)).values())

    async def why(self, request: api.Why, caller: Caller) -> api.WhyAnswer:
        del caller
        commit_loop = self._commit_loop
        job_id, index = await resolve(commit_loop, request.id)
        job = await load_job(commit_loop, job_id)
        try:
            check_task(job_id, len(job.tasks), index)
            commit_loop.reactor.on_ask_why(job, commit_loop.clock.now_ms(), index)
            ahead = ahead_of(commit_loop.fleet, job, commit_loop.clock.now_ms())
            text, verdicts = view.why(commit_loop.fleet, job, commit_loop.clock.now_ms(), index, ahead)
            row = view.job_row(commit_loop.fleet, job)
        finally:
            release_job(commit_loop, job_id)
        commit_loop.changed()
        named = tuple(ahead.standing[:AHEAD_NAMED])
        return api.WhyAnswer(job=row, text=text, verdicts=verdicts, ahead=len(ahead.standing), ahead_jobs=named)

    async def graph(self, request: api.AskGraph, caller: Caller) -> api.GraphAnswer:
        async with self._searches.acquire(caller.actor):
            return await graph_of(self._commit_loop, request.id)

    async def candidates(self, request: api.AskCandidates, caller: Caller) -> api.Candidates:
        """Every worker's verdict. Agents are asked about input files; those that haven't answered in time are shown as being asked."""
        commit_loop = self._commit_loop
        check_spec(request.spec)
        deadline = asyncio.get_running_loop().time() + min(ANSWER_WAIT_S, request.wait_ms / 1000)
        while True:
            commit_loop.reactor.on_ask_candidates(request.spec, commit_loop.clock.now_ms())
            now_ms, job_id = commit_loop.clock.now_ms(), JobId(request.job_id) if request.job_id else None
            found = view.candidates(commit_loop.fleet, request.spec, now_ms, request.supplied, caller.actor, job_id)
            commit_loop.changed()
            is_open = any(one.asking for one in found.verdicts)
            if not is_open or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(ANSWER_POLL_S)

    async def read_log(self, request: api.ReadLog, caller: Caller) -> api.LogAnswer:
        return await self._log_service.read(request, caller.actor)


def _visible(spec: JobSpec, caller: Caller) -> JobSpec:
    """The spec as this caller may see it: values of the environment may be secrets, which a viewer isn't shown."""
    if caller.role >= Role.OPERATOR:
        return spec
    return msgspec.structs.replace(spec, environment=dict.fromkeys(spec.environment, "…"))


def _result_name(job_id: JobId, text: str) -> str:
    """The whole id of what a request named."""
    _, slash, rest = text.strip().partition("/")
    return job_id if not slash else f"{job_id}/task-{rest}" if rest.isdecimal() else f"{job_id}/{rest}"


def _is_settled(state: TaskState) -> bool:
    return is_task_finished(state) or state is TaskState.BLOCKED
