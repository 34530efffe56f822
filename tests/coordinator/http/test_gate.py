"""The gate, in front of a real server: what web pages, forwarders and guessers get, over HTTP and websockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Scope
from starlette.websockets import WebSocket

from opsconsole_coordinator.http.gate import Gate
from opsconsole_coordinator.trust.throttle import Throttle
from opsconsole_protocol.host.dial import Refused, dial
from tests.waiting import until


class OnOtherHost(Throttle):
    """Takes loopback, where tests run, for a distant address."""

    def failed(self, address: str, now_ms: int) -> None:
        super().failed(self._distant(address), now_ms)

    def wait_ms(self, address: str, now_ms: int) -> int:
        return super().wait_ms(self._distant(address), now_ms)

    @staticmethod
    def _distant(address: str) -> str:
        return address.replace("127.0.0.1", "10.0.0.1")


async def page(request: Request) -> PlainTextResponse:
    status = 200 if request.headers.get("authorization") == "Bearer right" else 401
    assert request.client is not None
    return PlainTextResponse(f"{request.client.host} {sorted(request.headers)}\n", status)


async def link(websocket: WebSocket) -> None:
    if websocket.headers.get("authorization") != "Bearer right":
        await websocket.send_denial_response(PlainTextResponse("the token is not valid here\n", 401))
        return
    await websocket.accept()
    await websocket.send_text("welcome")
    await websocket.close()


@asynccontextmanager
async def serving(throttle: Throttle | None = None) -> AsyncIterator[str]:
    """A real server with the gate in front; yields host:port."""
    app = Gate(Starlette(routes=[Route("/page", page), WebSocketRoute("/link", link)]), throttle=throttle)
    config = uvicorn.Config(app, ws="websockets-sansio", proxy_headers=False, log_config=None, access_log=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listening]))
        await until(lambda: server.started or serving.done())
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def get(where: str, *headers: str) -> tuple[int, dict[str, str], str]:
    reader, writer = await asyncio.open_connection(*where.split(":"))
    lines = ["GET /page HTTP/1.1", f"Host: {where}", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *rest = head.split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in rest), body


async def open_link(where: str, **headers: str) -> str:
    connection = await dial(f"ws://{where}", path="/link", headers=headers, max_size=1_000)
    async with connection:
        return str(await connection.recv())


async def test_who_has_the_token_passes() -> None:
    async with serving() as where:
        status, _, body = await get(where, "Authorization: Bearer right")
        assert (status, body) == (200, "127.0.0.1 ['authorization', 'connection', 'host']\n")
        assert await open_link(where, authorization="Bearer right") == "welcome"


@pytest.mark.parametrize("origin", ["null", "http://127.0.0.1", "https://evil.example"])
async def test_a_web_page_is_refused_token_or_not(origin: str) -> None:
    async with serving() as where:
        status, headers, body = await get(where, "Authorization: Bearer right", f"oRiGiN: {origin}")
        assert (status, headers["content-type"]) == (403, "text/plain; charset=utf-8")
        assert body == "requests from web pages are refused: use `opsconsole --connect`\n"
        with pytest.raises(Refused, match="requests from web pages are refused") as caught:
            await open_link(where, authorization="Bearer right", origin=origin)
        assert caught.value.status == 403


async def test_nobody_speaks_for_another_address() -> None:
    claims = ["X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https", "Forwarded: for=9.9.9.9", "X-Real-IP: 9.9.9.9"]
    async with serving() as where:
        assert (await get(where, "Authorization: Bearer right", *claims))[2] == (
            "127.0.0.1 ['authorization', 'connection', 'host']\n"
        )


async def test_who_guesses_waits_whatever_it_claims() -> None:
    async with serving(OnOtherHost(burst=4, refill_ms=60_000)) as where:
        for number in range(2):
            assert (await get(where, f"X-Forwarded-For: 9.9.9.{number}"))[0] == 401
            with pytest.raises(Refused, match="not valid here"):
                await open_link(where)
        status, headers, body = await get(where)
        assert (status, body) == (429, "too many wrong tokens from this address: wait a minute, then check the token\n")
        assert 1 <= int(headers["retry-after"]) <= 60
        with pytest.raises(Refused, match="wait a minute") as caught:
            await open_link(where)
        assert caught.value.temporary
        for _ in range(3):
            assert (await get(where, "Authorization: Bearer right"))[0] == 200
            assert await open_link(where, authorization="Bearer right") == "welcome", "others share the address"


async def test_on_loopback_nobody_locks_the_operator_out() -> None:
    async with serving(Throttle(burst=1)) as where:
        for _ in range(3):
            assert (await get(where))[0] == 401
        assert (await get(where, "Authorization: Bearer right"))[0] == 200


async def test_a_server_that_cannot_word_its_refusal_closes() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def unreachable(*_: object) -> None:
        raise AssertionError("the request got through")

    await Gate(unreachable)({"type": "websocket", "headers": [(b"origin", b"x")], "client": None}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_the_lifespan_is_none_of_its_business() -> None:
    seen: list[str] = []

    async def app(scope: Scope, *_: object) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Any:
        raise AssertionError

    await Gate(app)({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]
