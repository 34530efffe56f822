"""Feeds one pane with one task's log, no faster than it is read. The client's `LogFollower` goes through pages and attempts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from opsconsole.ask import ask
from opsconsole.log_follower import FollowedPage, FollowPolicy, LogFollower
from opsconsole_console.model.log_target import LogTarget, likely_task
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import DetailAnswer, LogAnswer, ShowJob
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.log import LogLine, LogQuery

TAIL_LINES = 1_000
PAGE_LINES = 5_000
POLICY = FollowPolicy(
    long_poll_ms=20_000,
    pause_s=1.0,
    late_lines_ms=0,
    give_up_s=None,
    skip_behind_lines=50_000,  # what lies between can be scrolled to
    skip_tail_lines=TAIL_LINES,
)

_RETRY_S = 1.0
_TASKS_LOOKED_AT = 1_000


class Grep(NamedTuple):
    """Which lines the coordinator is asked for: those with a pattern, or those without it."""

    pattern: str
    inverted: bool = False


class LogSink(Protocol):
    """A pane, as its feeder sees it."""

    def show_lines(self, lines: Sequence[LogLine]) -> None:
        """Show more lines, or fragments of lines."""

    def show_place(self, answer: LogAnswer) -> None:
        """Show which task, attempt and worker the lines are from, and the attempt's state."""

    def show_note(self, note: str) -> None:
        """Show what keeps lines from coming; empty when nothing does."""

    def start_over(self) -> None:
        """Forget all lines: others follow."""


class LogFeeder:
    """`run` until cancelled. `pause` stops reading while nobody looks at the end; `resume` takes it up again."""

    def __init__(self, source: FleetSource, target: LogTarget, sink: LogSink) -> None:
        self._source = source
        self._sink = sink
        self._target = target
        self._grep: Grep | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._follower = LogFollower(
            source,
            target.job_id,
            LogQuery(tail=TAIL_LINES, max_lines=PAGE_LINES),
            task_index=target.task_index,
            attempt=target.attempt,
            policy=POLICY,
        )

    @property
    def total_lines(self) -> int:
        """Lines of the attempt's whole log, as far as was heard."""
        return self._follower.total_lines

    def start_at(self, line: int | None, grep: Grep | None = None) -> None:
        """Before the next `run`: begin at a line, or near the end; with `grep` only the lines that match come."""
        self._grep = grep
        tail = TAIL_LINES if line is None else None
        self._follower.start_at(LogQuery(start_line=line, tail=tail, max_lines=PAGE_LINES, **_grep_fields(grep)))
        self._room.set()

    def pause(self) -> None:
        """Read no further for now."""
        self._room.clear()

    def resume(self) -> None:
        """Read on; near the end of the log, if that is far away."""
        self._room.set()

    async def run(self) -> None:
        """Feed the sink until the task has ended. OpsconsoleErrors are shown as notes."""
        while True:
            try:
                await self._choose_task()
                async with aclosing(self._follower.pages()) as pages:
                    async for page in pages:
                        self._show_page(page)
                        await self._room.wait()  # no page is asked for before there is room for it
            except Unavailable as error:
                self._sink.show_note(f"no connection: {error.message}")
                await asyncio.sleep(_RETRY_S)
            except OpsconsoleError as error:
                self._sink.show_note(error.message)
                return
            else:
                return

    def _show_page(self, page: FollowedPage) -> None:
        answer = page.answer
        if not page.has_begun:
            self._sink.show_note(f"{answer.attempt_state or 'waiting'}: it hasn't started")
            return
        if page.is_new_attempt or page.skipped_lines:
            self._sink.start_over()
        self._sink.show_place(answer)
        if answer.page.lines:
            self._sink.show_lines(answer.page.lines)

    async def _choose_task(self) -> None:
        if self._follower.task_index is not None or self._target.num_tasks == 1:
            return
        request = ShowJob(id=self._target.job_id, tasks_limit=_TASKS_LOOKED_AT, events_limit=0)
        tasks = (await ask(self._source, request, DetailAnswer)).detail.tasks
        self._follower.task_index = likely_task(tasks)

    async def history(self, before_line: int) -> list[LogLine]:
        """Up to 1,000 lines before this line number, in their order. Raises OpsconsoleError."""
        query = LogQuery(tail=TAIL_LINES, before_line=before_line, max_lines=TAIL_LINES, **_grep_fields(self._grep))
        return list((await self._follower.read(query)).page.lines)

    async def search(self, grep: Grep) -> AsyncIterator[list[int]]:
        """The numbers of all lines that match, page by page as they are found. Raises OpsconsoleError."""
        query = LogQuery(max_lines=PAGE_LINES, **_grep_fields(grep))
        while True:
            page = (await self._follower.read(query)).page
            yield [line.line_number for line in page.lines if line.start == 0]
            if page.end:
                return
            query = replace(query, cursor=page.next_cursor)


def _grep_fields(grep: Grep | None) -> dict[str, Any]:
    """The fields of a `LogQuery` that choose its lines."""
    return {} if grep is None else {"grep": grep.pattern, "invert": grep.inverted}
