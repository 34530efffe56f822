"""Who is let in, and what those are told who aren't."""

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from asyncio import to_thread

import pytest
from websockets.exceptions import ConnectionClosed

from opsconsole_coordinator.http import acceptor, web
from opsconsole_protocol import api, link
from opsconsole_protocol.bound import ID_CHARACTERS_MAX
from opsconsole_protocol.host.dial import Refused
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState
from tests.coordinator.server.peer import Operator, Site, some_job_id, some_secret
from tests.waiting import until


async def refusal(site: Site, path: str, **headers: str) -> tuple[int, str]:
    with pytest.raises(Refused) as error:
        await site.connect(path, **headers)
    return error.value.status, error.value.reason


def port_of(site: Site) -> int:
    return int(site.endpoint.url.rpartition(":")[2])


# --- tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/agent", "/operator"])
async def test_without_a_token_nobody_gets_in(site: Site, path: str) -> None:
    status, line = await refusal(site, path, Opsconsole_Worker="w")
    assert (status, line) == (
        401, "no token came with the request: pass --token, or join with an invitation",
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["Basic dXNlcg==", "Bearer", "Bearer  ", "token"])
async def test_another_kind_of_authorization_is_none(site: Site, scheme: str) -> None:
    assert (await refusal(site, "/operator", Authorization=scheme))[0] == 401


async def test_a_wrong_token_is_refused_in_words(site: Site) -> None:
    for path in ("/operator", "/agent"):
        status, line = await refusal(site, path, Authorization=f"Bearer {some_secret()}", Opsconsole_Worker="w")
        assert status == 401
        assert line == "the token is not valid here: ask for an invitation with `opsconsole invite`"


async def test_the_token_of_the_data_folder_is_an_admins(site: Site) -> None:
    socket = await site.connect("/operator", Authorization=f"Bearer {site.token}")

    async with Operator(socket) as operator:
        welcome = await operator.greet()
    assert (welcome.role, welcome.coordinator, welcome.protocol) == ("admin", "lab", 1)
    assert welcome.store_id == site.endpoint.store_id


async def test_an_agents_credential_is_no_operators(site: Site) -> None:
    secret = some_secret()
    async with await site.agent(secret=secret):
        status, line = await refusal(site, "/operator", Authorization=f"Bearer {secret}")
    assert (status, line) == (401, "this is an agent's credential: operators need a token of their own")


async def test_a_web_page_is_refused_whatever_it_brings(site: Site) -> None:
    status, line = await refusal(site, "/operator", Authorization=f"Bearer {site.token}", Origin="https://evil.example")
    assert (status, line) == (403, "requests from web pages are refused: use `opsconsole --connect`")


async def test_an_agent_has_to_name_itself(site: Site) -> None:
    status, line = await refusal(site, "/agent", Authorization=f"Bearer {some_secret()}")
    assert (status, "Opsconsole-Worker is missing" in line) == (400, True)


@pytest.mark.parametrize(("length", "is_taken"), [(ID_CHARACTERS_MAX, True), (ID_CHARACTERS_MAX + 1, False)])
async def test_an_agents_id_may_be_as_long_as_the_protocol_lets_it_be(site: Site, length: int, is_taken: bool) -> None:
    _, line = await refusal(site, "/agent", Authorization=f"Bearer {some_secret()}", Opsconsole_Worker="w" * length)
    assert ("is missing" in line) != is_taken


async def test_other_paths_lead_nowhere(site: Site) -> None:
    status, _ = await refusal(site, "/else", Authorization=f"Bearer {site.token}")
    assert status in {403, 404}


async def test_connections_have_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CONNECTIONS_MAX", 1)
    async with await site.operator():
        status, line = await refusal(site, "/operator", Authorization=f"Bearer {site.token}")
        assert (status, "has its 1 connections" in line) == (503, True)


async def test_who_says_nothing_holds_no_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "REQUEST_TIMEOUT_S", 0.2)
    async with await site.operator() as operator:
        for words in (b"", b"GET /health HTTP/1.1\r\nHost:"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site))
            writer.write(words)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
        assert await operator.call(api.AskHealth()), "who has said what it wants stays"


