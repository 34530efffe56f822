"""What an agent may say, what it is told, and that nonsense from one hurts no other."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import get_args

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from opsconsole_coordinator.core.question import Question
from opsconsole_coordinator.core.reactor import Reactor
from opsconsole_coordinator.server import agent_session
from opsconsole_coordinator.server.agent_session import FRAMES, MESSAGES
from opsconsole_protocol import api, link
from opsconsole_protocol.codec import BATCH_BYTES_MAX
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.link import Observed
from opsconsole_protocol.link.codec import agent_codec
from opsconsole_protocol.link.frame import FRAME_KINDS
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Agent, Site, id_of, some_secret
from tests.waiting import until

HELLO = link.Heartbeat(at_ms=1)


async def registered(site: Site, name: str = "w1", **fields: object) -> Agent:
    agent = await site.agent(name)
    await agent.register(**fields)
    return agent


def errors(said: list[object]) -> list[str]:
    return [one.code for one in said if isinstance(one, link.PeerError)]


# --- registering ---------------------------------------------------------------------------------------------------


async def test_another_version_is_a_clear_error(site: Site) -> None:
    async with await site.agent() as agent:
        await agent.send(
            link.Register(protocol=99, agent_version="9", worker_id=agent.worker_id, name="w1", run_id="r")
        )
        error = await agent.take(link.PeerError)
        assert (error.code, error.message) == (
            "version",
            "the agent speaks protocol 99 and the coordinator 1: install the same version on both",
        )
        with pytest.raises(ConnectionClosed):
            await agent.next()


@pytest.mark.parametrize(
    "first",
    [
        b"", b"\xc1garbage", b"\x90", agent_codec().encode([HELLO]), agent_codec().encode([HELLO, HELLO]), "text",
        msgspec.msgpack.encode([{"type": "unheard of"}]), b"\x01\x01\x00\x01a",
    ],
)  # fmt: skip
async def test_the_first_message_has_to_be_register(site: Site, first: bytes | str) -> None:
    async with await site.agent() as agent:
        await agent.socket.send(first)
        assert errors(await agent.ended()) == ["protocol"]
    assert not site.commit_loop.fleet.workers


async def test_a_name_of_its_own_does_not_change_who_it_is(site: Site) -> None:
    async with await site.agent() as agent:
        await agent.send(
            link.Register(protocol=1, agent_version="1", worker_id=WorkerId("else"), name="w1", run_id="r")
        )
        assert errors(await agent.ended()) == ["protocol"]


async def test_who_says_nothing_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_session, "REGISTER_TIMEOUT_S", 0.05)
    async with await site.agent() as agent:
        [error] = await agent.ended()
        assert error.message == "nothing was registered in time: is this an opsconsole agent?"


async def test_two_agents_of_one_name(site: Site) -> None:
    async with await registered(site, "w1") as first, await site.agent("w1", worker_id=id_of("another")) as second:
        with pytest.raises(ConnectionClosed):
            await second.register()
        await first.send(HELLO)
        await first.take(link.HeartbeatAck)


async def test_a_cloned_identity_is_refused_while_the_first_lives(site: Site) -> None:
    secret = some_secret()
    first = await site.agent("w1", secret=secret)
    await first.register()
    async with await site.agent("w1", secret=secret) as clone:
        await clone.send(
            link.Register(protocol=1, agent_version="1", worker_id=clone.worker_id, name="w1", run_id="clone")
        )
        [error] = [one for one in await clone.ended() if isinstance(one, link.PeerError)]
        assert (error.code, "was its state folder copied" in error.message) == ("unavailable", True)
    await first.send(HELLO)
    await first.take(link.HeartbeatAck)
    await first.close()
    worker = site.commit_loop.fleet.workers[first.worker_id]
    await until(lambda: worker.session is None)
    async with await site.agent("w1", secret=secret) as second:
        await second.register(run_id="run-2")


async def test_an_agent_that_connects_anew_ends_its_older_connection(site: Site) -> None:
    secret = some_secret()
    old, new = await site.agent("w1", secret=secret), await site.agent("w1", secret=secret)
    await old.register()
    await new.register()
    assert errors(await old.ended()) == ["conflict"]
    await new.send(HELLO)
    await new.take(link.HeartbeatAck)
    await new.close()


# --- a registered agent's nonsense ---------------------------------------------------------------------------------


async def bystanders_are_fine(site: Site, agent: Agent) -> None:
    await agent.send(HELLO)
    await agent.take(link.HeartbeatAck)
    async with await site.operator() as operator:
        assert (await operator.call(api.AskHealth())).healthy


@pytest.mark.parametrize(
    "frame",
    [
        b"\x91", b"\x91\xc1", b"\xdd\xff\xff\xff\xff", agent_codec().encode([link.MetadataUpdated()]),
        msgspec.msgpack.encode([{"type": "heartbeat", "at_ms": "soon"}]), msgspec.msgpack.encode([None]),
        msgspec.msgpack.encode([{"type": "job_status", "seen": 0, "attempts": [{"attempt_id": "a", "state": "odd"}]}]),
    ],
)  # fmt: skip
async def test_a_message_that_is_none_gets_an_error_and_the_connection_goes_on(site: Site, frame: bytes) -> None:
    async with await registered(site, "w1") as agent, await registered(site, "w2") as other:
        await agent.socket.send(frame)
        assert (await agent.take(link.PeerError)).code == "protocol"
        await agent.send(HELLO)
        await agent.take(link.HeartbeatAck)
        await bystanders_are_fine(site, other)


@pytest.mark.parametrize(
    "frame", [b"", b"\x00", b"\x01\x01\x00\x00" + bytes(20), b"\x02\x01\x00\x01" + bytes(21), "text", "\N{SNOWMAN}"]
)
async def test_log_bytes_that_are_none_end_the_connection_with_an_error(site: Site, frame: bytes | str) -> None:
    async with await registered(site, "w1") as agent, await registered(site, "w2") as other:
        await agent.socket.send(frame)
        assert errors(await agent.ended()) == ["protocol"]
        await bystanders_are_fine(site, other)


async def test_an_oversized_frame_ends_only_its_connection(site: Site) -> None:
    async with await registered(site, "w1") as agent, await registered(site, "w2") as other:
        with contextlib.suppress(ConnectionClosed):
            await agent.socket.send(bytes(BATCH_BYTES_MAX + 1))
        await agent.ended()
        assert agent.socket.close_code == 1009
        await bystanders_are_fine(site, other)


async def test_registering_twice_is_an_error(site: Site) -> None:
    async with await registered(site) as agent:
        await agent.send(link.Register(protocol=1, agent_version="1", worker_id=agent.worker_id, name="w1", run_id="r"))
        assert (await agent.take(link.PeerError)).message == "already registered: reconnect to register anew"


async def test_a_status_that_is_none_ends_the_connection_with_its_words(site: Site) -> None:
    async with await registered(site) as agent:
        await agent.send(link.UpdateMetadata(properties={"status": "asleep"}))
        assert errors(await agent.ended()) == ["protocol"]


async def test_a_fault_of_our_own_ends_only_the_connection_that_met_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with await registered(site, "w1") as agent, await registered(site, "w2") as other:
        monkeypatch.setattr(Reactor, "on_update_metadata", fail)
        await agent.send(link.UpdateMetadata())
        assert errors(await agent.ended()) == ["internal"]
        await bystanders_are_fine(site, other)


async def test_logs_of_attempts_that_are_not_its_own_are_not_stored(site: Site) -> None:
    async with await registered(site, "w1") as mine, await registered(site, "w2") as other:
        async with await site.operator() as operator:
            await operator.submit(worker="w1")
        attempt_id = await mine.assigned()
        await other.log(attempt_id, b"forged")
        await other.log(AttemptId("0000000000.0.0.abcd"), b"forged")
        await other.log(AttemptId("../../etc/passwd"), b"forged")
        await bystanders_are_fine(site, other)
        await mine.log(attempt_id, b"mine")
        assert (await mine.take(link.LogAck)).offsets == ((attempt_id, "stdout", 4),)


async def test_only_the_worker_that_was_asked_answers_for_its_files(site: Site) -> None:
    paths = {"io_paths": {"input": "/in"}}
    async with (
        await registered(site, "w1", properties=paths) as asked,
        await registered(site, "w2") as other,
        await site.operator() as operator,
    ):
        await operator.submit(worker="w1", inputs=("a.slp",))
        question = await asked.take(link.InputFile)
        await other.send(link.FileExists(check_id=question.check_id, path="/x", size_bytes=1), HELLO)
        await other.take(link.HeartbeatAck)
        assert (
            site.commit_loop.fleet.questions.answers[Question(asked.worker_id, link.QuestionKind.INPUT, "a.slp")].found
            is None
        )
        await asked.send(link.FileExists(check_id=question.check_id, path="/in/a.slp", size_bytes=1))
        await asked.take(link.JobAssignment)


# --- what it is told -----------------------------------------------------------------------------------------------


async def test_a_heartbeat_is_answered_with_what_is_committed(site: Site) -> None:
    async with await registered(site) as agent:
        site.commit_loop.fleet.seq += 1_000  # noted, but not committed
        await agent.send(link.Heartbeat(at_ms=7))
        ack = await agent.take(link.HeartbeatAck)
        assert (ack.at_ms, ack.store_seq) == (7, site.commit_loop.committed_seq)
        assert 0 < ack.store_seq < 1_000


async def test_a_connection_without_heartbeats_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_session, "DEAD_AFTER_MS", 2_000)
    async with await registered(site) as agent:
        worker = site.commit_loop.fleet.workers[agent.worker_id]
        worker.heard_at_ms -= 3_000
        await agent.ended()
    await until(lambda: worker.session is None)


async def test_an_ended_attempt_is_forgotten_when_its_log_is_here(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        job = await operator.submit()
        attempt_id = await agent.run_one(log_sizes={"stdout": 6})
        assert (await operator.wait(job.id))[0].state == "succeeded"
        assert job.id in site.commit_loop.fleet.jobs
        await agent.log(attempt_id, b"hello\n")
        assert (await agent.take(link.Forget)).attempt_ids == (attempt_id,)
        await until(lambda: job.id not in site.commit_loop.fleet.jobs)


async def test_who_reads_the_log_of_what_has_ended_gets_its_last_lines_too(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        job = await operator.submit()
        attempt_id = await agent.run_one(log_sizes={"stdout": 6})
        assert (await operator.wait(job.id))[0].state == "succeeded"
        read = api.ReadLog(id=job.id, query=LogQuery(), settle_ms=60_000)
        question = await operator.ask(read)
        await operator.call(api.AskHealth())  # the coordinator has taken the question up, and its answer waits
        await agent.log(attempt_id, b"hello\n")
        page = (await operator.answer(question)).page
        assert ([line.data for line in page.lines], page.end, page.note) == (["hello"], True, "")


async def test_last_lines_that_do_not_come_are_named(site: Site) -> None:
    async with await registered(site, "w1") as agent, await site.operator() as operator:
        job = await operator.submit()
        attempt_id = await agent.run_one(log_sizes={"stdout": 12})
        await operator.wait(job.id)
        await agent.log(attempt_id, b"hello\n")
        await agent.take(link.LogAck)
        page = (await operator.call(api.ReadLog(id=job.id, query=LogQuery(), settle_ms=1))).page
        assert [line.data for line in page.lines] == ["hello"]
        assert page.note == "the end of this log isn't here yet: it is on w1"


async def test_after_a_gap_the_agent_is_told_where_to_go_on(site: Site) -> None:
    async with await registered(site) as agent, await site.operator() as operator:
        await operator.submit()
        attempt_id = await agent.assigned()
        await agent.log(attempt_id, b"hello\n")
        assert (await agent.take(link.LogAck)).offsets == ((attempt_id, "stdout", 6),)
        await agent.log(attempt_id, b"later\n", offset=100)
        assert (await agent.take(link.LogAck)).offsets == ((attempt_id, "stdout", 6),)


async def test_an_attempt_that_ended_long_ago_is_forgotten_again(site: Site) -> None:
    """The agent never heard that its report arrived: the coordinator has only the store to look in."""
    async with await registered(site) as agent, await site.operator() as operator:
        job = await operator.submit()
        attempt_id = await agent.run_one()
        await operator.wait(job.id)
        await until(lambda: job.id not in site.commit_loop.fleet.jobs)
        await agent.report(attempt_id, AttemptState.SUCCEEDED, exit_code=0)
        assert (await agent.take(link.Forget)).attempt_ids == (attempt_id,)


@pytest.mark.parametrize(
    "say", [lambda agent, one: agent.send(link.Report(seen=0, attempts=(one,))), lambda agent, one: agent.send(
        link.Observation(exchange=0, seen=0, attempts=(one,))
    )]
)  # fmt: skip
async def test_what_an_older_connection_still_says_counts_no_more(
    site: Site, say: Callable[[Agent, Observed], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup in the store takes time; meanwhile the agent may have come back on another connection."""
    secret = some_secret()
    old, new = await site.agent("w1", secret=secret), await site.agent("w1", secret=secret)
    await old.register()
    lookup = site.commit_loop.finished
    looked_up: list[bool] = []

    async def slow(observed: object) -> set[AttemptId]:
        if not looked_up:
            looked_up.append(True)
            await new.register()
        return await lookup(observed)  # type: ignore[arg-type]

    monkeypatch.setattr(site.commit_loop, "finished", slow)
    async with await site.operator() as operator:
        await operator.submit()
        attempt_id = (await old.take(link.JobAssignment)).desired.attempt_id
        await say(old, Observed(attempt_id=AttemptId("0000000000.0.0.abcd"), state=AttemptState.RUNNING))
        await old.ended()
        assert site.commit_loop.fleet.attempts[attempt_id].state is AttemptState.ASSIGNED
    await new.close()


def test_every_message_of_an_agent_has_a_handler() -> None:
    assert set(MESSAGES) == set(get_args(link.AgentMessage))
    assert set(FRAMES) == set(FRAME_KINDS.values())
    naming = {kind for kind in MESSAGES if "attempts" in kind.__struct_fields__}
    assert naming == {kind for kind, handling in MESSAGES.items() if handling.attempts is agent_session._attempts}
