"""The engine `wrtc`: libwebrtc, in threads of its own.

Importing this module fails where the package isn't installed or can't be loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from webrtc import (
    MessageEvent,
    PythonWebRTCExceptionBase,
    RTCConfiguration,
    RTCDataChannelInit,
    RTCIceGatheringState,
    RTCIceServer,
    RTCPeerConnection,
    RTCSdpType,
    RTCSessionDescriptionInit,
)

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.host.stream.webrtc.channel import (
    BUFFERED_BYTES_LOW,
    CHANNEL_ID,
    CHANNEL_LABEL,
    Listener,
)
from opsconsole_protocol.stream.message import IceServer

GATHER_S = 5.0
"""How long to wait for what STUN and TURN servers say; what hasn't come by then is left out."""
_BROKEN = frozenset({"failed", "closed"})


class WrtcEngine:
    """See `engine.Engine`."""

    name = "wrtc"

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return a plain loop: the bytes travel in the engine's own threads."""
        return asyncio.SelectorEventLoop()

    def channel(self, listener: Listener, ice_servers: Sequence[IceServer]) -> WrtcChannel:
        """Make an end of a connection in the running loop."""
        return WrtcChannel(listener, ice_servers)


class WrtcChannel:
    """See `engine.Channel`."""

    def __init__(self, listener: Listener, ice_servers: Sequence[IceServer]) -> None:
        self._listener = listener
        servers = [
            RTCIceServer(server.url, server.username or None, server.credential or None) for server in ice_servers
        ]
        self._connection = RTCPeerConnection(RTCConfiguration(ice_servers=servers))
        self._gathered = asyncio.Event()
        self._connection.on("icegatheringstatechange", self._on_gathering)
        self._connection.on("connectionstatechange", self._on_connection_state)
        self._connection.on("datachannel", self._on_other_channel)
        self._channel = self._connection.create_data_channel(
            CHANNEL_LABEL, RTCDataChannelInit(negotiated=True, id=CHANNEL_ID)
        )
        self._channel.buffered_amount_low_threshold = BUFFERED_BYTES_LOW
        self._channel.on("open", lambda _: listener.on_open())
        self._channel.on("message", self._on_message)
        self._channel.on("bufferedamountlow", lambda _: listener.on_room())
        self._channel.on("close", lambda _: listener.on_end("the other end has closed the connection"))

    async def offer(self) -> str:
        """Return this end's description with all its candidates."""
        await self._connection.set_local_description(await self._connection.create_offer())
        return await self._local_description()

    async def answer(self, offer: str) -> str:
        """Take the other end's description and return the answer to it."""
        await self._take_description(RTCSdpType.offer, offer)
        await self._connection.set_local_description(await self._connection.create_answer())
        return await self._local_description()

    async def accept(self, answer: str) -> None:
        """Take the answer to our offer."""
        await self._take_description(RTCSdpType.answer, answer)

    async def _take_description(self, kind: RTCSdpType, description: str) -> None:
        try:
            await self._connection.set_remote_description(RTCSessionDescriptionInit(kind, description))
        except (PythonWebRTCExceptionBase, TypeError, ValueError):
            raise ProtocolError("the other end's description can't be read: no WebRTC with it") from None

    async def _local_description(self) -> str:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gathered.wait(), GATHER_S)
        description = self._connection.local_description
        return description.sdp if description is not None else ""

    def _on_gathering(self, _event: object) -> None:
        if self._connection.ice_gathering_state == RTCIceGatheringState.complete:
            self._gathered.set()

    def _on_connection_state(self, _event: object) -> None:
        if self._connection.connection_state.value in _BROKEN:
            self._listener.on_end("no connection holds between the two ends")

    def _on_other_channel(self, _event: object) -> None:
        self._listener.on_end("the other end opens a channel that nobody asked for")

    def _on_message(self, event: MessageEvent) -> None:
        if isinstance(event.data, bytes):
            self._listener.on_message(event.data)
        else:
            self._listener.on_end("the other end sends text")

    @property
    def buffered_bytes(self) -> int:
        """What waits to be sent."""
        return self._channel.buffered_amount

    def send(self, message: bytes) -> None:
        """Queue a message."""
        self._channel.send(message)

    async def close(self) -> None:
        """Give everything back."""
        self._connection.close()
