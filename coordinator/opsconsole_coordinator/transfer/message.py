"""What the coordinator and its transfer process tell each other, one message a packet. A connection travels with its message."""

from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.codec import one_line
from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.file_listing import FilePage, FilePart, FileQuery, PartQuery
from opsconsole_protocol.ids import ContentId

ENDS_MAX = 2
"""Of a stream."""
PACKET_BYTES_MAX = 128 * 1024
"""Less than what a socket holds by default."""
PACKET_IDS_MAX = 1_000
"""Of trees, in one message: with their ids it fits into a packet."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Any of them."""


# --- from the coordinator ------------------------------------------------------------------------------------------


class Configure(Message, frozen=True, kw_only=True, tag="configure"):
    """The first message. `certificate` and `key`: files; both empty where the port speaks no TLS."""

    content_folder: str
    content_bytes_max: int
    certificate: str = ""
    key: str = ""
    relay_streams: int
    relay_bytes_s: int
    """The most that all relays together pass on a second; 0: as much as they can."""


class Connection(Message, frozen=True, kw_only=True, tag="connection"):
    """A connection that has come and asks for a stream; its descriptor comes with this message."""

    number: int


class Relay(msgspec.Struct, frozen=True, kw_only=True, tag="relay"):
    """Join the two ends of a stream."""


class Serve(msgspec.Struct, frozen=True, kw_only=True, tag="serve"):
    """Send a kept tree to the one end, or what lies in a folder of it and matches one of the patterns (none: everything).

    `kept`: in place of one tree those of several tasks, each in a folder `task-N`.
    """

    content_id: ContentId | None = None
    folder: bytes = b""
    patterns: tuple[str, ...] = ()
    kept: tuple[tuple[int, ContentId], ...] = ()

    @property
    def content_ids(self) -> tuple[ContentId, ...]:
        """All trees that are needed for it."""
        return tuple(one for _, one in self.kept) if self.content_id is None else (self.content_id,)


class Receive(msgspec.Struct, frozen=True, kw_only=True, tag="receive"):
    """Take a tree from the one end, this one or (None) any, and keep it. `holder` pins it, and nothing else any more."""

    content_id: ContentId | None
    bytes_max: int
    holder: str = ""


class Expect(Message, frozen=True, kw_only=True, tag="expect"):
    """A stream is granted: who knows one of the secrets within `ttl_ms` is that end of it, once."""

    stream_id: str
    ttl_ms: int
    secrets: Annotated[tuple[str, ...], Meta(min_length=1, max_length=ENDS_MAX)]
    work: Relay | Serve | Receive


class Cancel(Message, frozen=True, kw_only=True, tag="cancel"):
    """A stream isn't wanted any more, whether it has begun or not."""

    stream_id: str
    reason: str


class Pin(Message, frozen=True, kw_only=True, tag="pin"):
    """These trees stay as long as `holder` does; several messages for one holder add up."""

    holder: str
    content_ids: Annotated[tuple[ContentId, ...], Meta(max_length=PACKET_IDS_MAX)]


class Unpin(Message, frozen=True, kw_only=True, tag="unpin"):
    """A holder needs its trees no more."""

    holder: str


class Remove(Message, frozen=True, kw_only=True, tag="remove"):
    """A tree is to go, unless it is pinned or in use."""

    content_id: ContentId


class Look(Message, frozen=True, kw_only=True, tag="look"):
    """List a folder of a kept tree, or read a piece of a file of it. Answered by `looked`."""

    number: int
    content_id: ContentId
    listing: FileQuery | None = None
    part: PartQuery | None = None


# --- from the transfer process -------------------------------------------------------------------------------------


class Ready(Message, frozen=True, kw_only=True, tag="ready"):
    """The store is open, and all that it holds has been told."""


class Unusable(Message, frozen=True, kw_only=True, tag="unusable"):
    """The store can't be opened, and why, in one line. It is tried again; `ready` says that it went well."""

    text: str


class Kept(Message, frozen=True, kw_only=True, tag="kept"):
    """Trees that the store has from now on, and those that it has no longer."""

    added: Annotated[tuple[ContentId, ...], Meta(max_length=PACKET_IDS_MAX)] = ()
    removed: Annotated[tuple[ContentId, ...], Meta(max_length=PACKET_IDS_MAX)] = ()


class Held(Message, frozen=True, kw_only=True, tag="held"):
    """What a holder has pinned: as the store knew it when it was opened, or by a tree that has just come."""

    holder: str
    content_ids: Annotated[tuple[ContentId, ...], Meta(max_length=PACKET_IDS_MAX)]
    size_bytes: int = 0
    """Of those trees that are here."""


class Known(Message, frozen=True, kw_only=True, tag="known"):
    """The peer of a connection has shown a secret."""

    number: int


class Closed(Message, frozen=True, kw_only=True, tag="closed"):
    """A connection is closed."""

    number: int


class Begun(Message, frozen=True, kw_only=True, tag="begun"):
    """Bytes of a stream begin to flow here."""

    stream_id: str


class Over(Message, frozen=True, kw_only=True, tag="over"):
    """A stream that had begun here is over. `moved_bytes`: of both directions; `error`: why it broke, empty where it didn't."""

    stream_id: str
    moved_bytes: int
    milliseconds: int
    error: str = ""
    code: str = ""
    """The error's."""
    content_id: ContentId | None = None
    """The tree that was received, with what it holds."""
    files: int = 0
    size_bytes: int = 0


class Counted(Message, frozen=True, kw_only=True, tag="counted"):
    """Numbers for monitoring, told when they have changed."""

    relays: int
    relayed_bytes: int
    kept_bytes: int
    refused: dict[str, int]
    """Connections that were turned away since the process began, by why."""


class Looked(Message, frozen=True, kw_only=True, tag="looked"):
    """What a look at a kept tree has shown; where it has shown nothing, why, in one line, and which kind of error that is."""

    number: int
    page: FilePage | None = None
    part: FilePart | None = None
    code: str = ""
    error: str = ""


class Said(Message, frozen=True, kw_only=True, tag="said"):
    """A line for the coordinator's log."""

    text: str


FromCoordinator = Configure | Connection | Expect | Cancel | Pin | Unpin | Remove | Look
FromProcess = Ready | Unusable | Kept | Held | Known | Closed | Begun | Over | Counted | Looked | Said

_encoder = msgspec.msgpack.Encoder()
_from_coordinator: msgspec.msgpack.Decoder[FromCoordinator] = msgspec.msgpack.Decoder(FromCoordinator)
_from_process: msgspec.msgpack.Decoder[FromProcess] = msgspec.msgpack.Decoder(FromProcess)


def encode(message: Message) -> bytes:
    """One packet."""
    return _encoder.encode(message)


def decode_from_coordinator(packet: bytes) -> FromCoordinator:
    """The message of a packet. Raises ProtocolError."""
    try:
        return _from_coordinator.decode(packet)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"a packet to the transfer process is none: {one_line(error)}") from None


def decode_from_process(packet: bytes) -> FromProcess:
    """The message of a packet. Raises ProtocolError."""
    try:
        return _from_process.decode(packet)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"a packet of the transfer process is none: {one_line(error)}") from None
