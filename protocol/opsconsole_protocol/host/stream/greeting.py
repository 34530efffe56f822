"""The first bytes between two ends that meet without the coordinator: each proves that it holds the stream's grant.

The dialling end sends a nonce, the listening one its own and its proof, the dialling one its proof. Whoever connects by chance, or
listens at an address that the other end's network has too, gets nothing out of it. Then the initiator says that it
takes this connection.
"""

import secrets
import socket
import time

from opsconsole_protocol.stream import proof
from opsconsole_protocol.stream.message import StreamGrant
from opsconsole_protocol.stream.signal import COMMIT

GREETING_S = 5.0
COMMIT_S = 15.0
"""The initiator may still wait for another of its connections."""


class Stranger(Exception):
    """Who is at the other end of a connection doesn't hold the grant."""


def greet(sock: socket.socket, grant: StreamGrant, *, is_dialler: bool, certificate_hash: str) -> None:
    """Prove and be proven. Raises Stranger or OSError.

    `certificate_hash`: of the certificate that the connection rests on; empty where it is plain.
    """
    until = time.monotonic() + GREETING_S
    own = secrets.token_bytes(proof.NONCE_BYTES)
    known = grant.shared_secret, grant.stream_id
    if is_dialler:
        sock.sendall(own)
        theirs = receive_exactly(sock, proof.NONCE_BYTES, until)
        shown = receive_exactly(sock, proof.PROOF_BYTES, until)
        _compare(shown, proof.listener_proof(*known, own + theirs, certificate_hash))
        sock.sendall(proof.dialler_proof(*known, own + theirs, certificate_hash))
    else:
        theirs = receive_exactly(sock, proof.NONCE_BYTES, until)
        sock.sendall(own + proof.listener_proof(*known, theirs + own, certificate_hash))
        shown = receive_exactly(sock, proof.PROOF_BYTES, until)
        _compare(shown, proof.dialler_proof(*known, theirs + own, certificate_hash))


def await_commit(sock: socket.socket, received: bytes = b"") -> bytes:
    """As the responder, wait until the initiator takes this connection; bytes of the stream that came with that are returned.

    `received`: what was read from the stream already. Raises OSError where the initiator takes another connection.
    """
    size = len(COMMIT)
    received = received or receive_exactly(sock, size, time.monotonic() + COMMIT_S)
    if received[:size] != COMMIT:
        raise ConnectionAbortedError
    return received[size:]


def receive_exactly(sock: socket.socket, size: int, until: float) -> bytes:
    """The next `size` bytes, which have to be there by the monotonic time `until`. Raises OSError."""
    found = b""
    while len(found) < size:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        more = sock.recv(size - len(found))
        if not more:
            raise ConnectionAbortedError
        found += more
    return found


def _compare(shown: bytes, expected: bytes) -> None:
    if not proof.is_same(shown, expected):
        raise Stranger("another program answers")
