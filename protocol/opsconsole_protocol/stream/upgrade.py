"""How a connection to the coordinator's one port becomes a stream: an HTTP request that asks for it, and the answer. No I/O.

The client connects (with TLS it offers ALPN), sends the request and nothing after it, and waits. The coordinator answers
with 101 once the stream stands: at once where the client speaks to its own store, and for a relay when the other end has
asked as well. From then on every byte is the stream's. Any other answer is a refusal with one line of text.

Each side proves that it knows this end's secret (`proof.py`), which itself never travels.
"""

import re
from dataclasses import dataclass

from opsconsole_protocol.bound import ID_CHARACTERS_MAX
from opsconsole_protocol.error import ProtocolError

ALPN = "opsconsole-stream/1"
"""What the client offers in its TLS handshake, and nobody else does."""
PATH = "/stream"
REQUEST_START = f"GET {PATH} ".encode()
"""By which a plain connection is known as one of these."""
UPGRADE = "opsconsole-stream"
STREAM_HEADER = "Opsconsole-Stream"
PROOF_HEADER = "Opsconsole-Proof"
UPGRADE_BYTES_MAX = 4_096
"""Of a request, and of an answer up to the end of its text."""
TEXT_BYTES_MAX = 1_000
"""Of the line in a refusal."""

NOT_UNDERSTOOD = 400
NOT_GOOD = 403
"""No such ticket, or it is used, expired or another's."""
NOT_JOINED = 504
"""The other end didn't come in time."""
TOO_MANY = 429
"""The coordinator relays as many streams as it may."""
GONE = 503
"""The coordinator is stopping, or doesn't relay."""
_PHRASES = {
    NOT_UNDERSTOOD: "Bad Request",
    NOT_GOOD: "Forbidden",
    NOT_JOINED: "Gateway Timeout",
    TOO_MANY: "Too Many Requests",
    GONE: "Service Unavailable",
}

_END = b"\r\n\r\n"
_STREAM_ID = re.compile(f"[A-Za-z0-9._-]{{1,{ID_CHARACTERS_MAX}}}")
_PROOF = re.compile("[0-9a-f]{64}")
_STATUS_LINE = re.compile(r"HTTP/1\.1 (\d{3})(?: .*)?")
_LENGTH = re.compile("[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """A client wants its end of the stream `stream_id`."""

    stream_id: str
    proof: str


@dataclass(frozen=True, slots=True)
class UpgradeAnswer:
    """What the coordinator says: 101 and its own proof, or another status and one line."""

    status: int
    proof: str = ""
    text: str = ""
    rest: bytes = b""
    """The first bytes of the stream, where some came with the answer."""

    @property
    def is_open(self) -> bool:
        """Whether the stream stands."""
        return self.status == 101


def format_request(stream_id: str, proof: str, host: str) -> bytes:
    """The bytes that ask for a stream. `host`: as the coordinator is called here."""
    lines = (
        f"GET {PATH} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", f"Upgrade: {UPGRADE}",
        f"{STREAM_HEADER}: {stream_id}", f"{PROOF_HEADER}: {proof}", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()


def parse_request(data: bytes) -> UpgradeRequest | None:
    """The request in the bytes that came so far, or None while it isn't whole. Raises ProtocolError."""
    head, end, rest = data.partition(_END)
    if len(data) > UPGRADE_BYTES_MAX:
        raise ProtocolError(f"a request for a stream has at most {UPGRADE_BYTES_MAX} bytes")
    if not (head if end else data).startswith(REQUEST_START[: len(data)]):
        raise ProtocolError(f"a request for a stream begins with GET {PATH}")
    if not end:
        return None
    if rest:
        raise ProtocolError("nothing may follow a request for a stream before it is answered")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = _fields(lines)
    stream_id, proof = fields.get(STREAM_HEADER.lower(), ""), fields.get(PROOF_HEADER.lower(), "")
    if first != f"GET {PATH} HTTP/1.1" or fields.get("upgrade") != UPGRADE:
        raise ProtocolError(f"a request for a stream is GET {PATH} HTTP/1.1 with Upgrade: {UPGRADE}")
    if _STREAM_ID.fullmatch(stream_id) is None or _PROOF.fullmatch(proof) is None:
        raise ProtocolError(
            f"a request for a stream names it in {STREAM_HEADER} and proves its right in {PROOF_HEADER}"
        )
    return UpgradeRequest(stream_id, proof)


def format_acceptance(proof: str) -> bytes:
    """The answer after which the stream begins. `proof`: the coordinator's own."""
    lines = (
        "HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Upgrade: {UPGRADE}", f"{PROOF_HEADER}: {proof}", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()


def format_refusal(status: int, text: str) -> bytes:
    """The answer that there is no stream, with one line that says why. `status`: one of this module's."""
    body = " ".join(text.split()).encode()[:TEXT_BYTES_MAX]
    lines = (
        f"HTTP/1.1 {status} {_PHRASES[status]}", "Connection: close", "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode() + body


def parse_answer(data: bytes, *, is_whole: bool = False) -> UpgradeAnswer | None:
    """The answer in the bytes that came so far, or None while it isn't whole. Raises ProtocolError.

    `is_whole`: the connection has ended, so that what is there of a refusal's text has to do.
    """
    head, end, rest = data.partition(_END)
    if len(head) > UPGRADE_BYTES_MAX:
        raise ProtocolError(f"the answer to a request for a stream has more than {UPGRADE_BYTES_MAX} bytes")
    if not end:
        if is_whole or not data.startswith(b"HTTP/1.1 "[: len(data)]):
            raise ProtocolError("the answer to a request for a stream is no HTTP")
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    status, fields = _STATUS_LINE.fullmatch(first), _fields(lines)
    if status is None:
        raise ProtocolError("the answer to a request for a stream has no status")
    if int(status[1]) == 101:
        return UpgradeAnswer(101, fields.get(PROOF_HEADER.lower(), ""), rest=rest)
    length = fields.get("content-length", "0")
    wanted = min(int(length), TEXT_BYTES_MAX) if _LENGTH.fullmatch(length) else TEXT_BYTES_MAX
    if len(rest) < wanted and not is_whole:
        return None
    is_text = fields.get("content-type", "").startswith("text/plain")
    text = rest[:wanted].decode(errors="replace") if is_text else ""
    return UpgradeAnswer(int(status[1]), text=" ".join("".join(c if c.isprintable() else " " for c in text).split()))


def _fields(lines: list[str]) -> dict[str, str]:
    """The header's fields by their names in lower case. Raises ProtocolError where one comes twice: which one counts?"""
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name.lower() in fields:
            raise ProtocolError("a header of a stream's opening has a line that is no field, or a field twice")
        fields[name.lower()] = value.strip()
    return fields
