"""Room is given in turn: one caller's many questions don't hold up another's one (hard use 59, 64)."""

import asyncio

import pytest

from opsconsole_coordinator.server.fair_semaphore import FairSemaphore


class Calls:
    """Calls that stay inside until they are let go; `order` says who came in."""

    def __init__(self, room: int, each: int) -> None:
        self.fair_semaphore = FairSemaphore(room, each)
        self.order: list[str] = []
        self.inside: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, caller: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._call(caller))
        self.tasks.append(task)
        return task

    async def _call(self, caller: str) -> None:
        async with self.fair_semaphore.acquire(caller):
            go = asyncio.Event()
            self.order.append(caller)
            self.inside.append((caller, go))
            await go.wait()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        while self.inside:
            self.inside.pop(0)[1].set()
            await self.settle()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_one_who_asks_for_much_waits_behind_who_asks_for_little() -> None:
    calls = Calls(room=1, each=1)
    for _ in range(40):
        calls.start("greedy")
    await calls.settle()
    calls.start("modest")
    await calls.finish()
    assert calls.order.index("modest") <= 2
    assert len(calls.order) == 41


async def test_there_is_room_at_once_for_another() -> None:
    calls = Calls(room=2, each=1)
    for _ in range(40):
        calls.start("greedy")
    calls.start("modest")
    await calls.settle()
    assert calls.order == ["greedy", "modest"]
    await calls.finish()


@pytest.mark.parametrize("when", ["waiting", "inside", "just admitted"])
async def test_who_goes_away_leaves_the_room_to_others(when: str) -> None:
    calls = Calls(room=1, each=1)
    first = calls.start("a")
    await calls.settle()
    second = calls.start("b")
    await calls.settle()
    if when == "inside":
        first.cancel()
    elif when == "waiting":
        second.cancel()
        await calls.settle()
        calls.inside.pop(0)[1].set()
    else:
        calls.inside.pop(0)[1].set()
        await asyncio.wait((first,))
        second.cancel()
    await calls.settle()
    calls.inside.clear()
    third = calls.start("c")
    if when == "inside":
        second.cancel()
    await calls.settle()
    assert calls.order[-1] == "c"
    await calls.finish()
    assert third.done()
