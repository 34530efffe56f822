"""Follows one task's log for one pane: page by page, through retries and lost connections, no faster than it is read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from opsconsole_console.service.source import FleetSource, ask
from opsconsole_protocol.api import DetailAnswer, LogAnswer, ReadLog, ShowJob, TaskRow
from opsconsole_protocol.error import NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import split_task_id
from opsconsole_protocol.log import LogLine, LogQuery
from opsconsole_protocol.state import AttemptState, is_attempt_finished

LONG_POLL_MS = 20_000
TAIL_LINES = 1_000
PAGE_LINES = 5_000
JUMP_LINES = 50_000
"""Further behind than this, reading goes on at the end; what lies between can be scrolled to."""

_RETRY_S = 1.0
_NEXT_ATTEMPT_S = 1.0
_TASKS_LOOKED_AT = 1_000
_STATES = frozenset(AttemptState)
_LIKELY = ("running", "paused", "building", "assigned", "failed", "worker_failed", "killed", "succeeded")
"""Whose log is most likely meant where a job has several tasks."""


@dataclass(frozen=True)
class LogTarget:
    """Whose log: a job's task (None: the one most likely meant) and attempt (None: the latest, and the next)."""

    job_id: str
    name: str
    num_tasks: int = 1
    task_index: int | None = None
    attempt: int | None = None


class Grep(NamedTuple):
    """Which lines the coordinator is asked for: those with a pattern, or those without it."""

    pattern: str
    inverted: bool = False


class LogSink(Protocol):
    """Where lines go."""

    def show_lines(self, lines: Sequence[LogLine]) -> None:
        """More lines, or fragments of lines."""

    def show_place(self, answer: LogAnswer) -> None:
        """Which task, attempt and worker the lines are from, and how it stands."""

    def show_note(self, note: str) -> None:
        """What keeps lines from coming; empty when nothing does."""

    def start_over(self) -> None:
        """Forget the lines so far: others follow."""


