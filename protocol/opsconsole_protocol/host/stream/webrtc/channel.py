"""What a WebRTC engine has to be able to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from opsconsole_protocol.stream.message import IceServer

CHANNEL_LABEL = "opsconsole-stream"
CHANNEL_ID = 0
"""Both ends make the one channel under this number, so neither announces any; one that is announced isn't ours."""
BUFFERED_BYTES_LOW = 1024 * 1024
"""When an engine has less than this to send, it says so."""


class Listener(Protocol):
    """Who is told what happens on a channel, in the channel's own loop."""

    def on_open(self) -> None:
        """Messages can be sent."""

    def on_message(self, message: bytes) -> None:
        """A message has arrived."""

    def on_room(self) -> None:
        """Less than BUFFERED_BYTES_LOW wait to be sent."""

    def on_end(self, reason: str) -> None:
        """Nothing goes in either direction any more, with the reason as part of a sentence."""


class Channel(Protocol):
    """One end of a connection with one reliable, ordered data channel. It belongs to the running loop."""

    async def offer(self) -> str:
        """Return this end's description with all its candidates, for the other end to answer."""

    async def answer(self, offer: str) -> str:
        """Take the other end's description and return the answer to it, with all candidates."""

    async def accept(self, answer: str) -> None:
        """Take the answer to our offer."""

    @property
    def buffered_bytes(self) -> int:
        """What waits to be sent."""

    def send(self, message: bytes) -> None:
        """Queue a message. Only from `on_open` to `on_end`."""

    async def close(self) -> None:
        """Give everything back. Further calls do nothing."""


class Engine(Protocol):
    """A loaded engine."""

    name: str

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return a loop that the engine's channels run well in."""

    def channel(self, listener: Listener, ice_servers: Sequence[IceServer]) -> Channel:
        """Make an end of a connection in the running loop; no other servers than these are ever asked."""
