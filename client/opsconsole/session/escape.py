"""What a person types that is for this end: Enter, `~` and `.` leave a shell that nothing else leaves any more."""

from __future__ import annotations

_ENTER = b"\r\n"


class Escape:
    """Takes what is typed, in pieces as it comes. `~~` after Enter is one `~` for the shell."""

    def __init__(self) -> None:
        self._is_fresh = True
        """Nothing was typed since the last Enter."""
        self._has_tilde = False
        self.is_typed = False
        """The person wants to leave."""

    def take(self, data: bytes) -> bytes:
        """Take a piece in, and return what of it, and of what was held back, is for the shell."""
        passed = bytearray()
        for one in data:
            if self._has_tilde:
                self._has_tilde = False
                if one == ord("."):
                    self.is_typed = True
                    break
                passed += b"~" if one != ord("~") else b""
            elif self._is_fresh and one == ord("~"):
                self._has_tilde = True
                continue
            passed.append(one)
            self._is_fresh = one in _ENTER
        return bytes(passed)
