"""How a client asks a coordinator for a proof (`proof.py`): a small HTTP request, and the reply as its bytes come in. No I/O."""

from dataclasses import dataclass

from opsconsole_protocol.trust import proof

ANSWER_BYTES_MAX = 4_096
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ProofReply:
    """What came back: an HTTP status and its text."""

    status: int
    text: str


class NoHttp(ValueError):
    """What answers doesn't speak HTTP as a coordinator does."""


class ProofRequest:
    """Asks the coordinator at `host` for a proof that it knows one of `secret_hashes`."""

    def __init__(self, secret_hashes: tuple[str, ...], nonce: str, host: str) -> None:
        self._hashes = secret_hashes
        self._nonce = nonce
        self._host = host
        self._buffer = b""

    @property
    def request(self) -> bytes:
        """The bytes to send: nothing in them is of use to whoever reads them."""
        keys = ",".join(proof.key_id(one) for one in self._hashes)
        lines = (
            f"GET {proof.PATH} HTTP/1.1", f"Host: {self._host}", f"{proof.NONCE_HEADER}: {self._nonce}",
            f"{proof.KEYS_HEADER}: {keys}", "", "",
        )  # fmt: skip
        return "\r\n".join(lines).encode()

    def feed(self, data: bytes) -> ProofReply | None:
        """Take in bytes that came, and return the reply once all of it is there, None before. Raises NoHttp."""
        self._buffer += data
        head, end, body = self._buffer.partition(_END)
        if len(self._buffer) > ANSWER_BYTES_MAX or not b"HTTP/1.1 ".startswith(head[:9]):
            raise NoHttp
        if not end:
            return None
        first, *rest = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        status, length = first.split(" ")[1], fields.get("content-length", "")
        if not (status.isascii() and status.isdigit() and length.isascii() and length.isdigit()):
            raise NoHttp
        if len(body) < int(length):
            return None
        is_text = fields.get("content-type", "").startswith("text/plain")
        return ProofReply(int(status), body.decode(errors="replace") if is_text else "")

    def is_proof(self, reply: ProofReply, where: str) -> bool:
        """Whether the reply is that proof, on a connection that leads to `where`."""
        return reply.status == 200 and proof.is_proof(reply.text, self._hashes, self._nonce, where)
