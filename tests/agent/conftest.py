"""Agents and coordinators for tests; whatever a test starts is ended with it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.runtime import Agent, AgentConfig
from tests.agent.fake_coordinator import TOKEN, FakeCoordinator
from tests.agent.keeper_lab import KeeperLab, keeper_lab
from tests.waiting import until

EndKeepers = Callable[[], None]


@pytest.fixture
async def coordinator() -> AsyncIterator[FakeCoordinator]:
    """A coordinator that listens."""
    async with FakeCoordinator() as fake:
        yield fake


@dataclass
class RunningAgent:
    """An agent in this process: its task, and what it said."""

    config: AgentConfig
    said: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run it."""
        self.task = asyncio.create_task(Agent(self.config, self.said.append).run(self.stop))

    async def end(self) -> None:
        """Tell it to stop and wait for it; raises what it raises."""
        self.stop.set()
        if self.task is not None:
            await asyncio.wait_for(self.task, 70)

    async def crash(self) -> None:
        """Take it away in the middle of whatever it does."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            if not self.task.cancelled():
                self.task.exception()  # the test has looked at it


StartAgent = Callable[..., Awaitable[RunningAgent]]


@pytest.fixture
async def start_agent(coordinator: FakeCoordinator, tmp_path: Path) -> AsyncIterator[StartAgent]:
    """Start agents on one state folder; in the end nothing of them is left."""
    config = AgentConfig(
        url=coordinator.url,
        certificate_hash=None,
        token=TOKEN,
        name="worker",
        state_dir=tmp_path / "state",
        io=WorkerIOConfig(),
        max_concurrent_jobs=2,
    )
    started: list[RunningAgent] = []

    async def start(*, wait: bool = True, **changes: Any) -> RunningAgent:
        agent = RunningAgent(replace(config, **changes))
        agent.start()
        started.append(agent)
        if wait:
            await until(lambda: coordinator.is_connected or (agent.task and agent.task.done()), 20, "a registration")
            if agent.task is not None and agent.task.done():
                agent.task.result()
        return agent

    yield start
    try:
        for agent in started:
            await agent.crash()
    finally:
        end_processes(tmp_path)


def processes_below(folder: Path) -> list[int]:
    """Keepers of this folder, and processes of attempts in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            marked = str(folder).encode() in (entry / "cmdline").read_bytes()
            inside = (entry / "cwd").readlink().is_relative_to(folder)
            if marked or inside:
                found.append(int(entry.name))
    return found


def end_processes(folder: Path) -> None:
    """Kill whatever still runs below a test's own folder."""
    for pid in processes_below(folder):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(name="empty_lab")
async def _empty_lab() -> AsyncIterator[KeeperLab]:
    """A folder for a keeper; none runs in it yet."""
    async with keeper_lab() as lab:
        yield lab


@pytest.fixture(name="lab")
async def _lab(empty_lab: KeeperLab) -> KeeperLab:
    """A keeper runs in it, and we are connected."""
    return await empty_lab.connect()
