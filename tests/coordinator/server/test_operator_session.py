"""What operators ask, in whatever order and however wrongly; and what they are shown."""

import asyncio

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from opsconsole_coordinator.server import broadcaster, operator_session
from opsconsole_coordinator.server import snapshot as snapshot_module
from opsconsole_protocol import api
from opsconsole_protocol.api.codec import client_codec
from opsconsole_protocol.error import LimitExceeded, NotFound, OpsconsoleError, Unavailable, VersionMismatch
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.spec import JobSpec
from tests.coordinator.server.peer import Operator, Site, some_job_id
from tests.waiting import until


async def fresh(site: Site) -> Operator:
    return Operator(await site.connect("/operator", Authorization=f"Bearer {site.token}"))


async def codes(operator: Operator) -> list[str]:
    return [one.code for one in await operator.ended() if isinstance(one, api.Failure)]


# --- greeting and frames -------------------------------------------------------------------------------------------


async def test_another_version_is_a_clear_error(site: Site) -> None:
    async with await fresh(site) as operator:
        with pytest.raises(VersionMismatch, match="you speak protocol 99 and the coordinator 1: install the same"):
            await operator.greet(99)
        assert await operator.ended() == []


@pytest.mark.parametrize(
    "first",
    [
        b"", b"\xc1", b"\x90", "text", client_codec().encode([api.Call(1, api.AskHealth())]),
        client_codec().encode([api.Hello(1, "a"), api.Hello(1, "a")]), msgspec.msgpack.encode([{"type": "hi"}]),
    ],
)  # fmt: skip
async def test_the_first_message_has_to_be_hello(site: Site, first: bytes | str) -> None:
    async with await fresh(site) as operator:
        await operator.socket.send(first)
        assert await codes(operator) == ["protocol"]


@pytest.mark.parametrize(
    "frame",
    [
        b"\xc1", "text", b"\x91\x81\xa4type\xa4call", client_codec().encode([api.Hello(1, "again")]),
        msgspec.msgpack.encode([{"type": "call", "number": 1, "request": {"type": "explode"}}]),
        msgspec.msgpack.encode([{"type": "call", "number": 1, "request": {"type": "set_priority", "id": "a"}}]),
    ],
)  # fmt: skip
async def test_nonsense_ends_the_connection_with_an_error_and_no_other(site: Site, frame: bytes | str) -> None:
    async with await site.operator() as operator, await site.operator() as other:
        await operator.socket.send(frame)
        assert await codes(operator) == ["protocol"]
        assert (await other.call(api.AskHealth())).healthy


async def test_who_says_nothing_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_session, "GREET_TIMEOUT_S", 0.05)
    async with await fresh(site) as operator:
        assert await codes(operator) == ["protocol"]


async def test_a_fault_of_our_own_is_an_answer_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with await site.operator() as operator:
        monkeypatch.setattr(site.commit_loop.clock, "uptime_ms", fail)
        with pytest.raises(OpsconsoleError, match="the coordinator made a mistake over this"):
            await operator.call(api.AskHealth())
        assert (await operator.call(api.ListJobs())).jobs == ()


# --- calls ---------------------------------------------------------------------------------------------------------


async def test_answers_come_in_their_own_time(site: Site) -> None:
    async with await site.operator() as operator:
        job = await operator.submit()
        waiting = await operator.ask(api.WaitJobs(ids=(job.id,)))
        assert (await operator.call(api.ListJobs())).jobs[0].id == job.id
        cancelled = await operator.ask(api.Act(verb="cancel", ids=(job.id,)))
        answers: dict[int, api.AnyAnswer] = {}
        for _ in range(2):
            message = await operator.take(api.Answer)
            answers[message.number] = message.answer
        waited, acted = answers[waiting], answers[cancelled]
        assert isinstance(waited, api.JobList)
        assert isinstance(acted, api.ActResult)
        assert waited.jobs[0].state == "killed"
        assert acted.results[0][0] == job.id


async def test_many_that_wait_hold_up_nobody(site: Site) -> None:
    async with await site.operator() as operator:
        job = await operator.submit()
        for _ in range(2 * operator_session.CALLS_SERVED_MAX):
            await operator.ask(api.WaitJobs(ids=(job.id,)))
        assert (await operator.call(api.AskHealth())).healthy
        await operator.call(api.Act(verb="cancel", ids=(job.id,)))


async def test_even_waiting_has_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_session, "WAITS_MAX", 2)
    async with await site.operator() as operator:
        job = await operator.submit()
        for _ in range(2):
            await operator.ask(api.WaitJobs(ids=(job.id,)))
        with pytest.raises(LimitExceeded, match="2 calls of this connection wait already"):
            await operator.call(api.WaitJobs(ids=(job.id,)))
        with pytest.raises(LimitExceeded):
            await operator.call(api.ReadLog(id=job.id, query=LogQuery(), wait_ms=1_000))
        assert (await operator.call(api.AskHealth())).healthy


async def test_hundreds_of_calls_at_once_are_all_answered(site: Site) -> None:
    async with await site.operator() as operator:
        numbers = [await operator.ask(api.AskHealth()) for _ in range(500)]
        answered = [(await operator.take(api.Answer)).number for _ in numbers]
        assert sorted(answered) == numbers


async def test_an_answer_too_large_for_a_frame_is_an_error_that_says_what_to_ask(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_session, "BATCH_BYTES_MAX", 20_000)
    async with await site.operator() as operator:
        job = await operator.submit(num_tasks=200)
        with pytest.raises(LimitExceeded, match="ask for a page"):
            await operator.call(api.ShowJob(id=job.id))
        detail = (await operator.call(api.ShowJob(id=job.id, tasks_from=190, tasks_limit=20))).detail
        assert [task.index for task in detail.tasks] == list(range(190, 200))


