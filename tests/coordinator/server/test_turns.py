"""Room is given in turn: one caller's many questions don't hold up another's one (hard use 59, 64)."""

import asyncio

import pytest

from opsconsole_coordinator.server.turns import Turns


class Crowd:
    """Calls that stay inside until they are let go; `order` says who came in."""

    def __init__(self, room: int, each: int) -> None:
        self.turns = Turns(room, each)
        self.order: list[str] = []
        self.inside: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, caller: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._call(caller))
        self.tasks.append(task)
        return task

    async def _call(self, caller: str) -> None:
        async with self.turns.turn(caller):
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
    crowd = Crowd(room=1, each=1)
    for _ in range(40):
        crowd.come("greedy")
    await crowd.settle()
    crowd.come("modest")
    await crowd.finish()
    assert crowd.order.index("modest") <= 2
    assert len(crowd.order) == 41


async def test_there_is_room_at_once_for_another() -> None:
    crowd = Crowd(room=2, each=1)
    for _ in range(40):
        crowd.come("greedy")
    crowd.come("modest")
    await crowd.settle()
    assert crowd.order == ["greedy", "modest"]
    await crowd.finish()


@pytest.mark.parametrize("when", ["waiting", "inside", "just admitted"])
async def test_who_goes_away_leaves_the_room_to_others(when: str) -> None:
    crowd = Crowd(room=1, each=1)
    first = crowd.come("a")
    await crowd.settle()
    second = crowd.come("b")
    await crowd.settle()
    if when == "inside":
        first.cancel()
    elif when == "waiting":
        second.cancel()
        await crowd.settle()
        crowd.inside.pop(0)[1].set()
    else:
        crowd.inside.pop(0)[1].set()
        await asyncio.wait((first,))
        second.cancel()
    await crowd.settle()
    crowd.inside.clear()
    third = crowd.come("c")
    if when == "inside":
        second.cancel()
    await crowd.settle()
    assert crowd.order[-1] == "c"
    await crowd.finish()
    assert third.done()
