"""What every request passes before any of the application sees it.

Browsers send `Origin`, agents and consoles never do: refusing it keeps a web page from reaching a coordinator on
the visitor's own machine. Headers by which a peer claims to forward for somebody else are dropped, since anybody can write them.
An address that presented too many wrong secrets gets 429 for every further wrong one until it has waited; a right one is
taken at any time, for several peers may share an address. The application answers a wrong secret with status 401, which
is counted here, and replaced by 429 meanwhile.

uvicorn must run with `proxy_headers=False`, or it would believe those headers before they get here.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opsconsole_coordinator.trust.throttle import Throttle

_FORWARDED = frozenset({b"forwarded", b"x-real-ip", b"via"})
_ORIGIN = "requests from web pages are refused: use `opsconsole --connect`"
_WAIT = "too many wrong tokens from this address: wait a minute, then check the token"
_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Gate:
    """ASGI middleware; `Gate(app)` goes outermost."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        throttle: Throttle | None = None,
        refused: Counter[str] | None = None,
        now_ms: Callable[[], int] = _monotonic_ms,
    ) -> None:
        """`refused` counts what the gate itself turns away, by `origin` and `throttled`."""
        self._app = app
        self._throttle = throttle if throttle is not None else Throttle()
        self._refused = refused if refused is not None else Counter()
        self._now_ms = now_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through without its forwarding headers, or answer it with one line."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        address = _address(scope)
        if any(name == b"origin" for name, _ in scope["headers"]):
            self._refused["origin"] += 1
            await _refuse(scope, receive, send, 403, _ORIGIN)
        else:
            await self._app(_without_forwarded(scope), receive, self._counting(send, address))

    def _counting(self, send: Send, address: str) -> Send:
        is_replaced = False

        async def counted(message: Message) -> None:
            nonlocal is_replaced
            if is_replaced:
                return
            if message["type"] in _STARTS and message["status"] == 401:
                wait_ms = self._throttle.wait_ms(address, self._now_ms())
                if wait_ms:
                    is_replaced = True
                    self._refused["throttled"] += 1
                    await _answer(
                        send, message["type"].removesuffix(".response.start"), 429, _WAIT, -(-wait_ms // 1000)
                    )
                    return
                self._throttle.failed(address, self._now_ms())
            await send(message)

        return counted


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _without_forwarded(scope: Scope) -> Scope:
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in _FORWARDED and not name.startswith(b"x-forwarded-")
    ]
    return {**scope, "headers": headers}


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, line: str) -> None:
    prefix = "http"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        prefix = "websocket.http"
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": line})
            return
    await _answer(send, prefix, status, line)


async def _answer(send: Send, prefix: str, status: int, line: str, retry_after_s: int | None = None) -> None:
    body = line.encode() + b"\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    start: dict[str, Any] = {"type": f"{prefix}.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": f"{prefix}.response.body", "body": body})
