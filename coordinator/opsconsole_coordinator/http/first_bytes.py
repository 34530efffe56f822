"""Which connections ask for a stream: told from their first bytes, which stay for whoever speaks on it. No I/O."""

from enum import Enum

from opsconsole_protocol.stream.upgrade import ALPN, REQUEST_START

HEAD_BYTES = 5
"""Of a TLS record: its kind, its version, and how long it is."""
RECORD_BYTES_MAX = 16 * 1024
FIRST_BYTES = HEAD_BYTES + RECORD_BYTES_MAX
"""What is looked at, at most."""
_HANDSHAKE = 0x16
_ALPN_NAME = bytes([len(ALPN)]) + ALPN.encode()


class Kind(Enum):
    """Whose a connection is."""

    STREAM = "stream"
    """Its peer asks for a stream: the transfer process's."""
    OTHER = "other"
    """HTTP or websocket, or nothing sensible."""


def kind_of(data: bytes, *, is_tls: bool) -> Kind | int:
    """What a connection is, by the bytes that came so far; or how many bytes of it have to be seen to say so.

    `is_tls`: whether the port speaks TLS. A client that wants a stream offers a protocol (ALPN) that no other client does.
    """
    if not is_tls:
        if len(data) < len(REQUEST_START) and REQUEST_START.startswith(data):
            return len(REQUEST_START)
        return Kind.STREAM if data.startswith(REQUEST_START) else Kind.OTHER
    if not data:
        return HEAD_BYTES
    if data[0] != _HANDSHAKE:
        return Kind.OTHER
    if len(data) < HEAD_BYTES:
        return HEAD_BYTES
    whole = HEAD_BYTES + int.from_bytes(data[3:HEAD_BYTES], "big")
    if whole > FIRST_BYTES:
        return Kind.OTHER
    if len(data) < whole:
        return whole
    return Kind.STREAM if _ALPN_NAME in data[:whole] else Kind.OTHER
