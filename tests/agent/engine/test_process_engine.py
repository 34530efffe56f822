"""Preparations that take time: their news, how far they are, and that they can be cancelled."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from opsconsole_agent.core.event import AttemptPrepared, BuildStarted, Event, PreparationFailed
from opsconsole_agent.core.intent import Intent
from opsconsole_agent.engine.build import Build
from opsconsole_agent.engine.engine import Engine, StepProgress
from opsconsole_agent.engine.process_engine import ProcessEngine
from opsconsole_agent.engine.staging import Staging, TaskDefaults
from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.link import Launch
from tests.agent.core.script import make_launch
from tests.waiting import until

A, B = AttemptId("j0b0000000.0.0.aaaa"), AttemptId("j0b0000000.0.1.bbbb")


class Download:
    """A step that takes its time, like those to come."""

    name = "download"

    def __init__(self) -> None:
        self.has_more = asyncio.Event()
        self.cleaned: list[str] = []
        self.refusal: InvalidRequest | None = None

    def is_quick(self, _launch: Launch) -> bool:
        return False

    async def run(self, build: Build) -> None:
        try:
            build.progress = StepProgress(self.name, 300, 1_000)
            await self.has_more.wait()
            if self.refusal is not None:
                raise self.refusal
        except asyncio.CancelledError:
            self.cleaned.append(build.attempt_id)
            raise


class Bench:
    """An engine without a keeper, one step longer than usual."""

    def __init__(self, tmp_path: Path) -> None:
        defaults = TaskDefaults(WorkerId("worker-1"), "ws://h:1", {"PATH": "/bin"}, WorkerIOConfig())
        staging = Staging(defaults, StateFolder(tmp_path))
        self.download = Download()
        staging.steps = (self.download, *staging.steps)
        self.emitted: list[Event] = []
        self.engine = ProcessEngine(cast("Any", None), staging, self.emit, list)

    def emit(self, events: Sequence[Event]) -> None:
        self.emitted += events

    async def until_building(self) -> None:
        await until(lambda: bool(self.engine.progress()))


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_slow_preparation_says_that_it_builds_and_how_far_it_is(bench: Bench) -> None:
    bench.engine.prepare(A, make_launch(ports=("http",)))
    assert [type(event) for event in bench.emitted] == [BuildStarted]
    await bench.until_building()
    assert bench.engine.progress() == {A: ("download", 300, 1_000)}
    bench.download.has_more.set()
    await until(lambda: len(bench.emitted) == 2)
    prepared = bench.emitted[1]
    assert isinstance(prepared, AttemptPrepared)
    assert prepared.ports.keys() == {"http"}
    assert bench.engine.progress() == {}


async def test_a_preparation_that_is_cancelled_stops_at_once_and_cleans_up(bench: Bench) -> None:
    bench.engine.prepare(A, make_launch(ports=("http",)))
    bench.engine.prepare(B, make_launch())
    await bench.until_building()
    bench.engine.abandon(A)
    await until(lambda: A not in bench.engine.progress())
    assert bench.download.cleaned == [A]
    assert bench.engine.progress().keys() == {B}
    assert bench.engine._ports == {}, "its ports are free for others"
    bench.download.has_more.set()
    await until(lambda: len(bench.emitted) == 3)
    assert [getattr(event, "attempt_id", "") for event in bench.emitted] == [A, B, B]
    await bench.engine.close()


async def test_a_step_that_refuses_fails_the_preparation(bench: Bench) -> None:
    bench.download.refusal = InvalidRequest("there is no such archive")
    bench.download.has_more.set()
    bench.engine.prepare(A, make_launch())
    await until(lambda: len(bench.emitted) == 2)
    failed = bench.emitted[1]
    assert isinstance(failed, PreparationFailed)
    assert (failed.error, failed.worker_fault) == ("there is no such archive", False)


async def test_the_process_engine_is_an_engine(bench: Bench) -> None:
    engine: Engine = bench.engine
    engine.readopt(Intent(attempt_id=A, launch=None, ports={"http": 31_000}), host_restarted=False)
    assert bench.engine._ports == {A: (31_000,)}
