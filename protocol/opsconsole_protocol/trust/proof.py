"""How a coordinator proves to a client that it knows a secret, before the client sends it: for `ws://`, which has no certificate.

On loopback whoever is first may listen on a port, also another user of the machine. So a client names, by their key
ids, the secrets that it is about to show, together with a fresh nonce (`proof_request.py`). The coordinator answers for
the first secret that it knows, with an HMAC under that secret's hash, which is all that it keeps of a secret. Then the
client sends its request with the secret over the same connection.

The HMAC covers the address that the connection leads to, as each side's own socket tells it: a listener on another
port can't pass the client's request on to the real coordinator and the answer back. Nothing that is sent before the
proof is of use to anybody: a key id is a hash of the hash of 256 random bits.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

from opsconsole_protocol.trust.invitation import split_token
from opsconsole_protocol.trust.secret import hash_secret

PATH = "/proof"
NONCE_HEADER = "Opsconsole-Nonce"
KEYS_HEADER = "Opsconsole-Keys"
KEYS_MAX = 4
NONCE_BYTES = 32
_HEX_64 = re.compile("[0-9a-f]{64}")


def secret_hash_of(token: str) -> str:
    """What the coordinator keeps of a token or a credential, or of the secret in an invitation (`id.secret`)."""
    invitation = split_token(token)
    return hash_secret(token if invitation is None else invitation[1])


def key_id(secret_hash: str) -> str:
    """By what name a client asks about a secret."""
    return hashlib.sha256(f"opsconsole key {secret_hash}".encode()).hexdigest()


def socket_address(socket_name: tuple[object, ...]) -> str:
    """Where a connection leads to, from what the socket says: `127.0.0.1 7373`."""
    return f"{socket_name[0]} {socket_name[1]}"


def proof_of(secret_hash: str, nonce: str, where: str) -> str:
    """The HMAC that only who knows the hash can make, for a connection that leads to `where`."""
    text = f"opsconsole proof {nonce} {where}"
    return hmac.new(secret_hash.encode(), text.encode(), hashlib.sha256).hexdigest()


def answer_request(known: Mapping[str, str], nonce: str, keys: str, where: str) -> str | None:
    """The coordinator's answer to the headers of a request: `key id, space, HMAC`; None where it knows none of the keys.

    `known`: secret hash by key id. Raises ValueError for headers that no client of ours sends.
    """
    asked = keys.split(",")
    if len(asked) > KEYS_MAX or not all(_HEX_64.fullmatch(text) for text in (nonce, *asked)):
        raise ValueError("a nonce and up to four keys are expected, each of 64 hexadecimal digits")
    key = next((one for one in asked if one in known), None)
    return None if key is None else f"{key} {proof_of(known[key], nonce, where)}"


def is_proof(text: str, secret_hashes: Iterable[str], nonce: str, where: str) -> bool:
    """Whether `text`, the coordinator's answer, proves that it knows one of the client's secrets."""
    key, _, shown = text.strip().partition(" ")
    by_key = {key_id(one): one for one in secret_hashes}
    return key in by_key and hmac.compare_digest(proof_of(by_key[key], nonce, where).encode(), shown.encode())
