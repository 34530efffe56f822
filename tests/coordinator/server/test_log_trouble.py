"""What agents send as logs hurts no heartbeat and no other: a full disk, a liar, a huge log (hard use 59, 64)."""

import errno
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from opsconsole_coordinator.log.log_file import LogFile
from opsconsole_coordinator.log.store import LogStore
from opsconsole_coordinator.server import log_limit, log_service
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_protocol import api, link
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import LogChunk, encode_frame
from opsconsole_protocol.log import LogQuery, Source
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Agent, Site, some_secret
from tests.waiting import until


class Disk:
    """The disk of the log folder, which can be full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        append, probe = LogFile.append, LogStore.probe

        def appended(file: LogFile, pieces: Any) -> Any:
            self._check()
            return append(file, pieces)

        def probed(store: LogStore) -> None:
            self._check()
            probe(store)

        monkeypatch.setattr(LogFile, "append", appended)
        monkeypatch.setattr(LogStore, "probe", probed)
        monkeypatch.setattr(log_service, "SYNC_EVERY_S", 0.02)

    def _check(self) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")


async def beat(agent: Agent, at_ms: int) -> None:
    await agent.send(link.Heartbeat(at_ms=at_ms))
    assert (await agent.take(link.HeartbeatAck)).at_ms == at_ms


async def test_a_full_disk_is_said_by_health_and_costs_no_heartbeat(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, secret = Disk(monkeypatch), some_secret()
    agent = await site.agent("w1", secret=secret)
    await agent.register()
    async with await site.operator() as operator:
        job = await operator.submit()
        attempt_id = await agent.assigned()
        disk.is_full = True
        await agent.log(attempt_id, b"hello\n")
        health = await operator.call(api.AskHealth())
        while health.healthy:
            health = await operator.call(api.AskHealth())
        assert "No space left on device" in health.trouble
        for number in range(200):  # more than any queue holds
            await agent.log(attempt_id, b"more\n", offset=6 + 5 * number)
            if number % 50 == 0:
                await beat(agent, number + 1)
        assert site.commit_loop.fleet.workers[agent.worker_id].session is not None, "it didn't have to connect anew"
        disk.is_full = False
        [*_, last] = await agent.ended()
        assert (last.code, "stored again" in last.message) == ("unavailable", True)
        async with await site.agent("w1", secret=secret) as again:
            await again.send(link.Register(
                protocol=1, agent_version="1", worker_id=again.worker_id, name="w1", run_id="run-1",
                observed=(link.Observed(attempt_id=attempt_id, state=AttemptState.ASSIGNED),),
            ))  # fmt: skip
            await again.take(link.DesiredSet)
            await again.log(attempt_id, b"hello\n")
            assert (await again.take(link.LogAck)).offsets == ((attempt_id, "stdout", 6),)
            page = (await operator.call(api.ReadLog(id=job.id, query=LogQuery()))).page
            assert [line.data for line in page.lines] == ["hello"]
        health = await operator.call(api.AskHealth())
        assert (health.healthy, health.trouble) == (True, "")


async def test_more_than_the_limit_is_not_stored_whoever_sends_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_limit, "NOTES_BYTES", 10)
    site.commit_loop.fleet.attempt_log_bytes = 100
    async with await site.agent("w1") as agent, await site.operator() as operator:
        await agent.register()
        job = await operator.submit()
        attempt_id = await agent.assigned()
        for number in range(10):
            await agent.log(attempt_id, b"x" * 49 + b"\n", offset=50 * number)
            assert (await agent.take(link.LogAck)).offsets == ((attempt_id, "stdout", 50 * number + 50),)
        page = (await operator.call(api.ReadLog(id=job.id, query=LogQuery()))).page
        assert len(page.lines) == 2
        await agent.report(attempt_id, AttemptState.RUNNING, started_at_ms=1)
        end = {"started_at_ms": 1, "finished_at_ms": 2, "exit_code": 0, "log_sizes": {"stdout": 500}}
        await agent.report(attempt_id, AttemptState.SUCCEEDED, **end)
        assert (await agent.take(link.Forget)).attempt_ids == (attempt_id,), "and nothing waits for what was dropped"


async def test_a_log_that_takes_long_to_look_through_holds_up_its_own_worker_only(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = some_secret()
    agent = await site.agent("w1", secret=secret)
    await agent.register()
    async with await site.operator() as operator, await site.agent("w2") as other:
        await other.register()
        await operator.submit(worker="w1")
        attempt_id = await agent.assigned()
        await agent.close()
        await until(lambda: site.commit_loop.fleet.workers[agent.worker_id].session is None)
        site.commit_loop._logs_unread.add(agent.worker_id)  # as after a start
        looking, go_on = threading.Event(), threading.Event()

        def slow(_: AttemptId) -> dict[str, int]:
            looking.set()
            assert go_on.wait(10)
            return {"stdout": 7}

        monkeypatch.setattr(site.commit_loop, "log_offsets", slow)
        async with await site.agent("w1", secret=secret) as again:
            await again.send(link.Register(
                protocol=1, agent_version="1", worker_id=again.worker_id, name="w1", run_id="run-1",
                observed=(link.Observed(attempt_id=attempt_id, state=AttemptState.ASSIGNED),),
            ))  # fmt: skip
            await until(looking.is_set)
            await beat(other, 5)
            assert (await operator.call(api.AskHealth())).healthy
            go_on.set()
            [desired] = (await again.take(link.DesiredSet)).attempts
            assert desired.log_offsets == {"stdout": 7}


@pytest.mark.parametrize("clock_ms", [0, 1, 1 << 53, -(1 << 53)])
@pytest.mark.parametrize("at_ms", [0, 1 << 53, (1 << 63) - 1])
async def test_a_time_that_no_calendar_has_is_put_right_at_the_edge(site: Site, clock_ms: int, at_ms: int) -> None:
    """Whatever a worker's clock says, of its logs and of itself: a time of ours, and no end of its connection."""
    async with await site.agent("w1") as agent, await site.operator() as operator:
        await agent.register()
        job = await operator.submit()
        attempt_id = await agent.assigned()
        await agent.send(link.Heartbeat(at_ms=clock_ms))
        await agent.take(link.HeartbeatAck)
        await agent.socket.send(encode_frame(LogChunk(attempt_id, Source.STDOUT, 0, at_ms, b"hello\n")))
        await agent.take(link.LogAck)
        page = (await operator.call(api.ReadLog(id=job.id, query=LogQuery()))).page
        [line] = page.lines
        assert 0 <= line.timestamp_ms <= site.commit_loop.clock.now_ms()


async def test_a_disk_that_fails_again_and_again_is_tried_ever_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota, or a file that can't grow: a little can be written, and then it fails as before."""
    disk = Disk(monkeypatch)
    logs = LogService(tmp_path / "logs", cast("CommitLoop", None))
    chunk = LogChunk("7k3m9q2w4t.0.0.ab12", Source.STDOUT, 0, 1, b"x")
    pauses = []
    try:
        for _ in range(4):
            disk.is_full = True
            with pytest.raises(Unavailable):
                await logs.append([chunk])
            assert logs.trouble
            disk.is_full = False
            pauses.append(logs._retry_after_s)
            logs._try_from_s = 0
            await logs._try_again()
            assert not logs.trouble
    finally:
        logs.close()
    assert pauses == [0.02, 0.04, 0.08, 0.16]
