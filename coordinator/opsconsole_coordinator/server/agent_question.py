"""Questions to agents that operators wait for. Each is asked once, and its answer is waited for for a while."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Protocol, TypeVar

from opsconsole_protocol import link
from opsconsole_protocol.ids import WorkerId

Answer = link.Leavings | link.FileList | link.FilePartRead | link.DatasetDescribed
A = TypeVar("A", link.Leavings, link.FileList, link.FilePartRead, link.DatasetDescribed)


class Asked(Protocol):
    """A worker's connection."""

    def send(self, message: link.CoordinatorMessage) -> None:
        """Queue a message. Never blocks."""


class AgentQuestions:
    """Asks over the connections that there are."""

    def __init__(self, sessions: Mapping[WorkerId, Asked]) -> None:
        self._sessions = sessions
        self._numbers = count(1)
        self._open: dict[int, tuple[WorkerId, asyncio.Future[Answer]]] = {}

    def answer(self, worker_id: WorkerId, message: Answer) -> None:
        """Take an agent's answer; one that wasn't asked for is ignored."""
        asked, future = self._open.get(message.check_id, (None, None))
        if asked == worker_id and future is not None and not future.done():
            future.set_result(message)

    async def ask(
        self, worker_id: WorkerId, question: Callable[[int], link.CoordinatorMessage], kind: type[A], wait_s: float
    ) -> A | None:
        """Ask a worker what `question` makes of a number. None where it isn't connected, or doesn't answer so in time."""
        session = self._sessions.get(worker_id)
        if session is None:
            return None
        number = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open[number] = worker_id, future
        session.send(question(number))
        try:
            found = await asyncio.wait_for(future, wait_s)
        except TimeoutError:
            return None
        finally:
            del self._open[number]
        return found if isinstance(found, kind) else None
