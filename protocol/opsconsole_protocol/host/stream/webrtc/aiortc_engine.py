"""The engine `aiortc`, as fast as it gets: in a loop that reads datagrams in batches, with a tuned association."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.host.stream.webrtc.association import tune
from opsconsole_protocol.host.stream.webrtc.channel import (
    BUFFERED_BYTES_LOW,
    CHANNEL_ID,
    CHANNEL_LABEL,
    Listener,
)
from opsconsole_protocol.host.stream.webrtc.datagram_loop import DatagramLoop
from opsconsole_protocol.stream.message import IceServer

_BROKEN = frozenset({"failed", "closed"})


class AiortcEngine:
    """See `engine.Engine`."""

    name = "aiortc"

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return a loop that reads datagrams in batches."""
        return DatagramLoop()

    def channel(self, listener: Listener, ice_servers: Sequence[IceServer]) -> AiortcChannel:
        """Make an end of a connection in the running loop."""
        return AiortcChannel(listener, ice_servers)


class AiortcChannel:
    """See `engine.Channel`."""

    def __init__(self, listener: Listener, ice_servers: Sequence[IceServer]) -> None:
        self._listener = listener
        # An empty list is no server; None would be one of aiortc's choice.
        servers = [
            RTCIceServer(server.url, server.username or None, server.credential or None) for server in ice_servers
        ]
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._connection.on("connectionstatechange", self._on_connection_state)
        self._connection.on("datachannel", self._on_other_channel)
        self._channel: RTCDataChannel = self._connection.createDataChannel(
            CHANNEL_LABEL, negotiated=True, id=CHANNEL_ID
        )
        if self._connection.sctp is not None:
            tune(self._connection.sctp, listener)
        self._channel.bufferedAmountLowThreshold = BUFFERED_BYTES_LOW
        self._channel.on("open", listener.on_open)
        self._channel.on("message", self._on_message)
        self._channel.on("bufferedamountlow", listener.on_room)
        self._channel.on("close", self._on_close)

    async def offer(self) -> str:
        """Return this end's description with all its candidates."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return str(self._connection.localDescription.sdp)

    async def answer(self, offer: str) -> str:
        """Take the other end's description and return the answer to it."""
        await self._take_description("offer", offer)
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return str(self._connection.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take the answer to our offer."""
        await self._take_description("answer", answer)

    async def _take_description(self, kind: str, description: str) -> None:
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(description, kind))
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError):
            raise ProtocolError("the other end's description can't be read: no WebRTC with it") from None
        except (InternalError, InvalidStateError):
            raise ProtocolError("the other end's description doesn't fit ours: no WebRTC with it") from None

    def _on_connection_state(self) -> None:
        if self._connection.connectionState in _BROKEN:
            self._listener.on_end("no connection holds between the two ends")

    def _on_other_channel(self, _channel: RTCDataChannel) -> None:
        self._listener.on_end("the other end opens a channel that nobody asked for")

    def _on_message(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            self._listener.on_message(message)
        else:
            self._listener.on_end("the other end sends text")

    def _on_close(self) -> None:
        self._listener.on_end("the other end has closed the connection")

    @property
    def buffered_bytes(self) -> int:
        """What waits to be sent."""
        return int(self._channel.bufferedAmount)

    def send(self, message: bytes) -> None:
        """Queue a message."""
        self._channel.send(message)

    async def close(self) -> None:
        """Give everything back."""
        await self._connection.close()
