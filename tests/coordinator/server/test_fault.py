"""The store fails in the middle: nothing of it is heard of, and when it works again all goes on."""

import asyncio
import sqlite3

import pytest

from opsconsole_protocol import api, link
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Site, some_secret
from tests.waiting import until

FAULT = "CREATE TRIGGER fault BEFORE INSERT ON {} BEGIN SELECT RAISE(ABORT, 'a planted fault'); END"


async def breaks(site: Site, table: str = "events") -> None:
    await site.commit_loop.database.write(lambda connection: connection.execute(FAULT.format(table)))


async def heals(site: Site) -> None:
    await site.commit_loop.database.write(lambda connection: connection.execute("DROP TRIGGER fault"))
    await until(lambda: not site.commit_loop.trouble, what="the coordinator to start over")


async def test_what_could_not_be_committed_is_neither_acknowledged_nor_assigned(site: Site) -> None:
    secret = some_secret()
    agent, operator = await site.agent(secret=secret), await site.operator()
    await agent.register()
    await breaks(site)
    with pytest.raises(Unavailable, match=r"not accepted: .*a planted fault"):
        await operator.submit()
    said = await agent.ended()
    assert [one.code for one in said if isinstance(one, link.PeerError)] == ["unavailable"]
    assert not any(isinstance(one, link.JobAssignment) for one in said)
    await heals(site)
    assert (await operator.call(api.ListJobs())).jobs == ()
    assert not site.commit_loop.fleet.jobs
    async with await site.agent(secret=secret) as again:
        assert (await again.register()).attempts == ()
        await operator.submit()
        await again.run_one()
    await operator.close()


async def test_while_the_store_is_broken_everything_is_refused_at_once_and_what_is_read_is_committed(
    site: Site,
) -> None:
    async with await site.operator() as operator:
        job = await operator.submit(held=True)
        await breaks(site, "meta")
        for _ in range(3):
            with pytest.raises(Unavailable):
                await operator.call(api.Act(verb="cancel", ids=(job.id,)))
        await until(lambda: site.commit_loop.trouble)
        assert not (await operator.call(api.AskHealth())).healthy
        assert (await operator.call(api.ShowJob(id=job.id))).detail.job.state == "held"
        async with await site.agent() as agent:
            await agent.send(
                link.Register(protocol=1, agent_version="1", worker_id=agent.worker_id, name="w1", run_id="r")
            )
            [error] = await agent.ended()
            assert error.code == "unavailable"
        await heals(site)
        assert (await operator.call(api.AskHealth())).healthy
        await operator.call(api.Act(verb="cancel", ids=(job.id,)))


async def test_a_fleet_comes_back_by_itself_after_the_fault(site: Site) -> None:
    """Nobody has to submit anything, or to wait until workers are given up for lost."""
    secret = some_secret()
    async with await site.operator() as operator:
        agent = await site.agent(secret=secret)
        await agent.register()
        job = await operator.submit()
        attempt_id = await agent.assigned()
        await agent.report(attempt_id, AttemptState.RUNNING, started_at_ms=1)
        await until(lambda: site.commit_loop.fleet.jobs[job.id].state == "running")  # type: ignore[index]
        await breaks(site)
        await agent.report(attempt_id, AttemptState.SUCCEEDED, started_at_ms=1, finished_at_ms=2, exit_code=0)
        said = await agent.ended()
        assert not any(isinstance(one, link.Forget) for one in said), "it keeps what isn't committed"
        await heals(site)
        async with await site.agent(secret=secret) as again:
            ended = link.Observed(attempt_id=attempt_id, state=AttemptState.SUCCEEDED, started_at_ms=1, exit_code=0)
            await again.register(observed=(ended,))
        assert (await operator.wait(job.id))[0].state == "succeeded"


async def test_what_is_submitted_while_a_commit_fails_is_refused_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opsconsole_coordinator.store import journal
    from opsconsole_coordinator.store.schema import StoreError

    going, go = asyncio.Event(), asyncio.Event()

    async def fail(*_: object, **__: object) -> None:
        going.set()
        await go.wait()
        raise StoreError("the disk is full")

    one, two = await site.operator(), await site.operator()
    with monkeypatch.context() as patch:
        patch.setattr(journal, "commit", fail)
        first = asyncio.create_task(one.submit())
        await going.wait()
        second = asyncio.create_task(two.submit())
        await until(lambda: len(site.commit_loop.fleet.jobs) == 2)
        go.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    await until(lambda: not site.commit_loop.trouble)
    assert (await one.call(api.ListJobs())).jobs == ()
    for operator in (one, two):
        await operator.submit()
        await operator.close()


async def test_a_credential_that_could_not_be_kept_lets_nobody_in(site: Site) -> None:
    token = await site.invite()
    await breaks(site, "credentials")
    from opsconsole_protocol.host.dial import Refused

    secret = some_secret()
    with pytest.raises(Refused) as error:
        await site.agent(secret=secret, invitation=token)
    assert error.value.status == 503
    await site.commit_loop.database.write(lambda connection: connection.execute("DROP TRIGGER fault"))
    async with await site.agent(secret=secret, invitation=token) as agent:
        await agent.register()


async def test_ticks_during_the_fault_lose_no_worker(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await site.agent()
    await agent.register()
    worker_id = agent.worker_id
    await breaks(site, "meta")
    async with await site.operator() as operator:
        with pytest.raises(Unavailable):
            await operator.submit()
        now_ms = site.commit_loop.clock.now_ms
        monkeypatch.setattr(site.commit_loop.clock, "now_ms", lambda: now_ms() + 300_000)  # five minutes later
        await heals(site)
        assert site.commit_loop.fleet.workers[worker_id].connection == "silent"
        assert site.commit_loop.clock.now_ms() - site.commit_loop.fleet.workers[worker_id].heard_at_ms < 60_000


def test_the_trigger_is_a_fault_of_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE events (a)")
    connection.execute(FAULT.format("events"))
    with pytest.raises(sqlite3.IntegrityError, match="a planted fault"):
        connection.execute("INSERT INTO events VALUES (1)")
    connection.close()
