"""Follow one task's log: page by page, into its further attempts, through lost connections.

A log is read by cursor, so no line is lost or shown twice, whatever happens in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from opsconsole.ask import Requester, ask
from opsconsole.outcome import is_finished_state
from opsconsole_protocol.api import DetailAnswer, LogAnswer, ReadLog, ShowJob, TaskRow
from opsconsole_protocol.ids import split_task_id
from opsconsole_protocol.log import LogQuery

_START_POLL_MS = 1_000
"""How long the coordinator holds back its answer while the task waits for its first attempt."""


@dataclass(frozen=True, slots=True)
class FollowPolicy:
    """How a follower waits, and whether it may skip lines. The defaults bring every line of every attempt, in order."""

    long_poll_ms: int = 2_000
    """How long the coordinator holds back an empty page. At worst, the end of an attempt that prints nothing more, and a retry
    after it, are heard of later by that time."""
    pause_s: float = 0.25
    """Between two looks at a task whose attempt has ended."""
    late_lines_ms: int = 2_000
    """How long the rest of an attempt's log is waited for when the task has gone on to the next attempt."""
    give_up_s: float | None = 15.0
    """How long the rest of a log is waited for once its task has ended, since its worker may be gone for good; None: for ever."""
    skip_behind_lines: int | None = None
    """A reader further behind than this goes on near the end, and a retried task is followed into its latest attempt rather
    than into each. None: nothing is skipped."""
    skip_tail_lines: int = 1_000
    """How many lines before the end reading goes on after a skip."""


EVERY_LINE = FollowPolicy()


class FollowedPage(NamedTuple):
    """What a follower brings: the coordinator's answer, and how it goes on from the page before."""

    answer: LogAnswer
    has_begun: bool = True
    """False while the task waits for its first attempt: there are no lines, and `answer.attempt_state` is the task's state."""
    is_new_attempt: bool = False
    """The first page of a later attempt: its lines are numbered from 0 again."""
    skipped_lines: int = 0
    """How many lines between the page before and this one were left out."""


