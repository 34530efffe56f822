"""Heavy hours in small: workers vanish, many changes come and everybody reloads, all at once. Nothing is dropped silently."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from opsconsole.fleet import Fleet
from opsconsole_coordinator.core import liveness, registration
from opsconsole_coordinator.server import agent_session
from opsconsole_protocol import api, link
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Agent, Operator, Site
from tests.waiting import until

WORKERS = 200
VANISHING = 50
SLOTS = 14
CHANGES = 2_000
TASKS_A_JOB = 100
OPERATORS = 20
HEARTBEAT_S = 0.2
SILENT_AFTER_MS = 4_000
TIMEOUT_S = 60.0


class Hand:
    """An agent that runs what it is given, answers for itself in heartbeats, and forgets what it is told to forget."""

    def __init__(self, agent: Agent) -> None:
        self.name = agent.name
        self.running: set[AttemptId] = set()
        self.ended: set[AttemptId] = set()
        self.started: list[str] = []
        self._agent = agent
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Register and go to work."""
        await self._agent.register(max_concurrent_jobs=SLOTS)
        self._tasks = [asyncio.create_task(self._obey()), asyncio.create_task(self._beat())]

    async def end(self, attempt_id: AttemptId) -> None:
        """An attempt succeeds."""
        self.running.discard(attempt_id)
        self.ended.add(attempt_id)
        await self._agent.report(attempt_id, AttemptState.SUCCEEDED, started_at_ms=1, finished_at_ms=2, exit_code=0)

    async def vanish(self, *, cut: bool) -> None:
        """Be gone, with or without a word to the socket."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if cut:
            self._agent.socket.transport.abort()

    async def _obey(self) -> None:
        while True:
            frame = await self._agent.socket.recv(decode=False)
            for message in self._agent._decoder.decode(frame):
                if isinstance(message, link.JobAssignment):
                    self.started.append(message.desired.launch.task_id)
                    self.running.add(message.desired.attempt_id)
                    await self._agent.report(message.desired.attempt_id, AttemptState.RUNNING, started_at_ms=1)
                elif isinstance(message, link.Forget):
                    self.ended.difference_update(message.attempt_ids)

    async def _beat(self) -> None:
        while True:
            await self._agent.send(link.Heartbeat(at_ms=1))
            await asyncio.sleep(HEARTBEAT_S)


class Onlooker:
    """An operator who folds everything, and reloads."""

    def __init__(self, operator: Operator) -> None:
        self.fleet = Fleet()
        self._operator = operator

    async def subscribe(self) -> None:
        """Begin with a snapshot."""
        self._operator.updates.clear()  # older than the snapshot that comes
        self.fleet.reset((await self._operator.call(api.Subscribe())).snapshot)

    async def reload(self, job_id: str) -> None:
        """All lists, and the view anew."""
        assert (await self._operator.call(api.ListJobs())).jobs
        assert len((await self._operator.call(api.ListWorkers())).workers) == WORKERS
        assert len((await self._operator.call(api.ShowJob(id=job_id))).detail.tasks) == TASKS_A_JOB
        assert (await self._operator.call(api.ListEvents())).events

    async def fold(self) -> None:
        """Take in what has come so far; the answer to a call comes behind it."""
        await self._operator.call(api.AskHealth())
        for update in self._operator.updates:
            self.fleet.fold(update)
        self._operator.updates.clear()


@pytest.fixture
async def agents(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Hand]]:
    """All workers, with a silence that is noticed sooner than usual."""
    for module in (liveness, registration, agent_session):
        monkeypatch.setattr(module, "SILENT_AFTER_MS", SILENT_AFTER_MS)
    async with AsyncExitStack() as stack:
        hands = []
        for number in range(WORKERS):
            agent = await stack.enter_async_context(await site.agent(f"w{number:03}"))
            hands.append(Hand(agent))
            await hands[-1].begin()
        yield hands
        for hand in hands:
            await hand.vanish(cut=True)


def _event(values: tuple[Any, ...]) -> api.EventRow:
    seq, at_ms, actor, kind, text, subject = values
    return api.EventRow(seq=seq, at_ms=at_ms, actor=actor, kind=kind, text=text, subject=subject)


async def _settle(condition: Callable[[], bool]) -> None:
    await until(condition, timeout_s=TIMEOUT_S)


async def test_all_agree_in_the_end_and_nobody_falls_silent_without_cause(site: Site, agents: list[Hand]) -> None:
    total = WORKERS * SLOTS
    async with AsyncExitStack() as stack:
        onlookers = [Onlooker(await stack.enter_async_context(await site.operator())) for _ in range(OPERATORS)]
        submitter = await stack.enter_async_context(await site.operator())
        jobs = [await submitter.submit(num_tasks=TASKS_A_JOB) for _ in range(total // TASKS_A_JOB)]
        await _settle(lambda: sum(len(hand.running) for hand in agents) == total)
        for one in onlookers:
            await one.subscribe()

        gone, rest = agents[:VANISHING], agents[VANISHING:]
        running = [(one, hand) for hand in rest for one in hand.running]
        chosen = sorted(running, key=lambda each: each[0])[:CHANGES]  # which mixes the agents

        async def change() -> None:
            for attempt_id, hand in chosen:
                await hand.end(attempt_id)

        async def look(number: int, one: Onlooker) -> None:
            await one.reload(jobs[number % len(jobs)].id)
            if number % 2:
                await one.subscribe()  # the others fold all that comes from the beginning

        await asyncio.gather(
            *(hand.vanish(cut=number % 2 == 0) for number, hand in enumerate(gone)),
            change(),
            *(look(number, one) for number, one in enumerate(onlookers)),
        )
        # Told so by the coordinator, agent by agent: each end is committed.
        await _settle(lambda: not any(hand.ended for hand in rest))
        workers = site.commit_loop.fleet.workers.values()
        await _settle(lambda: sum(one.connection == "silent" for one in workers) == VANISHING)

        def stored(connection: sqlite3.Connection) -> tuple[dict[str, api.JobRow], dict[str, int], list[api.EventRow]]:
            execute = connection.execute
            rows = [msgspec.msgpack.decode(row, type=api.JobRow) for (row,) in execute("SELECT row FROM jobs")]
            states = dict(execute("SELECT state, count(*) FROM tasks GROUP BY state").fetchall())
            found = execute("SELECT seq, at_ms, actor, kind, text, subject FROM events ORDER BY seq").fetchall()
            return {row.id: row for row in rows}, states, [_event(one) for one in found]

        await site.commit_loop.committed()
        rows, states, events = await site.commit_loop.database.read(stored)
        assert states == {"succeeded": CHANGES, "running": total - CHANGES}
        assert {event.subject for event in events if event.kind == "silent"} == {hand.name for hand in gone}
        started = [task for hand in agents for task in hand.started]
        assert len(started) == len(set(started)) == total
        for one in onlookers:
            async with asyncio.timeout(TIMEOUT_S):
                while one.fleet.seq < events[-1].seq:
                    await one.fold()
            assert one.fleet.jobs == rows
            assert list(one.fleet.events) == events[-len(one.fleet.events) :]
            silent = {row.name for row in one.fleet.workers.values() if row.connection == "silent"}
            assert silent == {hand.name for hand in gone}
        assert all(len(one.fleet.events) == one.fleet.events.maxlen for one in onlookers[::2])
