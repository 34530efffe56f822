"""Those who come and say nothing, or little (hard use 60, 62): they are counted before TLS, go after a while or for the
next, keep nobody out, and fill no log."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from opsconsole_coordinator.http import acceptor
from opsconsole_coordinator.http.connection_limit import ConnectionLimit
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.host.dial import Refused
from tests.coordinator.server.peer import Site, site
from tests.waiting import until


def ending(said: list[int], number: int) -> Callable[[], None]:
    return lambda: said.append(number)


def test_the_first_stranger_goes_for_the_next_and_who_is_known_stays() -> None:
    connection_limit, ended = ConnectionLimit(8), list[int]()
    assert connection_limit.admit(0, "a", ending(ended, 0))
    connection_limit.authenticate(0)
    for number in range(1, 6):
        assert connection_limit.admit(number, f"address {number}", ending(ended, number))
    assert ended == [1, 2, 3]
    assert len(connection_limit) == 3
    assert not connection_limit.is_anonymous(0)
    connection_limit.release(0)
    connection_limit.release(4)
    connection_limit.release(4)
    assert len(connection_limit) == 1


def test_an_address_with_many_strangers_gives_up_its_own() -> None:
    connection_limit, ended = ConnectionLimit(64), list[int]()
    assert connection_limit.admit(100, "quiet", ending(ended, 100))
    for number in range(50):
        assert connection_limit.admit(number, "loud", ending(ended, number))
    assert ended == list(range(35))


def test_where_all_are_known_nobody_is_ended() -> None:
    connection_limit, ended = ConnectionLimit(2), list[int]()
    for number in range(2):
        connection_limit.admit(number, "a", ending(ended, number))
        connection_limit.authenticate(number)
    assert not connection_limit.admit(2, "b", ending(ended, 2))
    assert ended == []


@pytest.mark.parametrize("tls", ["auto", "on"])
async def test_silent_sockets_are_closed_in_time_and_told_of_once(
    tmp_path: Path, tls: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor, "REQUEST_TIMEOUT_S", 0.3)
    async with site(tmp_path, tls=tls) as there, await there.agent("w1") as agent:
        await agent.register()
        silent = [
            await asyncio.open_connection("127.0.0.1", there.acceptor._listener.getsockname()[1]) for _ in range(60)
        ]
        for reader, writer in silent:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
        await until(lambda: len(there.acceptor.connection_limit) == 1, 10, "only the agent to be left")
        assert set(there.commit_loop.sessions) == {agent.worker_id}
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1, "the rest is told in a minute, in one line"


async def test_a_body_that_drips_holds_no_socket(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "REQUEST_TIMEOUT_S", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.acceptor._listener.getsockname()[1])
    writer.write(b"POST /operator HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 20)
    await until(lambda: len(site.acceptor.connection_limit) == 0, 10, "the place to be free")
    dripping.cancel()
    writer.close()


async def test_strangers_do_not_keep_out_who_is_known(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.acceptor.connection_limit, "limit", 16)
    async with await site.operator() as operator:
        silent = [
            await asyncio.open_connection("127.0.0.1", site.acceptor._listener.getsockname()[1]) for _ in range(40)
        ]
        assert await operator.call(api.AskHealth())
        async with await site.operator() as another, await site.agent("w1") as agent:
            await agent.register()
            assert await another.call(api.AskHealth())
        await until(lambda: len(site.acceptor.connection_limit) <= 6, 10)
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize("tls", ["auto", "on"])
async def test_a_burst_takes_no_more_files_than_connections_may_be_open(
    tmp_path: Path, tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are shut down for the next ones take a file until they are closed: the next ones wait for that."""
    accepted, most = list[socket.socket](), 0
    async with site(tmp_path, tls=tls) as there:
        monkeypatch.setattr(there.acceptor.connection_limit, "limit", 16)
        address, receive = ("127.0.0.1", there.acceptor._listener.getsockname()[1]), there.acceptor._receive

        def noted(connection: socket.socket, peer: acceptor.Peer) -> None:
            nonlocal most
            accepted.append(connection)
            most = max(most, sum(one.fileno() >= 0 for one in accepted))
            receive(connection, peer)

        monkeypatch.setattr(there.acceptor, "_receive", noted)
        with contextlib.ExitStack() as burst:
            for _ in range(200):
                one = burst.enter_context(socket.socket())
                one.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    one.connect(address)
            async with await there.operator() as operator:
                assert await operator.call(api.AskHealth())
    assert len(accepted) > 200
    assert most <= 17


async def test_who_is_turned_away_fills_no_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    port = site.acceptor._listener.getsockname()[1]
    for _ in range(5):
        with pytest.raises(Refused):
            await site.connect("/operator", Authorization="Bearer wrong")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x00\xff no HTTP at all\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 400 ")
        writer.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0"])
async def test_who_has_shown_a_token_is_no_stranger_in_either_kind_of_address(tmp_path: Path, listen: str) -> None:
    try:
        async with site(tmp_path, listen=listen) as there, await there.operator() as operator:
            assert await operator.call(api.AskHealth())
            assert (len(there.acceptor.connection_limit), len(there.acceptor.connection_limit._anonymous)) == (1, 0)
    except InvalidRequest:
        assert "::1" in listen, "a machine without IPv6"