async def test_sockets_have_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.acceptor.connection_limit, "limit", 1)
    async with await site.operator() as operator:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(site))
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"has its 1 sockets: close some and try again" in answer
        assert await operator.call(api.AskHealth())


# --- invitations ---------------------------------------------------------------------------------------------------


async def test_an_invitation_lets_one_agent_in_and_its_credential_ever_after(site: Site) -> None:
    token, secret = await site.invite(), some_secret()
    for invitation in (token, token, ""):
        async with await site.agent(secret=secret, invitation=invitation) as agent:
            await agent.register()
    status, line = await refusal(
        site, "/agent", Authorization=f"Bearer {some_secret()}", Opsconsole_Worker="other", Opsconsole_Invitation=token
    )
    assert (status, line) == (
        401, "the invitation was used already: ask for a new one with `opsconsole invite`",
    )  # fmt: skip


async def test_an_invitation_that_has_expired_is_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await site.invite(ttl_ms=1_000)
    now_ms = site.commit_loop.clock.now_ms
    monkeypatch.setattr(site.commit_loop.clock, "now_ms", lambda: now_ms() + 2_000)
    status, line = await refusal(
        site, "/agent", Authorization=f"Bearer {some_secret()}", Opsconsole_Worker="w", Opsconsole_Invitation=token
    )
    assert (status, "has expired" in line) == (401, True)


@pytest.mark.parametrize("token", ["nonsense", "00000000." + "0" * 52, "00000000.short"])
async def test_an_invitation_that_nobody_made_is_none(site: Site, token: str) -> None:
    status, line = await refusal(
        site, "/agent", Authorization=f"Bearer {some_secret()}", Opsconsole_Worker="w", Opsconsole_Invitation=token
    )
    assert status == 401
    assert "invitation" in line


async def test_an_invitation_is_for_agents_or_for_people(site: Site) -> None:
    for_agents, for_people = await site.invite(), await site.invite(role="viewer")
    status, line = await refusal(
        site, "/operator", Authorization=f"Bearer {some_secret()}", Opsconsole_Invitation=for_agents
    )
    assert (status, "for workers" in line) == (401, True)
    status, line = await refusal(
        site, "/agent", Authorization=f"Bearer {some_secret()}", Opsconsole_Worker="w", Opsconsole_Invitation=for_people
    )
    assert (status, "for operators" in line) == (401, True)


async def test_an_operators_invitation_needs_a_credential(site: Site) -> None:
    token = await site.invite(role="viewer")
    status, line = await refusal(site, "/operator", Authorization=f"Bearer {token}")
    assert (status, "an invitation alone lets nobody in" in line) == (401, True)


async def test_an_invitation_makes_nobody_a_worker_that_is_there_already(site: Site) -> None:
    async with await site.agent("w1") as agent:
        await agent.register()
        token = await site.invite()
        status, line = await refusal(
            site, "/agent", Authorization=f"Bearer {some_secret()}", Opsconsole_Worker=agent.worker_id,
            Opsconsole_Invitation=token,
        )  # fmt: skip
    assert (status, "has another credential" in line) == (401, True)


async def test_the_tags_and_the_name_of_an_invitation_stay_with_its_worker(site: Site) -> None:
    token, secret = await site.invite(tags=("lab=3",), name="invited"), some_secret()
    for invitation in (token, ""):
        async with await site.agent("own", secret=secret, invitation=invitation) as agent:
            await agent.register(tags=("own",))
            [worker] = site.commit_loop.fleet.workers.values()
            assert set(worker.tags) == {"own", "lab=3"}
            assert worker.name == "invited"


async def test_a_credential_belongs_to_its_worker(site: Site) -> None:
    secret = some_secret()
    async with await site.agent("w1", secret=secret):
        status, line = await refusal(site, "/agent", Authorization=f"Bearer {secret}", Opsconsole_Worker="other")
    assert (status, "belongs to another worker" in line) == (401, True)


