"""An engine without a network: two ends in one process, and an end that a test speaks for."""

import asyncio
import threading
from collections.abc import Sequence

from opsconsole_protocol.host.stream.webrtc.channel import Channel, Listener
from opsconsole_protocol.stream.message import IceServer


class FakeChannel:
    """Hands messages on to the other end's loop, or keeps them for the test where there is none."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.loop = asyncio.get_running_loop()
        self.other: FakeChannel | None = None
        self.sent: list[bytes] = []
        self.was_closed = threading.Event()
        self.buffered_bytes = 0

    async def offer(self) -> str:
        return ""

    async def answer(self, offer: str) -> str:
        return offer

    async def accept(self, answer: str) -> None:
        assert answer == ""

    def send(self, message: bytes) -> None:
        if self.other is None:
            self.sent.append(message)
        else:
            self.other.hear(message)

    def hear(self, message: bytes) -> None:
        """The other end sends this."""
        self.loop.call_soon_threadsafe(self.listener.on_message, message)

    def open(self) -> None:
        self.loop.call_soon_threadsafe(self.listener.on_open)

    def break_off(self, reason: str) -> None:
        self.loop.call_soon_threadsafe(self.listener.on_end, reason)

    async def close(self) -> None:
        self.was_closed.set()


class FakeEngine:
    """Makes such channels, and keeps them."""

    name = "fake"

    def __init__(self) -> None:
        self.channels: list[FakeChannel] = []

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()

    def channel(self, listener: Listener, ice_servers: Sequence[IceServer]) -> Channel:
        assert not ice_servers
        self.channels.append(FakeChannel(listener))
        return self.channels[-1]


class BrokenEngine(FakeEngine):
    """Can't do what it says."""

    name = "broken"

    def channel(self, listener: Listener, ice_servers: Sequence[IceServer]) -> Channel:
        raise AttributeError(f"RTCPeerConnection: {listener} {ice_servers}")