class LogFollower:
    """Follows the log of one task of `job`: of the task with `task_index` or, without one, of its first.

    With `attempt` only that attempt is read; without, the latest is read and then any further one. `query` says which lines
    come; where in the log it starts applies only to the first attempt that is read. `requester` is a `Client`, or anything
    else that carries requests.

        follower = LogFollower(client, "42f0k9x2mq", LogQuery(tail=100))
        async for page in follower.pages():
            ...

    The reader sets the pace: a page is asked for only when the body of the loop is done with the one before. To stop, close
    the iterator or cancel the task that iterates. After that, or after an error such as a lost connection, another call of
    `pages` goes on with the next line. Only one iteration may run at a time.
    """

    def __init__(
        self,
        requester: Requester,
        job: str,
        query: LogQuery,
        *,
        task_index: int | None = None,
        attempt: int | None = None,
        policy: FollowPolicy = EVERY_LINE,
    ) -> None:
        self._requester = requester
        self._job, index = split_task_id(job)
        self.task_index = task_index if index is None else index
        """None until the first page where the caller didn't say."""
        self.attempt = attempt
        """The attempt being read; None before the first page where the caller didn't say."""
        self.total_lines = 0
        """Lines of the attempt's whole log, unfiltered, as far as is known."""
        self.next_line = 0
        """The number of the line that comes next."""
        self._is_pinned = attempt is not None
        self._policy = policy
        self._heard_at = 0.0
        self.start_at(query)

    def start_at(self, query: LogQuery) -> None:
        """Read other lines of the attempt that is being read; the next call of `pages` begins with them."""
        self._asked = self._query = query
        self.next_line = max(0, query.start_line or 0) if query.tail is None else self.total_lines
        self._is_new_attempt = False
        self._skipped_from: int | None = None

    async def pages(self) -> AsyncGenerator[FollowedPage, None]:
        """Every page in order, until the task (or the attempt that was asked for) has ended and its log is complete.

        Raises OpsconsoleError: NotFound for an unknown job, task or attempt, Unavailable without a connection.
        """
        self._heard_at = _now()
        wait_ms = 0
        while True:
            if self._is_far_behind():
                self._skip()
            answer = await self.read(self._query, wait_ms)
            if answer.worker is None:
                yield FollowedPage(answer, has_begun=False)
                if answer.finished:
                    return
                wait_ms = min(_START_POLL_MS, self._policy.long_poll_ms)
                await asyncio.sleep(self._policy.pause_s)
                continue
            yield self._advance(answer)
            has_ended = is_finished_state(answer.attempt_state)
            wait_ms = 0 if has_ended or not answer.page.end else self._policy.long_poll_ms
            if not has_ended or not answer.page.end:
                continue
            if self._is_pinned and answer.finished:
                return
            task = await self._task()
            if (further := self._further_attempt(task)) is not None:
                while self._policy.late_lines_ms and not answer.finished:
                    answer = await self.read(self._query, self._policy.late_lines_ms)
                    yield self._advance(answer)
                    if answer.page.end and not answer.page.lines:
                        break
                self._enter(further)
            elif self._is_complete(task, answer):
                return
            else:
                await asyncio.sleep(self._policy.pause_s)

    async def read(self, query: LogQuery, wait_ms: int = 0) -> LogAnswer:
        """One page of the attempt that is being read, independent of `pages`; an empty one is held back for `wait_ms`.

        Raises OpsconsoleError.
        """
        request = ReadLog(
            id=self._job, task_index=self.task_index, attempt=self.attempt, query=query, wait_ms=wait_ms
        )  # fmt: skip
        return await ask(self._requester, request, LogAnswer)

    def _advance(self, answer: LogAnswer) -> FollowedPage:
        """Move on to where a page ends."""
        page = answer.page
        self.attempt = answer.attempt
        self.task_index = split_task_id(answer.task_id)[1] if self.task_index is None else self.task_index
        self.total_lines = page.total_lines
        if page.end:
            self.next_line = page.total_lines
        elif page.lines:
            self.next_line = page.lines[-1].line_number + 1
        if page.lines:
            self._heard_at = _now()
        self._query = replace(self._query, cursor=page.next_cursor)
        is_new, self._is_new_attempt = self._is_new_attempt, False
        skipped_from, self._skipped_from = self._skipped_from, None
        skipped = 0 if skipped_from is None else max(0, page.first_line - skipped_from)
        return FollowedPage(answer, is_new_attempt=is_new, skipped_lines=skipped)

    def _is_far_behind(self) -> bool:
        most = self._policy.skip_behind_lines
        is_at_a_place = self._query.start_line is not None or self._query.grep is not None
        return most is not None and not is_at_a_place and self.total_lines - self.next_line > most

    def _skip(self) -> None:
        """Go on near the end."""
        self._query = replace(self._query, cursor=None, tail=self._policy.skip_tail_lines)
        self._skipped_from, self.next_line = self.next_line, self.total_lines

    def _enter(self, attempt: int) -> None:
        """Read another attempt from its first line."""
        self.attempt = attempt
        self.next_line = self.total_lines = 0
        self._query = replace(self._asked, cursor=None, start_line=None, tail=None)
        self._is_new_attempt = True
        self._skipped_from = None

    def _further_attempt(self, task: TaskRow | None) -> int | None:
        if self._is_pinned or task is None or task.attempt is None or self.attempt is None:
            return None
        if task.attempt <= self.attempt:
            return None
        return self.attempt + 1 if self._policy.skip_behind_lines is None else task.attempt

    def _is_complete(self, task: TaskRow | None, answer: LogAnswer) -> bool:
        """Whether nothing more comes of a log whose attempt has ended."""
        if task is not None and not is_finished_state(task.state):
            self._heard_at = _now()
            return False
        give_up_s = self._policy.give_up_s
        return answer.finished or (give_up_s is not None and _now() - self._heard_at > give_up_s)

    async def _task(self) -> TaskRow | None:
        request = ShowJob(id=self._job, tasks_from=self.task_index or 0, tasks_limit=1, events_limit=0)
        tasks = (await ask(self._requester, request, DetailAnswer)).detail.tasks
        return tasks[0] if tasks else None


def _now() -> float:
    return asyncio.get_running_loop().time()
