"""One websocket: answers find their calls, a lost connection fails them all."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from opsconsole.connection import CALLS_IN_FLIGHT_MAX, Connection
from opsconsole.target import Target
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest, NotFound, OpsconsoleError, Unavailable, VersionMismatch
from tests.client.fake_server import FakeServer
from tests.waiting import until


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
async def connection(server: FakeServer) -> AsyncIterator[Connection]:
    connection = await Connection.open(server.target)
    yield connection
    await connection.close()


async def test_the_greeting_says_who_answers(connection: Connection) -> None:
    assert connection.welcome.coordinator == "fake"
    assert connection.welcome.role == "admin"


async def test_answers_find_their_calls_in_whatever_order_they_come(server: FakeServer, connection: Connection) -> None:
    server.add_job("aaaaaaaaaa")
    slow = asyncio.create_task(connection.call(api.WaitJobs(ids=("aaaaaaaaaa",), timeout_ms=60_000)))
    quick = await connection.call(api.AskHealth())
    assert isinstance(quick, api.Health)
    assert not slow.done()
    server.finish("aaaaaaaaaa")
    answer = await slow
    assert isinstance(answer, api.JobList)
    assert answer.jobs[0].state == "succeeded"


async def test_a_failure_is_the_error_that_its_code_names(connection: Connection) -> None:
    with pytest.raises(NotFound, match="there is no job zz"):
        await connection.call(api.ShowJob(id="zz"))


async def test_an_unknown_code_is_a_plain_error(server: FakeServer, connection: Connection) -> None:
    class NewKind(OpsconsoleError):
        code = "of_a_later_version"

    def refuse(_server: FakeServer, _request: object) -> api.AnyAnswer:
        raise NewKind("something new")

    server.answers[api.AskHealth] = refuse
    with pytest.raises(OpsconsoleError, match="something new") as caught:
        await connection.call(api.AskHealth())
    assert type(caught.value) is OpsconsoleError


async def test_a_lost_connection_fails_every_call_that_waits(server: FakeServer, connection: Connection) -> None:
    server.is_deaf = True
    calls = [asyncio.create_task(connection.call(api.AskHealth())) for _ in range(10)]
    await until(lambda: len(server.asked) == 10)
    server.drop_connections()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, Unavailable)
    assert not connection.is_open
    with pytest.raises(Unavailable):
        await connection.call(api.AskHealth())


async def test_no_more_calls_are_in_flight_than_allowed(server: FakeServer, connection: Connection) -> None:
    server.is_deaf = True
    calls = [asyncio.create_task(connection.call(api.AskHealth())) for _ in range(CALLS_IN_FLIGHT_MAX + 20)]
    await until(lambda: len(server.asked) == CALLS_IN_FLIGHT_MAX)
    calls[0].cancel()
    await until(lambda: len(server.asked) == CALLS_IN_FLIGHT_MAX + 1)
    assert len(server.asked) == CALLS_IN_FLIGHT_MAX + 1
    await connection.close()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_cancelled_call_leaves_the_connection_sound(server: FakeServer, connection: Connection) -> None:
    server.add_job("aaaaaaaaaa")
    call = asyncio.create_task(connection.call(api.WaitJobs(ids=("aaaaaaaaaa",), timeout_ms=60_000)))
    await until(lambda: server.asked)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    server.finish("aaaaaaaaaa")  # its answer comes all the same, and nobody waits for it
    assert isinstance(await connection.call(api.AskHealth()), api.Health)


async def test_updates_come_in_order(server: FakeServer, connection: Connection) -> None:
    seen: list[int] = []
    connection.on_update = lambda update: seen.append(update.seq)
    await connection.call(api.Subscribe())
    for _ in range(3):
        server.push()
    await until(lambda: len(seen) == 3)
    assert seen == [1, 2, 3]


async def test_a_fault_in_a_callback_fails_calls_instead_of_hanging_them(server: FakeServer) -> None:
    connection = await Connection.open(server.target)
    await connection.call(api.Subscribe())

    def stumble(_update: api.Update) -> None:
        raise ZeroDivisionError

    connection.on_update = stumble
    server.is_deaf = True
    call = asyncio.create_task(connection.call(api.AskHealth()))
    await until(lambda: len(server.asked) == 2)
    server.push()
    with pytest.raises(Unavailable):
        await call
    with pytest.raises(ZeroDivisionError):
        await connection._reader
    await connection.close()


async def test_a_wrong_token_is_refused_with_the_servers_own_line(server: FakeServer) -> None:
    with pytest.raises(OpsconsoleError, match="the token is not valid here"):
        await Connection.open(Target(server.url, "wrong"))


async def test_the_token_never_stands_in_a_repr(server: FakeServer) -> None:
    assert "s3cret" not in repr(Target(server.url, "s3cret"))


async def test_another_protocol_version_is_an_error_that_says_so(server: FakeServer) -> None:
    server.protocol = 99
    with pytest.raises(VersionMismatch, match="speaks protocol 99"):
        await Connection.open(server.target)


async def test_a_server_that_never_greets_is_not_waited_for_for_ever(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsconsole.connection.OPEN_TIMEOUT_S", 0.2)
    server.greets = False
    with pytest.raises(Unavailable, match="doesn't greet"):
        await Connection.open(server.target)


async def test_an_invitation_travels_with_the_credential_that_it_is_traded_for(server: FakeServer) -> None:
    invitation = f"abcdefgh.{'s' * 52}"
    server.tokens.add(invitation)
    connection = await Connection.open(Target(server.url, "a-credential", None, invitation))
    await connection.close()
    assert server.headers[-1]["authorization"] == "Bearer a-credential"
    assert server.headers[-1]["opsconsole-invitation"] == invitation


async def test_a_request_that_is_too_large_is_refused_here(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsconsole.connection.BATCH_BYTES_MAX", 100)
    with pytest.raises(OpsconsoleError, match="too large"):
        await connection.call(api.ShowJob(id="x" * 110))
    assert connection.is_open
    with pytest.raises(InvalidRequest):
        await connection.call(api.ConfirmRestore())
