"""Secrets: 256 random bits, spelled so that they survive a terminal, a shell and a double click.

They are stored as plain SHA-256 hashes. Slow, salted hashes protect what people choose, which can be guessed; nobody guesses
256 random bits, and a fast hash lets a coordinator authenticate a thousand agents that come back at once.
"""

import hashlib
import hmac
import re

from opsconsole_protocol.ids import ALPHABET, spell

SECRET_BYTES = 32
SECRET_LENGTH = 52
"""In characters, of five bits each."""

DIFFERENT_CHARACTERS_MIN = 10
_SECRET = re.compile(f"[{ALPHABET}]{{{SECRET_LENGTH}}}")
_HASH = re.compile("[0-9a-f]{64}")


def new_secret(random_bytes: bytes) -> str:
    """Spell exactly 32 bytes from the system's random source. Raises ValueError for any other number of bytes."""
    if len(random_bytes) != SECRET_BYTES:
        raise ValueError(f"a secret is made from {SECRET_BYTES} random bytes, not {len(random_bytes)}")
    return spell(int.from_bytes(random_bytes), SECRET_LENGTH)


def is_secret(text: str) -> bool:
    """Whether `text` has the shape of a secret."""
    return _SECRET.fullmatch(text) is not None


def is_random(text: str) -> bool:
    """Whether `text` has the form of a secret and isn't one that a person made up, such as 52 zeros.

    A random secret has some 26 different characters; not one in 10^18 has fewer than DIFFERENT_CHARACTERS_MIN.
    """
    return is_secret(text) and len(set(text)) >= DIFFERENT_CHARACTERS_MIN


def hash_secret(secret: str) -> str:
    """The SHA-256 of a secret in 64 hexadecimal digits: what is stored and compared in its place."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_hash(text: str) -> bool:
    """Whether `text` has the shape of a SHA-256 in lower-case hexadecimal digits."""
    return _HASH.fullmatch(text) is not None


def matches(secret: str, secret_hash: str) -> bool:
    """Whether `secret` hashes to `secret_hash`, compared in constant time."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)
