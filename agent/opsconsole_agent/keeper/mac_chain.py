"""Authentication codes on the lines of the exit log, so that a line which no keeper wrote is noticed.

The log lies in a folder where tasks of the same user can write. Each of its lines ends in a keyed hash over the line and
the hash before it, so no line can be forged, changed or moved. The key is in no file, argument or environment: only living
keepers and agents have it, in memory, and hand it to each other. When all of them have died, the next ones can't verify
the log any more, and believe what they find.
"""

import os

# Not through hashlib, which loads OpenSSL: half of the memory of this process, and a third of its start.
from _blake2 import blake2b

KEY_BYTES = 32
_MAC_BYTES = 16
_SEPARATOR = "\t"
MAC_LENGTH = len(_SEPARATOR) + 2 * _MAC_BYTES
"""The number of characters that a line grows by."""


def new_key() -> bytes:
    """Return a random key."""
    return os.urandom(KEY_BYTES)


class MacChain:
    """Signs lines, and verifies them in the order in which they were signed."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._last = b""

    def restart(self) -> None:
        """Begin a new chain: the next line is the first of a log."""
        self._last = b""

    def sign(self, line: str) -> str:
        """Return the line with its code."""
        self._last = self._mac(line)
        return f"{line}{_SEPARATOR}{self._last.hex()}"

    def verify(self, signed: str) -> str | None:
        """Return the line without its code, or None if no keeper with this key wrote it at this place."""
        line, _, mac = signed.rpartition(_SEPARATOR)
        expected = self._mac(line)
        if expected.hex() != mac:
            return None
        self._last = expected
        return line

    def _mac(self, line: str) -> bytes:
        return blake2b(self._last + line.encode(errors="replace"), key=self._key, digest_size=_MAC_BYTES).digest()


def without_mac(line: str) -> str:
    """Return the line itself, whether it has a code or was written by a keeper of before there were codes."""
    return line.partition(_SEPARATOR)[0]
