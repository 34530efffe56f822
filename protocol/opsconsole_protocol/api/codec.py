"""The codecs of clients and of the coordinator towards them, and the words for a request that is out of its limits."""

from functools import cache
from typing import Any, Union, get_args, get_type_hints

import msgspec

from opsconsole_protocol.api.envelope import Call, ClientMessage, Failure, ServerMessage
from opsconsole_protocol.api.request import AnyRequest
from opsconsole_protocol.bound import Whole
from opsconsole_protocol.codec import Codec, one_line
from opsconsole_protocol.dataset import DatasetQuery
from opsconsole_protocol.error import InvalidRequest, ProtocolError
from opsconsole_protocol.file_listing import FileQuery, PartQuery
from opsconsole_protocol.log import LogQuery
from opsconsole_protocol.stream.message import FileRoot
from opsconsole_protocol.validation_error import request_text

_PACK = msgspec.msgpack.Encoder().encode
_REQUESTS: msgspec.msgpack.Decoder[AnyRequest] = msgspec.msgpack.Decoder(AnyRequest)


def client_codec() -> Codec[ServerMessage]:
    """The codec of consoles and command lines."""
    return Codec(ServerMessage)


def server_codec() -> Codec[ClientMessage]:
    """The codec of the coordinator towards clients."""
    return Codec(ClientMessage)


def check_request(request: AnyRequest) -> None:
    """Raise InvalidRequest that names the first field which the coordinator wouldn't read."""
    try:
        _REQUESTS.decode(_PACK(request))
    except msgspec.ValidationError as error:
        raise InvalidRequest(request_text(error)) from None
    except (UnicodeEncodeError, OverflowError):
        raise InvalidRequest("a text that is not UTF-8, or a number of more than 64 bits, can't be sent") from None


class _Call(msgspec.Struct, tag="call"):
    number: Whole
    request: msgspec.Raw


def read_calls(frame: bytes) -> list[Call | Failure]:
    """The calls of a frame that couldn't be decoded as a whole. A Failure stands for each that exceeds a limit.

    Raises ProtocolError where anything in the frame isn't a call of a known request, limits aside.
    """
    try:
        return [_read_call(call) for call in msgspec.msgpack.decode(frame, type=list[_Call])]
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise ProtocolError(f"a message has the wrong shape: {one_line(error)}") from None


def _read_call(call: _Call) -> Call | Failure:
    try:
        return Call(call.number, _REQUESTS.decode(call.request))
    except msgspec.ValidationError as error:
        _loose().decode(call.request)
        return Failure(call.number, InvalidRequest.code, request_text(error))


@cache
def _loose() -> msgspec.msgpack.Decoder[Any]:
    """A decoder of every request, whatever the limits of its fields."""
    inner: dict[Any, Any] = {}
    for kind in (LogQuery, FileRoot, FileQuery, PartQuery, DatasetQuery):  # each after those that it holds
        inner[kind] = _without_limits(kind, inner)
    kinds = [_without_limits(kind, inner) for kind in get_args(AnyRequest)]
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
