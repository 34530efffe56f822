"""What ended attempts left on workers: asked of their agents, shown, and removed when an operator says so."""

import asyncio
from collections.abc import Callable
from itertools import count

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server.kernel import Kernel
from opsconsole_protocol import api, link
from opsconsole_protocol.ids import WorkerId

ANSWER_WAIT_S = 30.0
"""A large disk takes its time."""


class Cleaning:
    """Puts questions to agents and holds them until they are answered, or nobody waits any more."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._numbers = count(1)
        self._open: dict[int, tuple[WorkerId, asyncio.Future[link.Leavings]]] = {}

    def answer(self, worker_id: WorkerId, leavings: link.Leavings) -> None:
        """An agent answers; what it wasn't asked is ignored."""
        asked, future = self._open.get(leavings.check_id, (None, None))
        if asked == worker_id and future is not None and not future.done():
            future.set_result(leavings)

    async def clean(self, workers: list[Worker], request: api.Clean) -> api.Cleaned:
        """What can go on each of them, or has gone."""
        rows: list[api.LeavingRow] = []
        remarks: list[str] = []
        for worker, found in zip(
            workers, await asyncio.gather(*(self._clean_one(one, request) for one in workers)), strict=True
        ):
            if found is None:
                remarks.append(f"{worker.name} doesn't answer: nothing is known of it")
                continue
            remarks += [f"{worker.name}: {text}" for text in found.troubles]
            if found.more:
                remarks.append(f"{worker.name} has more than is named here: clean again afterwards")
            rows += [
                api.LeavingRow(worker=worker.name, path=one.path, why=one.why, bytes=one.bytes, at_ms=one.at_ms)
                for one in found.leavings
            ]
        return api.Cleaned(leavings=tuple(rows), removed=request.remove, remarks=tuple(remarks))

    async def _clean_one(self, worker: Worker, request: api.Clean) -> link.Leavings | None:
        older_than_ms = request.older_than_ms
        found = await self._ask(
            worker, lambda number: link.LookForLeavings(check_id=number, older_than_ms=older_than_ms)
        )
        if found is None or not request.remove or not found.leavings:
            return found
        names = tuple(one.name for one in found.leavings)
        return await self._ask(worker, lambda number: link.RemoveLeavings(check_id=number, names=names))

    async def _ask(self, worker: Worker, question: Callable[[int], link.CoordinatorMessage]) -> link.Leavings | None:
        session = self._kernel.sessions.get(worker.id)
        if session is None:
            return None
        number = next(self._numbers)
        future: asyncio.Future[link.Leavings] = asyncio.get_running_loop().create_future()
        self._open[number] = worker.id, future
        session.send(question(number))
        try:
            return await asyncio.wait_for(future, ANSWER_WAIT_S)
        except TimeoutError:
            return None
        finally:
            del self._open[number]
