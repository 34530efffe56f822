"""aiortc's SCTP association, made several times as fast without another protocol: it is aiortc's own, with four changes.

- It acknowledges every fourth packet, and what is left when all that has arrived is read, instead of each packet by itself.
  While one is missing each packet is acknowledged: by three such acknowledgements the other end knows what to send again.
- After an acknowledgement it may send as many packets as were acknowledged, and four more, instead of four.
- It looks for a complete message when there can be one, instead of after each packet.
- It keeps no more in flight than its processor could digest within the time that a packet takes to come back. More only fills
  the buffers on the way until acknowledgements are lost there.

The changes lean on aiortc's private parts. Where a version doesn't have them, its association is left as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from aiortc import RTCSctpTransport
from aiortc.rtcsctptransport import (
    SCTP_DATA_LAST_FRAG,
    USERDATA_MAX_LENGTH,
    DataChunk,
    InboundStream,
    SackChunk,
)

from opsconsole_protocol.host.stream.webrtc.channel import Listener
from opsconsole_protocol.stream.channel_flow import WINDOW_BYTES

PACKETS_PER_SACK = 4
BURST_BYTES = 4 * USERDATA_MAX_LENGTH
"""More than was acknowledged, as aiortc has it for each acknowledgement."""
FLIGHT_BYTES_MIN = 192 * 1024
"""Of packets, about what the smallest of the usual buffers of a system holds."""
FLIGHT_BYTES_PER_S = 64_000_000
"""What one core can digest; times the shortest way there and back, it is what may be in flight beyond the minimum."""
UNREAD_BYTES_MAX = 2 * WINDOW_BYTES
"""Of messages that aren't complete. A peer that keeps to our window stays below."""
_METHODS = ("_get_inbound_stream", "_receive_data_chunk", "_receive_sack_chunk", "_send_sack", "_transmit")
_FIELDS = (
    "_advertised_rwnd", "_cwnd", "_flight_size", "_inbound_streams", "_outbound_queue", "_sack_duplicates", "_sack_misordered",
    "_sack_needed", "_srtt",
)  # fmt: skip


def tune(association: RTCSctpTransport, listener: Listener) -> bool:
    """Tune an association that hasn't started, and return whether it could be."""
    known = all(hasattr(association, name) for name in _METHODS + _FIELDS)
    if known and type(association) is RTCSctpTransport:
        association.__class__ = TunedAssociation
    if isinstance(association, TunedAssociation):
        association.begin(listener)
        return True
    return False


class TunedAssociation(RTCSctpTransport):
    """An association that `tune` has changed."""

    _listener: Listener
    _unacknowledged = 0
    _flight_goal = 0
    _shortest_s = float("inf")

    def begin(self, listener: Listener) -> None:
        """Note who is told when the other end breaks the rules, and how much may be in transit."""
        self._listener = listener
        self._advertised_rwnd = UNREAD_BYTES_MAX

    def _get_inbound_stream(self, stream_id: int) -> InboundStream:
        stream = self._inbound_streams.get(stream_id)
        if stream is None:
            stream = self._inbound_streams[stream_id] = _QuickInboundStream()
        return stream

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        await super()._receive_data_chunk(chunk)
        if self._advertised_rwnd < 0:
            self._listener.on_end("the other end sends more than it may")

    async def _send_sack(self) -> None:
        self._unacknowledged += 1
        is_loss = bool(self._sack_misordered or self._sack_duplicates)
        if is_loss or self._unacknowledged >= PACKETS_PER_SACK:
            await self._acknowledge()
        elif self._unacknowledged == 1:
            asyncio.get_running_loop().call_soon(self._acknowledge_rest)

    def _acknowledge_rest(self) -> None:
        if self._unacknowledged:
            self._rest = asyncio.ensure_future(self._acknowledge())

    async def _acknowledge(self) -> None:
        self._unacknowledged = 0
        try:
            await super()._send_sack()
        except ConnectionError:  # of the last packets before the end
            self._sack_needed = False

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        if self._srtt is not None:
            self._shortest_s = min(self._shortest_s, self._srtt)
            self._cwnd = min(self._cwnd, FLIGHT_BYTES_MIN + int(FLIGHT_BYTES_PER_S * self._shortest_s))
        self._flight_goal = self._flight_size + BURST_BYTES
        await super()._receive_sack_chunk(chunk)
        self._flight_goal = 0

    async def _transmit(self) -> None:
        await super()._transmit()
        goal = min(self._cwnd, self._flight_goal)
        while self._outbound_queue and self._flight_size < goal:
            before = self._flight_size
            await super()._transmit()
            if self._flight_size <= before:
                break


class _QuickInboundStream(InboundStream):
    """Knows that a packet which is the newest, and not a message's last, completes no message."""

    def __init__(self) -> None:
        super().__init__()
        self._completes_nothing = False

    def add_chunk(self, chunk: DataChunk) -> None:
        super().add_chunk(chunk)
        self._completes_nothing = not chunk.flags & SCTP_DATA_LAST_FRAG and self.reassembly[-1] is chunk

    def pop_messages(self) -> Iterator[tuple[int, int, bytes]]:
        if self._completes_nothing:
            self._completes_nothing = False
            return iter(())
        return super().pop_messages()
