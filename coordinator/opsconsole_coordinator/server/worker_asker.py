"""Asks a worker for what lies on it, a few questions at a time, and says why there is no answer."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_protocol import link
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.ids import WorkerId

A = TypeVar("A", link.FileList, link.FilePartRead, link.DatasetDescribed)


class WorkerAsker:
    """Has as many questions open with a worker as its agent answers at a time."""

    def __init__(self, commit_loop: CommitLoop, questions_max: int) -> None:
        self._commit_loop = commit_loop
        self._questions_max = questions_max
        self._slots: dict[WorkerId, asyncio.Semaphore] = {}

    async def ask(
        self, worker: Worker, question: Callable[[int], link.CoordinatorMessage], kind: type[A], wait_s: float
    ) -> A:
        """The answer to what `question` makes of a number. Raises Unavailable where none comes in time."""
        async with self._slots.setdefault(worker.id, asyncio.Semaphore(self._questions_max)):
            said = await self._commit_loop.questions.ask(worker.id, question, kind, wait_s)
        if said is None:
            raise Unavailable(f"{worker.name} didn't answer within {wait_s:g} s: try again")
        return said