# --- subscriptions -------------------------------------------------------------------------------------------------


async def test_a_subscription_begins_with_all_there_is_and_goes_on_with_what_changes(site: Site) -> None:
    async with await site.operator() as operator, await site.agent("w1") as agent:
        await agent.register()
        done = await operator.submit(name="done", held=True)
        await operator.call(api.Act(verb="cancel", ids=(done.id,)))
        live = await operator.submit(name="live", held=True)
        snapshot = (await operator.call(api.Subscribe())).snapshot
        assert [worker.name for worker in snapshot.workers] == ["w1"]
        assert {job.name: job.state for job in snapshot.jobs} == {"done": "killed", "live": "held"}
        assert [event.seq for event in snapshot.events] == list(range(1, snapshot.seq + 1))
        assert (snapshot.jobs_total, snapshot.projects[0].job_counts) == (2, {"held": 1, "killed": 1})
        await operator.call(api.Act(verb="cancel", ids=(live.id,)))
        update = operator.updates[-1] if operator.updates else await operator.take(api.Update)
        assert [(job.id, job.state) for job in update.jobs] == [(live.id, "killed")]
        assert update.seq > snapshot.seq
        assert [event.kind for event in update.events] == ["cancel", "finished"]


async def test_no_update_comes_before_the_snapshot(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be overwritten by what is older."""
    monkeypatch.setattr(broadcaster, "INTERVAL_S", 0)
    async with await site.operator() as operator, await site.operator() as busy:
        for _ in range(5):
            number = await operator.ask(api.Subscribe())
            await asyncio.gather(*[busy.submit(held=True)])
            seen = len(operator.updates)
            snapshot = (await operator.answer(number)).snapshot
            assert all(update.seq <= snapshot.seq for update in operator.updates[seen:])


async def test_a_large_fleet_comes_in_pieces(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster, "UPDATE_ROWS_MAX", 30)
    monkeypatch.setattr(snapshot_module, "UPDATE_ROWS_MAX", 30)
    async with await site.operator() as operator:
        spec = JobSpec(command=("a",), held=True)
        batch = tuple(api.Submission(some_job_id(), spec) for _ in range(100))
        await operator.call(api.SubmitJobs(submissions=batch))
        seen = [job.id for job in (await operator.call(api.Subscribe())).snapshot.jobs]
        assert len(seen) == 30
        while len(seen) < 100:
            update = await operator.take(api.Update)
            assert len(update.jobs) <= 30
            seen += [job.id for job in update.jobs]
        assert sorted(seen) == sorted(one.job_id for one in batch)


async def test_bursts_become_one_update(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster, "INTERVAL_S", 0.5)
    async with await site.operator() as operator, await site.operator() as busy:
        await operator.call(api.Subscribe())
        job = await busy.submit(held=True)
        for priority in range(30):
            await busy.call(api.SetPriority(id=job.id, priority=priority))
        priorities: list[int] = []
        while not priorities or priorities[-1] < 29:
            update = await operator.take(api.Update)
            priorities += [row.priority for row in update.jobs]
        assert len(priorities) < 15


async def test_a_subscriber_that_is_too_far_behind_is_told_to_come_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcaster, "ROWS_WAITING_MAX", 10)
    async with await site.operator() as operator, await site.operator() as busy:
        await operator.call(api.Subscribe())
        spec = JobSpec(command=("a",), held=True)
        batch = tuple(api.Submission(some_job_id(), spec) for _ in range(20))
        await busy.call(api.SubmitJobs(submissions=batch))
        with pytest.raises(Unavailable, match="doesn't read fast enough"):
            await operator.answer(99)
        with pytest.raises(ConnectionClosed):
            await operator.next()
        assert (await busy.call(api.AskHealth())).healthy
        assert site.commit_loop.counts.overflows["operator"] == 1


async def test_an_ended_connection_leaves_no_subscriber(site: Site) -> None:
    assert site.coordinator._web is not None
    subscribers = site.coordinator._web._broadcaster._subscribers
    async with await site.operator() as operator:
        for _ in range(3):
            await operator.call(api.Subscribe())
        assert len(subscribers) == 1
    await until(lambda: not subscribers)


async def test_what_is_shown_is_what_is_committed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from opsconsole_coordinator.store import journal

    going, go = asyncio.Event(), asyncio.Event()
    commit = journal.commit

    async def slow(*args: object, **fields: str) -> None:
        going.set()
        await go.wait()
        await commit(*args, **fields)  # type: ignore[arg-type]

    async with await site.operator() as operator:
        job = await operator.submit(held=True)
        monkeypatch.setattr(journal, "commit", slow)
        cancelling = await operator.ask(api.Act(verb="cancel", ids=(job.id,)))
        await going.wait()
        assert site.commit_loop.fleet.jobs[job.id].is_finished  # type: ignore[index]
        assert (await operator.call(api.ShowJob(id=job.id))).detail.job.state == "held"
        assert [row.state for row in (await operator.call(api.ListJobs())).jobs] == ["held"]
        snapshot = (await operator.call(api.Subscribe())).snapshot
        assert [row.state for row in snapshot.jobs] == ["held"]
        go.set()
        await operator.answer(cancelling)
        assert (await operator.call(api.ShowJob(id=job.id))).detail.job.state == "killed"


async def test_unknown_ids_are_typed_errors(site: Site) -> None:
    async with await site.operator() as operator:
        for request in (api.ShowJob(id="zzz"), api.Why(id="zzz"), api.WaitJobs(ids=("zzz",))):
            with pytest.raises(NotFound, match="there is no job zzz"):
                await operator.call(request)