class LogFeeder:
    """`run` until cancelled. `hold` stops reading while nobody looks at the end; `go_on` takes it up again."""

    def __init__(self, source: FleetSource, target: LogTarget, sink: LogSink) -> None:
        self._source = source
        self._sink = sink
        self._job_id = target.job_id
        self._num_tasks = target.num_tasks
        self._pinned = target.attempt
        self.task_index = target.task_index
        self.attempt = target.attempt
        self._grep: Grep | None = None
        self._query = LogQuery(tail=TAIL_LINES, max_lines=PAGE_LINES)
        self._is_placed = False
        self._read_to = 0
        self._total = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def total_lines(self) -> int:
        """Lines of the whole log, as far as was heard."""
        return self._total

    def start_at(self, line: int | None, grep: Grep | None = None) -> None:
        """Before the next `run`: begin at a line, or at the end; with `grep` only those lines come."""
        self._is_placed = line is not None
        self._grep = grep
        self._query = LogQuery(
            start_line=line, tail=TAIL_LINES if line is None else None, max_lines=PAGE_LINES, **_asked(grep)
        )
        self._read_to = self._total if line is None else line
        self._room.set()

    def hold(self) -> None:
        """Read no further for now."""
        self._room.clear()

    def go_on(self) -> None:
        """Read on; at the end, where that is far away."""
        if not self._room.is_set():
            self._room.set()

    async def run(self) -> None:
        """Feed the sink for as long as it is there."""
        while True:
            try:
                await self._choose_task()
                await self._follow()
            except Unavailable as error:
                self._sink.show_note(f"no connection: {error.message}")
                await asyncio.sleep(_RETRY_S)
            except OpsconsoleError as error:
                self._sink.show_note(error.message)
                return
            else:
                return

    async def history(self, before_line: int) -> list[LogLine]:
        """The lines before a number, in their order. Raises OpsconsoleError."""
        query = LogQuery(tail=TAIL_LINES, before_line=before_line, max_lines=TAIL_LINES, **_asked(self._grep))
        return list((await self._read(query, 0)).page.lines)

    async def search(self, grep: Grep) -> AsyncIterator[list[int]]:
        """The numbers of all such lines, as they are found. Raises OpsconsoleError."""
        query = LogQuery(max_lines=PAGE_LINES, **_asked(grep))
        while True:
            page = (await self._read(query, 0)).page
            yield [line.line_number for line in page.lines if line.start == 0]
            if page.end:
                return
            query = replace(query, cursor=page.next_cursor)

    async def _choose_task(self) -> None:
        if self.task_index is not None or self._num_tasks == 1:
            return
        request = ShowJob(id=self._job_id, tasks_limit=_TASKS_LOOKED_AT, events_limit=0)
        tasks = (await ask(self._source, request, DetailAnswer)).detail.tasks
        self.task_index = likely_task(tasks)

    async def _follow(self) -> None:
        wait_ms = 0
        while True:
            await self._room.wait()
            if self._total - self._read_to > JUMP_LINES and not self._is_placed and self._grep is None:
                self._jump()
            answer = await self._read(self._query, wait_ms)
            if answer.attempt < 0 or answer.attempt_state not in _STATES:
                self._sink.show_note(f"{answer.attempt_state or 'waiting'}: it hasn't started")
                await asyncio.sleep(_NEXT_ATTEMPT_S)
                continue
            self._take(answer)
            ended = is_attempt_finished(AttemptState(answer.attempt_state))
            wait_ms = 0 if ended or not answer.page.end else LONG_POLL_MS
            if not ended or not answer.page.end:
                continue
            if answer.finished and self._pinned is not None:
                return
            if not await self._next_attempt():
                if answer.finished:
                    return
                await asyncio.sleep(_NEXT_ATTEMPT_S)

    def _take(self, answer: LogAnswer) -> None:
        page = answer.page
        self.attempt = answer.attempt
        self.task_index = split_task_id(answer.task_id)[1] if self.task_index is None else self.task_index
        self._total = page.total_lines
        self._sink.show_place(answer)
        if page.lines:
            self._sink.show_lines(page.lines)
            self._read_to = page.lines[-1].line_number + 1
        if page.end:
            self._read_to = self._total
        self._query = replace(self._query, cursor=page.next_cursor)

    def _jump(self) -> None:
        self._sink.start_over()
        self._query = replace(self._query, cursor=None)
        self._read_to = self._total

    async def _next_attempt(self) -> bool:
        """Go on with the attempt after this one, where the task has one."""
        if self._pinned is not None or self.attempt is None:
            return False
        task = await self._task()
        if task is None or task.attempt is None or task.attempt <= self.attempt:
            return False
        self._sink.start_over()
        self.attempt = task.attempt
        self._query = LogQuery(max_lines=PAGE_LINES, **_asked(self._grep))
        self._is_placed = False
        self._read_to = self._total = 0
        return True

    async def _task(self) -> TaskRow | None:
        request = ShowJob(id=self._job_id, tasks_from=self.task_index or 0, tasks_limit=1, events_limit=0)
        try:
            tasks = (await ask(self._source, request, DetailAnswer)).detail.tasks
        except NotFound:
            return None
        return tasks[0] if tasks else None

    async def _read(self, query: LogQuery, wait_ms: int) -> LogAnswer:
        request = ReadLog(
            id=self._job_id, task_index=self.task_index, attempt=self.attempt, query=query, wait_ms=wait_ms
        )  # fmt: skip
        return await ask(self._source, request, LogAnswer)


def _asked(grep: Grep | None) -> dict[str, Any]:
    """The fields of a query."""
    return {} if grep is None else {"grep": grep.pattern, "invert": grep.inverted}


def likely_task(tasks: Sequence[TaskRow]) -> int:
    """The task whose log a reader most likely means: one at work, else one that failed, else the first."""
    for state in _LIKELY:
        for task in tasks:
            if task.state == state:
                return task.index
    return 0
