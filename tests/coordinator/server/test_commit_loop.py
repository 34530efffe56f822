"""The loop around the core: what goes wrong in one batch is told to those who wait for it, and the next one goes well."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.reactor import Reactor
from opsconsole_coordinator.server import commit_loop as commit_loop_module
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.store import journal
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.store.schema import StoreError
from opsconsole_protocol.api import Submission
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.ids import JobId, WorkerId, job_id
from opsconsole_protocol.spec import JobSpec
from tests.waiting import until


@pytest.fixture
async def commit_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CommitLoop]:
    monkeypatch.setattr(commit_loop_module, "RETRY_AFTER_S", 0.01)
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    made = CommitLoop(database, "lab")
    loops = [asyncio.create_task(made.run()), asyncio.create_task(made.tick())]
    try:
        yield made
        assert not any(loop.done() for loop in loops), "a loop has ended"
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await database.close()


async def submit(commit_loop: CommitLoop) -> JobId:
    made = job_id(secrets.randbits(50))
    commit_loop.reactor.on_submit([Submission(made, JobSpec(command=("true",)))], {}, "ana", commit_loop.clock.now_ms())
    await commit_loop.committed()
    return made


@pytest.mark.parametrize("error", [StoreError("disk full"), ZeroDivisionError("a mistake of ours")])
async def test_a_lost_batch_is_refused_and_the_next_one_is_taken(
    commit_loop: CommitLoop, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    before = await submit(commit_loop)

    async def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(journal, "commit", fail)
        with pytest.raises(Unavailable, match=r"disk full|mistake"):
            await submit(commit_loop)
    assert set(commit_loop.fleet.jobs) == {before}
    with pytest.raises(Unavailable):
        await submit(commit_loop)  # until the store has taken a write again
    await until(lambda: not commit_loop.trouble)
    assert set(commit_loop.fleet.jobs) == {before}
    after = await submit(commit_loop)
    assert set(commit_loop.fleet.jobs) == {before, after}
    assert commit_loop.trouble == ""


async def test_what_comes_while_a_batch_is_being_lost_is_refused_too(
    commit_loop: CommitLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def fail(*_: Any) -> None:
        started.set()
        await go.wait()
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "commit", fail)
        first = asyncio.create_task(submit(commit_loop))
        await started.wait()
        second = asyncio.create_task(submit(commit_loop))
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    assert not commit_loop.fleet.jobs


@pytest.mark.parametrize("event", ["take_batch", "on_tick"])
async def test_a_mistake_in_the_core_ends_nothing(
    commit_loop: CommitLoop, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Reactor, event, fail)
        with contextlib.suppress(Unavailable):
            await submit(commit_loop)
        await until(lambda: commit_loop.counts.failed_commits, what=f"{event} to fail")
    await until(lambda: not commit_loop.trouble and commit_loop._fault is None)
    done = await submit(commit_loop)
    assert done in commit_loop.fleet.jobs


async def test_a_coordinator_that_was_held_up_takes_nobody_for_silent(
    commit_loop: CommitLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped with SIGSTOP, or starved: heartbeats wait in its sockets while its clock goes on."""
    worker = Worker(id=WorkerId("w1"), name="w1", connection="connected", heard_at_ms=commit_loop.clock.now_ms())
    commit_loop.fleet.workers[worker.id] = worker
    ticks: list[int] = []
    tick = Reactor.on_tick

    def noted(reactor: Reactor, now_ms: int) -> None:
        tick(reactor, now_ms)
        ticks.append(now_ms)

    monkeypatch.setattr(Reactor, "on_tick", noted)
    await until(lambda: ticks)
    commit_loop.clock._wall_ms += 3_600_000
    seen = len(ticks)
    await until(lambda: len(ticks) > seen)
    assert ticks[-1] - ticks[0] >= 3_600_000
    assert worker.connection == "connected"


async def test_the_memory_of_a_large_batch_is_given_back(
    commit_loop: CommitLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_loop_module, "GIVE_BACK_AFTER_S", 0.0)
    given_back = 0
    give_back = commit_loop.database.give_back_memory

    async def count() -> None:
        nonlocal given_back
        await give_back()
        given_back += 1

    monkeypatch.setattr(commit_loop.database, "give_back_memory", count)
    await submit(commit_loop)
    many = [
        Submission(job_id(number), JobSpec(command=("true", str(number))))
        for number in range(journal.SMALL_BATCH_JOBS + 1)
    ]
    commit_loop.reactor.on_submit(many, {}, "ana", commit_loop.clock.now_ms())
    await commit_loop.committed()
    await until(lambda: given_back == 1)
    assert len(commit_loop.fleet.jobs) == len(many) + 1
    assert len(await commit_loop.database.read(lambda one: one.execute("SELECT 1 FROM jobs").fetchall())) == 1 + len(
        many
    )
