"""Seals on the lines of the exit log, so that one which no keeper wrote is noticed.

The log lies in a folder where tasks of the same user can write. Its lines carry a keyed hash over themselves and the seal
before, so none can be forged, changed or moved. The key is in no file, argument or environment: only keepers and agents
that live have it in memory, and hand it to each other. When all of them have died, the next ones can't tell any more,
and believe what they find.
"""

import os

# Not through hashlib, which loads OpenSSL: half of the memory of this process, and a third of its start.
from _blake2 import blake2b

KEY_BYTES = 32
_SEAL_BYTES = 16
_MARK = "\t"
SEAL_LENGTH = len(_MARK) + 2 * _SEAL_BYTES
"""What a seal adds to its line."""


def new_key() -> bytes:
    """A key that nobody else has."""
    return os.urandom(KEY_BYTES)


class Seal:
    """Seals lines, and checks them in the order in which they were sealed."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._last = b""

    def start_over(self) -> None:
        """The log begins anew."""
        self._last = b""

    def add(self, line: str) -> str:
        """The line with its seal."""
        self._last = self._of(line)
        return f"{line}{_MARK}{self._last.hex()}"

    def check(self, sealed: str) -> str | None:
        """The line without its seal; None if a keeper with this key didn't write it here."""
        line, _, seal = sealed.rpartition(_MARK)
        expected = self._of(line)
        if expected.hex() != seal:
            return None
        self._last = expected
        return line

    def _of(self, line: str) -> bytes:
        return blake2b(self._last + line.encode(errors="replace"), key=self._key, digest_size=_SEAL_BYTES).digest()


def without_seal(line: str) -> str:
    """The line itself, whether it carries a seal or was written by a keeper that set none."""
    return line.partition(_MARK)[0]