async def test_a_revoked_worker_is_thrown_out_and_stays_out(site: Site) -> None:
    secret = some_secret()
    agent = await site.agent("w1", secret=secret)
    await agent.register()
    async with await site.operator() as operator:
        await operator.call(api.SetWorker(name="w1", action="revoke"))
    assert [one.code for one in await agent.ended() if isinstance(one, link.PeerError)] == ["unauthenticated"]
    status, line = await refusal(site, "/agent", Authorization=f"Bearer {secret}", Opsconsole_Worker=agent.worker_id)
    assert (status, "was revoked" in line) == (401, True)
    async with await site.agent("w1", invitation=await site.invite()) as again:
        await again.register()


# --- who acted ------------------------------------------------------------------------------------------------------


async def test_the_audit_log_names_who_acted(site: Site) -> None:
    async with await site.operator_of("operator") as operator:
        job = await operator.submit()
        events = (await operator.call(api.ListEvents(subject=job.id))).events
    assert (job.submitted_by, events[-1].actor) == ("the-operator", "the-operator")


# --- health --------------------------------------------------------------------------------------------------------


def get(site: Site, path: str) -> tuple[int, bytes]:
    url = site.endpoint.url.replace("ws://", "http://") + path
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


async def test_health_needs_no_token_and_tells_no_secret(site: Site) -> None:
    status, body = await to_thread(get, site, "/health")
    assert status == 200
    assert set(json.loads(body)) == {"healthy", "uptime_ms"}
    site.commit_loop.trouble = "the disk is full"
    status, body = await to_thread(get, site, "/health")
    assert (status, json.loads(body)["healthy"]) == (503, False)
    site.commit_loop.trouble = ""


async def test_what_is_no_websocket_gets_an_answer_too(site: Site) -> None:
    status, _ = await to_thread(get, site, "/operator")
    assert status == 404


async def test_a_submission_of_the_largest_kind_goes_through(site: Site) -> None:
    async with await site.operator() as operator:
        spec = JobSpec(command=("a",), held=True)
        batch = tuple(api.Submission(some_job_id(), spec) for _ in range(2_000))
        answer = await operator.call(api.SubmitJobs(submissions=batch))
    assert len(answer.jobs) == 2_000


async def test_closing_at_once_leaves_nothing_behind(site: Site) -> None:
    for number in range(5):
        socket = await site.connect("/operator", Authorization=f"Bearer {site.token}")
        await socket.close()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        agent = await site.agent(f"w{number}")
        await agent.close()
    async with await site.operator() as operator:
        assert (await operator.call(api.ListWorkers())).workers == ()


async def test_reading_stops_only_when_many_messages_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    going, go = asyncio.Event(), asyncio.Event()

    async def slow(_: object) -> set[AttemptId]:
        going.set()
        await go.wait()
        return set()

    assert site.coordinator._web is not None
    assert site.coordinator._web._server is not None
    async with await site.agent() as agent:
        await agent.register()
        [protocol] = (
            one for one in site.coordinator._web._server.server_state.connections if isinstance(one, web._Protocol)
        )
        monkeypatch.setattr(site.commit_loop, "finished", slow)
        await agent.report(AttemptId("a.0.0.x"), AttemptState.RUNNING)
        await going.wait()  # its session is busy, and takes no more for now
        await agent.send(link.Heartbeat(at_ms=0))
        await until(lambda: protocol.queue.qsize() == 1)
        assert not protocol.read_paused
        for number in range(1, 4 * web.MESSAGES_AHEAD_MAX):
            await agent.send(link.Heartbeat(at_ms=number))
        await until(lambda: protocol.read_paused)
        go.set()
        answered = [(await agent.take(link.HeartbeatAck)).at_ms for _ in range(4 * web.MESSAGES_AHEAD_MAX)]
        assert answered == list(range(4 * web.MESSAGES_AHEAD_MAX))
        assert not protocol.read_paused
