"""Functions as jobs: what they return, task by task, and calls of one function with many values."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from opsconsole.client_part import ClientPart
from opsconsole.function import PYTHON, Call, PythonFunction
from opsconsole.outcome import RECOVERABLE, is_finished_state, is_settled
from opsconsole.result import read_result
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest, JobFailedError, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import split_task_id
from opsconsole_protocol.spec import JobSpec

_TASKS_PAGE = 500
_READS_MAX = 16
"""Results that are read at once."""
_STEP_FIRST_S, _STEP_MAX_S = 0.1, 1.0
"""How often the tasks of a job that runs are looked at. The coordinator tells of the job's end at once."""


class FunctionRequests(ClientPart):
    """A part of a client: its calls of functions."""

    async def result(self, id: str, *, trust_pickle: bool = False, timeout_s: float | None = None) -> Any:  # noqa: A002
        """Wait until a task has ended (JOB/task-N, or the only one of JOB) and return what its function returned.

        JSON comes as JSON, with lists in place of tuples. What JSON has no word for comes as a pickle: to load one runs what the
        worker put into it, so that is done only with `trust_pickle`; without, it raises InvalidRequest. Raises TaskError for
        what the function raised, JobFailedError where the task ended otherwise, NotFound where there is no result, and
        Unavailable where it doesn't end within `timeout_s` or its result is nowhere to be had.
        """
        job, index = split_task_id(id)
        if index is None:
            found = await self._tasks(job, 0, 1)
            if found.job.num_tasks != 1:
                raise InvalidRequest(
                    f"{found.job.id} has {found.job.num_tasks:,} tasks: take `results`, or name one of them: {found.job.id}/task-0"
                )
            job, index = found.job.id, 0
        async with contextlib.aclosing(self._ended(job, index, timeout_s)) as ended:
            async for detail in ended:
                return await read_result(self, detail.job.id, detail.tasks[0], trust_pickle=trust_pickle)
        raise InvalidRequest(f"{job} has no task-{index}")

    async def results(
        self, job: str, *, trust_pickle: bool = False, timeout_s: float | None = None, cancels: bool = False
    ) -> AsyncGenerator[Any, None]:
        """What the functions of a job's tasks return, in the order of the tasks, each as soon as it is there.

        `timeout_s`: for all of them. `cancels`: end the job when whoever asks leaves before the last result, or one task has none.
        Raises as `result` does, for the first task that has none.
        """
        is_whole = False
        try:
            async with contextlib.aclosing(self._ended(job, None, timeout_s)) as ended:
                async for detail in ended:
                    for start in range(0, len(detail.tasks), _READS_MAX):
                        some = detail.tasks[start : start + _READS_MAX]
                        reads = (read_result(self, detail.job.id, one, trust_pickle=trust_pickle) for one in some)
                        for value in await asyncio.gather(*reads, return_exceptions=True):
                            if isinstance(value, BaseException):
                                raise value
                            yield value
            is_whole = True
        finally:
            if cancels and not is_whole:
                with contextlib.suppress(OpsconsoleError):  # what made us leave is what is to be told
                    await self.cancel(job, reason="whoever called the function has stopped asking")

    async def map(
        self,
        function: str | Callable[..., Any],
        *values: Iterable[Any],
        job: JobSpec = PYTHON,
        uploads: str | Path | Sequence[str | Path] = (),
        bundle: str | Path | None = None,
        trust_pickle: bool = False,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Call a function with each of these values, as `map` does, in one job with a task for each, and give what comes of it, in order.

        The job is submitted when the first result is asked for, and cancelled when whoever asks leaves before the last, or one
        call fails. `job` and `function`: see PythonFunction; `uploads` and `bundle`: see `submit`. Raises as `result` does.
        """
        calls = [Call(arguments) for arguments in zip(*values, strict=False)]
        if not calls:
            return
        (row,) = await self.submit(PythonFunction(function, calls, job=job), uploads=uploads, bundle=bundle)
        found = self.results(row.id, trust_pickle=trust_pickle, timeout_s=timeout_s, cancels=True)
        async with contextlib.aclosing(found):
            async for value in found:
                yield value

    async def _ended(self, id: str, index: int | None, timeout_s: float | None) -> AsyncGenerator[api.JobDetail, None]:  # noqa: A002
        """A job with those of its tasks (or only one) that have ended since the last time, in order and without gaps."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        done, step_s = index or 0, _STEP_FIRST_S
        limit = _TASKS_PAGE if index is None else 1
        while True:
            detail = await self._tasks(id, done, limit)
            job, tasks = detail.job, []
            for task in detail.tasks:
                if not is_finished_state(task.state):
                    break
                tasks.append(task)
            if tasks:
                done, step_s = done + len(tasks), _STEP_FIRST_S
                yield api.JobDetail(job=job, tasks=tuple(tasks), events=(), spec=detail.spec)
            if done >= job.num_tasks or (index is not None and (tasks or not detail.tasks)):
                return
            if tasks:
                continue
            if is_settled(job):
                raise JobFailedError(
                    f"{job.id} {job.state}{': ' * bool(job.reason)}{job.reason}", job.state,
                    recoverable=job.state in RECOVERABLE, job=job.id,
                )  # fmt: skip
            left_s = None if deadline is None else deadline - loop.time()
            if left_s is not None and left_s <= 0:
                raise Unavailable(f"{job.id} is {job.state} and has no result yet{': ' * bool(job.reason)}{job.reason}")
            slice_s = 30.0 if job.num_tasks == 1 else step_s
            slice_s = slice_s if left_s is None else min(slice_s, left_s)
            await self._ask(api.WaitJobs(ids=(job.id,), timeout_ms=max(1, round(1000 * slice_s))), api.JobList)
            step_s = min(2 * step_s, _STEP_MAX_S)

    async def _tasks(self, id: str, first: int, limit: int) -> api.JobDetail:  # noqa: A002
        asked = api.ShowJob(id=id, tasks_from=first, tasks_limit=limit, events_limit=0)
        return (await self._ask(asked, api.DetailAnswer)).detail
