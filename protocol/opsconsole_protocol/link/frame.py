"""Binary frames: bulk bytes, which are not packed into messages. Each frame is one websocket message.

Byte 0 of a frame is the version of its layout, byte 1 its kind. Each kind has its own layout for what follows. A new kind
is a class like `LogChunk`, added to `Frame`.
"""

from collections.abc import Mapping
from typing import get_args

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.link.log_chunk import LogChunk

Frame = LogChunk
"""Any frame: the union of all kinds."""
FRAME_KINDS: Mapping[int, type[Frame]] = {kind.KIND: kind for kind in get_args(Frame) or (Frame,)}


def encode_frame(frame: Frame) -> bytes:
    """The bytes of a frame. Raises ProtocolError when it doesn't fit its layout."""
    return frame.to_frame()


def decode_frame(data: bytes | bytearray | memoryview) -> Frame:
    """The frame in `data`. Raises ProtocolError on anything that `encode_frame` could not have made."""
    if len(data) < 2:
        raise ProtocolError(f"a frame has at least 2 bytes, this one {len(data)}")
    version, code = data[0], data[1]
    kind = FRAME_KINDS.get(code)
    if kind is None:
        raise ProtocolError(f"frame kind {code} is not known here")
    if version != kind.VERSION:
        raise ProtocolError(f"frame version {version} is not known here, only {kind.VERSION}: upgrade the older side")
    return kind.from_frame(data)
