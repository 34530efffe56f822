"""What the two ends of a stream tell each other before it stands. Everything in a signal is what the other end says.

The initiator leads. Both begin with Hello, a second time where engines for WebRTC matter. Then, for each way that it tries: Listen, answered by Listening, and DialBack where
the listener can't be reached; RelayNow; RtcOffer, answered by RtcAnswer. Failed answers any of them. Over the stream itself
the initiator says at last which one it takes (`COMMIT`).
"""

import ipaddress
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import PORT_MAX, Label, Text
from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.stream.message import MARK_CHARACTERS_MAX, SIGNAL_BYTES_MAX, Mark, Way
from opsconsole_protocol.validation_error import message_text

ADDRESSES_MAX = 16
ADDRESS_LENGTH_MAX = 45
ENGINES_MAX = 8
SDP_CHARACTERS_MAX = 60_000

COMMIT = b"\x01"
"""The first byte of a stream, from the initiator: of all connections that came about, it takes this one."""

Address = Annotated[str, Meta(max_length=ADDRESS_LENGTH_MAX)]


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello", omit_defaults=True):
    """What one end is, as far as it decides which ways there are."""

    place: Mark = ""
    """Of its loopback (`proof.place_mark`): where both have the same one, they are on one machine."""
    engines: Annotated[tuple[Label, ...], Meta(max_length=ENGINES_MAX)] = ()
    """Its engines for WebRTC, best first; looked for only where they are asked for."""
    asks_engines: bool = False
    life: Mark = ""
    """Of the responder's process: one that has begun anew may be reached by what broke with the one before."""


class Listen(msgspec.Struct, frozen=True, kw_only=True, tag="listen"):
    """The initiator wants to dial."""


class Listening(msgspec.Struct, frozen=True, kw_only=True, tag="listening"):
    """Where an end listens. `certificate_hash`: the SHA-256 of the DER form; empty on loopback, where it is plain."""

    addresses: Annotated[tuple[Address, ...], Meta(min_length=1, max_length=ADDRESSES_MAX)]
    port: Annotated[int, Meta(ge=1, le=PORT_MAX)]
    certificate_hash: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$", max_length=MARK_CHARACTERS_MAX)]


class DialBack(msgspec.Struct, frozen=True, kw_only=True, tag="dial_back"):
    """The initiator couldn't reach the responder, which is to try it the other way round."""

    listening: Listening


class RelayNow(msgspec.Struct, frozen=True, kw_only=True, tag="relay_now"):
    """The initiator dials the coordinator, and so is the responder to do."""


class RtcOffer(msgspec.Struct, frozen=True, kw_only=True, tag="rtc_offer"):
    """A whole offer for a WebRTC connection, candidates included."""

    sdp: Annotated[str, Meta(max_length=SDP_CHARACTERS_MAX)]


class RtcAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="rtc_answer"):
    """The whole answer to an offer."""

    sdp: Annotated[str, Meta(max_length=SDP_CHARACTERS_MAX)]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """This way doesn't work for the end that says so."""

    way: Way
    reason: Text


AnySignal = Hello | Listen | Listening | DialBack | RelayNow | RtcOffer | RtcAnswer | Failed

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[AnySignal] = msgspec.msgpack.Decoder(AnySignal)


def encode(signal: AnySignal) -> bytes:
    """The body of a signal. Raises ProtocolError for one that is too long to be passed on."""
    body = _ENCODER.encode(signal)
    if len(body) > SIGNAL_BYTES_MAX:
        raise ProtocolError(f"a signal of {len(body)} bytes is over the limit of {SIGNAL_BYTES_MAX}")
    return body


def decode(body: bytes) -> AnySignal:
    """The signal with this body. Raises ProtocolError.

    Addresses are numeric ones of single machines; plain text is for loopback, and loopback for plain text only.
    """
    if len(body) > SIGNAL_BYTES_MAX:
        raise ProtocolError(f"a signal of {len(body)} bytes is over the limit of {SIGNAL_BYTES_MAX}")
    try:
        signal = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"a signal of a stream has the wrong shape: {message_text(error)[:300]}") from None
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        raise ProtocolError("a signal of a stream can't be decoded") from None
    match signal:
        case Listening() | DialBack(listening=Listening()):
            _check_addresses(signal if isinstance(signal, Listening) else signal.listening)
        case Failed(way=way, reason=text):
            return Failed(way=way, reason=" ".join(text.split()))
        case _:
            pass
    return signal


def _check_addresses(listening: Listening) -> None:
    for text in listening.addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise ProtocolError("a stream's other end says that it listens where there is no address") from None
        if address.is_multicast or address.is_unspecified or address.is_loopback == bool(listening.certificate_hash):
            raise ProtocolError("a stream's other end says that it listens at an address that can't be its own")
