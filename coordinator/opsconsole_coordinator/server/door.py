"""The first moments of a connection: nobody may hold a place by saying nothing, and the places have a number."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

SOCKETS_MAX = 8_192
"""Open connections, those that haven't said yet what they want included: fewer than the files that may be open."""
REQUEST_TIMEOUT_S = 10.0
_FULL = "this coordinator has its {} sockets: close some and try again\n"


class Door(H11Protocol):
    """Ends a connection that brings no request in time, and refuses one too many in words."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start to wait for the request."""
        super().connection_made(transport)
        if len(self.connections) > SOCKETS_MAX:
            body = _FULL.format(SOCKETS_MAX).encode()
            head = f"HTTP/1.1 503 Service Unavailable\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            transport.write(head.encode() + body)
            transport.close()
            return
        self._patience = self.loop.call_later(REQUEST_TIMEOUT_S, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._calm()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """It has said what it wants; from now on another protocol answers for it."""
        self._calm()
        super().handle_websocket_upgrade(event)

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        if self.cycle is None:
            self.transport.abort()
