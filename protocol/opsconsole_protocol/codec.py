"""Messages to bytes and back. A batch is a msgpack array of tagged structs, sent as one binary websocket message.

Binary frames (`link/frame.py`) share the connection; their first byte can't begin a msgpack array. Which messages each
side takes is said in `link/codec.py` and `api/codec.py`.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.validation_error import message_text

BATCH_BYTES_MAX = 16 * 1024 * 1024
"""A larger batch is refused, and its sender is told so."""

M = TypeVar("M")


class Codec(Generic[M]):
    """Encodes batches of any messages, and decodes batches of those messages that one side takes."""

    def __init__(self, incoming: Any) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[list[M]] = msgspec.msgpack.Decoder(list[incoming])

    def encode(self, batch: Sequence[msgspec.Struct | msgspec.Raw]) -> bytes:
        """One frame for a batch; messages that are encoded already go into it as they are."""
        return self._encoder.encode(batch)

    def decode(self, frame: bytes) -> list[M]:
        """The batch of a frame. Raises ProtocolError with one line that says what is wrong."""
        if len(frame) > BATCH_BYTES_MAX:
            raise ProtocolError(f"a frame of {len(frame)} bytes is over the limit of {BATCH_BYTES_MAX}")
        try:
            return self._decoder.decode(frame)
        except msgspec.ValidationError as error:
            raise ProtocolError(f"a message has the wrong shape: {message_text(error)[:300]}") from None
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
            # TypeError: a mapping among free-form properties whose keys can't be keys.
            raise ProtocolError(f"a frame can't be decoded: {one_line(error)}") from None


def one_line(error: Exception) -> str:
    """The error's text in one short line, since it may quote the peer."""
    return " ".join(str(error).split())[:300]


def is_batch(frame: bytes) -> bool:
    """Whether this is a batch of messages rather than a binary frame."""
    return bool(frame) and (0x90 <= frame[0] <= 0x9F or frame[0] in {0xDC, 0xDD})
