"""Messages to bytes and back. A frame holds a batch: a msgpack array of tagged structs.

Binary log frames (`link/frame.py`) share the connection; their first byte can't begin a msgpack array.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Generic, TypeVar, Union, get_args, get_type_hints

import msgspec

from opsconsole_protocol import api, link
from opsconsole_protocol.bound import Whole
from opsconsole_protocol.error import InvalidRequest, ProtocolError
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.shape import wrong_message, wrong_shape

FRAME_BYTES_MAX = 16 * 1024 * 1024
"""A batch larger than this is refused and its sender told so."""

M = TypeVar("M")
_PACK = msgspec.msgpack.Encoder().encode
_REQUESTS: msgspec.msgpack.Decoder[api.AnyRequest] = msgspec.msgpack.Decoder(api.AnyRequest)


class Codec(Generic[M]):
    """Encodes batches of any message and decodes batches of one direction's messages."""

    def __init__(self, incoming: Any) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[list[M]] = msgspec.msgpack.Decoder(list[incoming])

    def encode(self, batch: Sequence[msgspec.Struct | msgspec.Raw]) -> bytes:
        """One frame for a batch; what is encoded already is taken as it is."""
        return self._encoder.encode(batch)

    def decode(self, frame: bytes) -> list[M]:
        """The batch of a frame. Raises ProtocolError with one line that says what is wrong."""
        if len(frame) > FRAME_BYTES_MAX:
            raise ProtocolError(f"a frame of {len(frame)} bytes is over the limit of {FRAME_BYTES_MAX}")
        try:
            return self._decoder.decode(frame)
        except msgspec.ValidationError as error:
            raise ProtocolError(f"a message has the wrong shape: {wrong_message(error)[:300]}") from None
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
            # TypeError: a mapping among free-form properties whose keys can't be keys.
            raise ProtocolError(f"a frame can't be decoded: {_line(error)}") from None


def check_request(request: api.AnyRequest) -> None:
    """Raise InvalidRequest that names the first field which the coordinator wouldn't read."""
    try:
        _REQUESTS.decode(_PACK(request))
    except msgspec.ValidationError as error:
        raise InvalidRequest(wrong_shape(error)) from None
    except (UnicodeEncodeError, OverflowError):
        raise InvalidRequest("a text that is not UTF-8, or a number of more than 64 bits, can't be sent") from None


class _Call(msgspec.Struct, tag="call"):
    number: Whole
    request: msgspec.Raw


def read_calls(frame: bytes) -> list[api.Call | api.Failure]:
    """The calls of a frame that as a whole couldn't be decoded, those out of their limits as the words that say so.

    Raises ProtocolError where anything in it isn't a call that we know, whatever its limits.
    """
    try:
        return [_read_call(call) for call in msgspec.msgpack.decode(frame, type=list[_Call])]
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise ProtocolError(f"a message has the wrong shape: {_line(error)}") from None


def _read_call(call: _Call) -> api.Call | api.Failure:
    try:
        return api.Call(call.number, _REQUESTS.decode(call.request))
    except msgspec.ValidationError as error:
        _loose().decode(call.request)
        return api.Failure(call.number, InvalidRequest.code, wrong_shape(error))


@cache
def _loose() -> msgspec.msgpack.Decoder[Any]:
    """Reads every request whatever the limits of its fields."""
    query = _without_limits(LogQuery, {})
    kinds = [_without_limits(kind, {LogQuery: query}) for kind in get_args(api.AnyRequest)]
    return msgspec.msgpack.Decoder(Union[tuple(kinds)])  # noqa: UP007 - made at run time


def _without_limits(kind: type[msgspec.Struct], inner: dict[Any, Any]) -> Any:
    hints = get_type_hints(kind)  # without what is annotated
    fields = [
        (one.name, inner.get(hints[one.name], hints[one.name]))
        if one.required
        else (one.name, inner.get(hints[one.name], hints[one.name]), None)
        for one in msgspec.structs.fields(kind)
    ]
    return msgspec.defstruct(kind.__name__, fields, tag=kind.__struct_config__.tag, kw_only=True)


def _line(error: Exception) -> str:
    """One short line of what may quote the peer."""
    return " ".join(str(error).split())[:300]


def is_batch(frame: bytes) -> bool:
    """Whether a binary frame holds a batch of messages rather than log bytes."""
    return bool(frame) and (0x90 <= frame[0] <= 0x9F or frame[0] in {0xDC, 0xDD})


def agent_side() -> Codec[link.CoordinatorMessage]:
    """What an agent uses."""
    return Codec(link.CoordinatorMessage)


def coordinator_side() -> Codec[link.AgentMessage]:
    """What the coordinator uses towards agents."""
    return Codec(link.AgentMessage)


def client_side() -> Codec[api.ServerMessage]:
    """What consoles and command lines use."""
    return Codec(api.ServerMessage)


def server_side() -> Codec[api.ClientMessage]:
    """What the coordinator uses towards clients."""
    return Codec(api.ClientMessage)
