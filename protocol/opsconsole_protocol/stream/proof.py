"""How the two sides of a connection prove that they know a stream's secret, without showing it.

Towards the coordinator an end has a secret of its own (`StreamGrant.secret`), good for one connection. The request holds an
HMAC under it, and the answer another: a program that listens in the coordinator's place can neither use what it is
sent nor answer. Where no certificate says who is there (plain, on loopback), the HMACs cover the address that the
connection leads to, as each side's own socket tells it, so that they can't be passed on from another port.

Where two ends meet without the coordinator, both know `StreamGrant.shared_secret`. Each sends a fresh nonce and an HMAC over
both nonces, its own role, and the hash of the certificate that the connection rests on.
"""

import hashlib
import hmac

NONCE_BYTES = 32
PROOF_BYTES = 32


def where_of(socket_name: tuple[object, ...]) -> str:
    """Where a plain connection leads to, from the name of its socket at the listening end: `127.0.0.1 7373`."""
    return f"{str(socket_name[0]).lower().removeprefix('::ffff:')} {socket_name[1]}"


def request_proof(secret: str, stream_id: str, where: str = "") -> str:
    """What an end shows the coordinator, 64 hexadecimal digits. `where`: of a plain connection; empty under TLS."""
    return _hmac(secret, "request", stream_id, where).hex()


def acceptance_proof(secret: str, stream_id: str, where: str = "") -> str:
    """What the coordinator shows in return."""
    return _hmac(secret, "acceptance", stream_id, where).hex()


def dialler_proof(shared_secret: str, stream_id: str, nonces: bytes, certificate_hash: str) -> bytes:
    """What the dialling end shows the listening one. `nonces`: the dialler's, then the listener's."""
    return _hmac(shared_secret, "dialler", stream_id, nonces.hex(), certificate_hash)


def listener_proof(shared_secret: str, stream_id: str, nonces: bytes, certificate_hash: str) -> bytes:
    """What the listening end shows the dialling one."""
    return _hmac(shared_secret, "listener", stream_id, nonces.hex(), certificate_hash)


def place_mark(shared_secret: str, place: str) -> str:
    """A name for a machine's loopback that tells the other end only whether it is its own too."""
    return _hmac(shared_secret, "place", place).hex() if place else ""


def is_same(shown: str | bytes, expected: str | bytes) -> bool:
    """Whether two proofs are the same, compared in constant time."""
    return hmac.compare_digest(_bytes(shown), _bytes(expected))


def _hmac(secret: str, *parts: str) -> bytes:
    if not secret:
        raise ValueError("an empty secret proves nothing")
    return hmac.digest(secret.encode(), "\n".join(("opsconsole stream", *parts)).encode(), hashlib.sha256)


def _bytes(shown: str | bytes) -> bytes:
    return shown.encode() if isinstance(shown, str) else shown
