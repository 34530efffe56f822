"""The link keeps a fleet in step over restarts, silence and refusals."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from opsconsole.fleet import Change
from opsconsole.fleet_subscription import Connectivity, FleetSubscription
from opsconsole.target import Target
from opsconsole_protocol import api
from opsconsole_protocol.error import Unavailable
from tests.client.fake_server import FakeServer
from tests.client.row import event_row, worker_row
from tests.waiting import until


class Watcher:
    """A link and everything that it told."""

    def __init__(self, target: Target) -> None:
        self.changes: list[Change] = []
        self.told: list[Connectivity] = []
        self.states: list[str] = []
        self.messages: list[str] = []
        self.subscription = FleetSubscription(target, on_change=self.changes.append, on_connection=self._note)
        self.task = asyncio.create_task(self.subscription.run())

    def _note(self, told: Connectivity) -> None:
        self.told.append(told)
        self.states.append(told.state)
        self.messages.append(told.text)

    async def connected(self, times: int = 1) -> None:
        await until(lambda: self.states.count("connected") >= times, what="a connection")

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        server.add_worker("gpu-a")
        yield server


@pytest.fixture
async def watcher(server: FakeServer) -> AsyncIterator[Watcher]:
    watcher = Watcher(server.target)
    await watcher.connected()
    yield watcher
    await watcher.end()


async def test_it_starts_with_the_snapshot(watcher: Watcher) -> None:
    assert watcher.states == ["connecting", "connected"]
    assert watcher.changes[0].reset
    assert set(watcher.subscription.fleet.workers) == {"worker-gpu-a"}
    assert watcher.subscription.welcome is not None
    assert watcher.subscription.welcome.role == "admin"


async def test_updates_are_folded_and_told(server: FakeServer, watcher: Watcher) -> None:
    server.push(workers=(worker_row("gpu-b"),), events=(event_row(1),))
    await until(lambda: len(watcher.changes) == 2)
    assert watcher.changes[1].workers == {"worker-gpu-b"}
    assert set(watcher.subscription.fleet.workers) == {"worker-gpu-a", "worker-gpu-b"}


async def test_an_update_that_changes_nothing_is_not_told(server: FakeServer, watcher: Watcher) -> None:
    server.push(workers=(worker_row("gpu-a"),))
    server.push(workers=(worker_row("gpu-b"),))
    await until(lambda: len(watcher.changes) > 1)
    assert watcher.changes[1].workers == {"worker-gpu-b"}


async def test_a_lost_connection_comes_back_with_a_fresh_snapshot(server: FakeServer, watcher: Watcher) -> None:
    server.hang_up()
    await until(lambda: "lost" in watcher.states)
    del server.workers["gpu-a"]
    server.add_worker("gpu-c")
    server.listen()
    await watcher.connected(2)
    assert set(watcher.subscription.fleet.workers) == {"worker-gpu-c"}
    server.push(workers=(worker_row("gpu-d"),))
    await until(lambda: "worker-gpu-d" in watcher.subscription.fleet.workers)


async def test_calls_go_over_the_same_connection_and_fail_at_once_without_one(
    server: FakeServer, watcher: Watcher
) -> None:
    assert (await watcher.subscription.client.health()).healthy
    server.hang_up()
    await until(lambda: "lost" in watcher.states)
    with pytest.raises(Unavailable):
        await watcher.subscription.client.health()


async def test_a_refused_token_is_said_and_not_hammered_at(server: FakeServer) -> None:
    watcher = Watcher(Target(server.url, "wrong"))
    await until(lambda: "lost" in watcher.states)
    assert "the token is not valid here" in watcher.messages[-1]
    for _ in range(20):
        await asyncio.sleep(0)
    assert watcher.states == ["connecting", "lost"]
    await watcher.end()


async def test_a_coordinator_that_falls_silent_is_left(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsconsole.fleet_subscription.PROBE_AFTER_S", 0.1)
    watcher = Watcher(server.target)
    await watcher.connected()
    server.is_deaf = True
    await until(lambda: "lost" in watcher.states)
    assert "doesn't answer any more" in watcher.messages[watcher.states.index("lost")]
    server.is_deaf = False
    await watcher.connected(2)
    await watcher.end()


async def test_a_quiet_coordinator_that_answers_is_kept(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsconsole.fleet_subscription.PROBE_AFTER_S", 0.02)
    watcher = Watcher(server.target)
    await watcher.connected()
    await until(lambda: sum(isinstance(one, api.AskHealth) for one in server.asked) >= 3)
    assert watcher.states == ["connecting", "connected"]
    await watcher.end()
