"""Those who come and say nothing, or little (hard use 60, 62): they are counted before TLS, go after a while or for the
next, keep nobody out, and fill no log."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from opsconsole_coordinator.http import request_limit
from opsconsole_coordinator.http.places import Places
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.host.dial import Refused
from tests.coordinator.server.peer import Site, site
from tests.waiting import until


def ending(said: list[int], number: int) -> Callable[[], None]:
    return lambda: said.append(number)


def test_the_first_stranger_goes_for_the_next_and_who_is_known_stays() -> None:
    places, ended = Places(8), list[int]()
    assert places.take(0, "a", ending(ended, 0))
    places.know(0)
    for number in range(1, 6):
        assert places.take(number, f"address {number}", ending(ended, number))
    assert ended == [1, 2, 3]
    assert len(places) == 3
    assert not places.is_stranger(0)
    places.leave(0)
    places.leave(4)
    places.leave(4)
    assert len(places) == 1


def test_an_address_with_many_strangers_gives_up_its_own() -> None:
    places, ended = Places(64), list[int]()
    assert places.take(100, "quiet", ending(ended, 100))
    for number in range(50):
        assert places.take(number, "loud", ending(ended, number))
    assert ended == list(range(35))


def test_where_all_are_known_nobody_is_ended() -> None:
    places, ended = Places(2), list[int]()
    for number in range(2):
        places.take(number, "a", ending(ended, number))
        places.know(number)
    assert not places.take(2, "b", ending(ended, 2))
    assert ended == []


@pytest.mark.parametrize("tls", ["auto", "on"])
async def test_silent_sockets_are_closed_in_time_and_told_of_once(
    tmp_path: Path, tls: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(request_limit, "REQUEST_TIMEOUT_S", 0.3)
    async with site(tmp_path, tls=tls) as there, await there.agent("w1") as agent:
        await agent.register()
        silent = [await asyncio.open_connection("127.0.0.1", there.door._listener.getsockname()[1]) for _ in range(60)]
        for reader, writer in silent:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
        await until(lambda: len(there.door.places) == 1, 10, "only the agent to be left")
        assert set(there.kernel.sessions) == {agent.worker_id}
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1, "the rest is told in a minute, in one line"


async def test_a_body_that_drips_holds_no_socket(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limit, "REQUEST_TIMEOUT_S", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.door._listener.getsockname()[1])
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
    await until(lambda: len(site.door.places) == 0, 10, "the place to be free")
    dripping.cancel()
    writer.close()


async def test_strangers_do_not_keep_out_who_is_known(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.door.places, "limit", 16)
    async with await site.operator() as operator:
        silent = [await asyncio.open_connection("127.0.0.1", site.door._listener.getsockname()[1]) for _ in range(40)]
        assert await operator.call(api.AskHealth())
        async with await site.operator() as another, await site.agent("w1") as agent:
            await agent.register()
            assert await another.call(api.AskHealth())
        await until(lambda: len(site.door.places) <= 6, 10)
        for _, writer in silent:
            writer.close()


async def test_who_is_turned_away_fills_no_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    port = site.door._listener.getsockname()[1]
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
            assert (len(there.door.places), len(there.door.places._strangers)) == (1, 0)
    except InvalidRequest:
        assert "::1" in listen, "a machine without IPv6"
