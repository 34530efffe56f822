"""Follow a task's log to its end: page by page, over retries, through lost connections.

An attempt's log is read by cursor, so nothing is lost or shown twice whatever happens in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from opsconsole.outcome import is_finished_state
from opsconsole_protocol.api import LogAnswer, TaskRow
from opsconsole_protocol.ids import split_task_id
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.state import AttemptState, is_attempt_finished

if TYPE_CHECKING:
    from opsconsole.client import Client

LONG_POLL_MS = 2_000
"""An attempt may end without a last line; then its end, and a retry, is heard of so much later at worst."""
_LAST_WORDS_MS = 2_000
"""How much longer an attempt that has ended is waited for when the task has gone on to the next one."""
_GIVE_UP_S = 15.0
"""How long a task that is over may keep silent about the rest of its log: its worker may be gone for good."""
_PAUSE_S = 0.25
_ATTEMPT_STATES = frozenset(AttemptState)


async def follow_attempts(
    client: Client, id_: str, query: LogQuery, *, task_index: int | None = None, attempt: int | None = None
) -> AsyncGenerator[LogAnswer, None]:
    """Every page, in order, until the task (with `attempt`: that attempt) has ended and its log is complete."""
    job, index = split_task_id(id_)
    index = task_index if index is None else index
    here, number, wait_ms = query, attempt, LONG_POLL_MS
    clock = asyncio.get_running_loop().time
    heard_at = clock()
    while True:
        answer = await client.read_log(job, here, task_index=index, attempt=number, wait_ms=wait_ms, settle_ms=0)
        if not _has_begun(answer):
            # The task still waits for its first attempt, and may end without one.
            task = await _task(client, job, index)
            if attempt is None and (task is None or is_finished_state(task.state)):
                return
            await asyncio.sleep(_PAUSE_S)
            continue
        number = answer.attempt
        index = split_task_id(answer.task_id)[1] if index is None else index
        yield answer
        here = replace(query, cursor=answer.page.next_cursor)
        heard_at = clock() if answer.page.lines else heard_at
        ended = is_attempt_finished(AttemptState(answer.attempt_state))
        wait_ms = 0 if ended else LONG_POLL_MS
        if not answer.page.end or not ended:
            continue
        if attempt is not None and answer.finished:
            return
        task = await _task(client, job, index)
        if attempt is None and task is not None and task.attempt is not None and task.attempt > number:
            if not answer.finished:
                async for late in _last_words(client, job, here, index, number):
                    yield late
            # Where to start in the first attempt means nothing in the next.
            number, here = number + 1, replace(query, cursor=None, start_line=None, tail=None)
            continue
        if task is None or is_finished_state(task.state):
            if answer.finished or clock() - heard_at > _GIVE_UP_S:
                return
        else:
            heard_at = clock()
        await asyncio.sleep(_PAUSE_S)


async def _last_words(
    client: Client, job: str, here: LogQuery, index: int | None, attempt: int
) -> AsyncGenerator[LogAnswer, None]:
    while True:
        answer = await client.read_log(
            job, here, task_index=index, attempt=attempt, wait_ms=_LAST_WORDS_MS, settle_ms=0
        )
        yield answer
        if answer.finished or (answer.page.end and not answer.page.lines):
            return
        here = replace(here, cursor=answer.page.next_cursor)


async def _task(client: Client, job: str, index: int | None) -> TaskRow | None:
    detail = await client.show(job, tasks_from=index or 0, tasks_limit=1, events_limit=0)
    return detail.tasks[0] if detail.tasks else None


def _has_begun(answer: LogAnswer) -> bool:
    return answer.attempt >= 0 and answer.attempt_state in _ATTEMPT_STATES
