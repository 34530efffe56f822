"""Patterns of paths, as shells have them: `*`, `?`, `[…]`, and `**` for any number of folders."""

from functools import lru_cache

from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.pattern import Pattern, compile_pattern, escaped

GLOB_CHARACTERS_MAX = 300
_SHOWN_CHARACTERS = 100
_BYTES = {0xDC00 + byte: chr(0xF0000 + byte) for byte in range(0x80, 0x100)}
"""Bytes of names that aren't UTF-8, as patterns have them: text that can be sent."""
_SIGN = "\N{REPLACEMENT CHARACTER}"
"""How such bytes are shown: in a pattern it matches any of them."""


def check_glob(pattern: str) -> None:
    """Raise InvalidRequest for a pattern that can't match any path below a folder."""
    _compiled(pattern)


def matches(pattern: str, path: bytes) -> bool:
    """Whether a relative path matches. A pattern that matches a folder takes all that lies below it.

    `*` and `?` don't match a slash, `**` does. A pattern is counted from the top: `*.csv` doesn't look into folders,
    `**/*.csv` does. Raises InvalidRequest as `check_glob` does.
    """
    return _compiled(pattern).matches(_text(path))


def may_lead(pattern: str, folder: bytes) -> bool:
    """Whether something below a folder may match."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    for part, name in zip(parts, folder.split(b"/"), strict=False):
        if part == "**":
            return True
        if not matches(part, name):
            return False
    return True


def spelled(pattern: str) -> str:
    """A pattern as the system gave it to us, in text that can be sent: what isn't UTF-8 is replaced by signs that match just that."""
    return pattern.translate(_BYTES)


def literal(name: bytes) -> str:
    """The pattern that matches just this path."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in _text(name))


def as_shown(pattern: str) -> str:
    """A pattern for people."""
    return "".join(_SIGN if sign in _BYTES.values() else sign for sign in pattern)


def _text(path: bytes) -> str:
    text = path.decode("utf-8", "surrogateescape")
    return text if text.isascii() else text.translate(_BYTES)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Pattern:
    shown = repr(cut(pattern, _SHOWN_CHARACTERS))
    if len(pattern) > GLOB_CHARACTERS_MAX:
        raise InvalidRequest(
            f"the pattern {shown} has {len(pattern)} characters: at most {GLOB_CHARACTERS_MAX} are taken"
        )
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or "\0" in pattern:
        raise InvalidRequest(f"the pattern {shown} names no files: write one such as 'models/*'")
    if pattern.startswith("/") or ".." in parts:
        raise InvalidRequest(f"the pattern {shown} leads out of the folder: count it from the folder's top")
    return compile_pattern(rf"(?s)\A{_expression(parts)}(?:/.*)?\z")


def _expression(parts: list[str]) -> str:
    """The regular expression of a pattern's parts."""
    made = ""
    for place, part in enumerate(parts):
        is_last = place == len(parts) - 1
        if part == "**":
            made += ".+" if is_last else "(?:.*/)?"
        else:
            made += _part(part) + ("" if is_last else "/")
    return made


def _part(part: str) -> str:
    made = ""
    place = 0
    while place < len(part):
        sign = part[place]
        place += 1
        if sign == "*":
            made += "[^/]*"
        elif sign == "?":
            made += "[^/]"
        elif (
            sign == "["
            and (end := part.find("]", place + 2 if part[place : place + 1] in ("!", "^") else place + 1)) > 0
        ):
            made += _one_of(part[place:end])
            place = end + 1
        elif sign == _SIGN:
            made += r"[\x{fffd}\x{f0080}-\x{f00ff}]"
        else:
            made += escaped(sign)
    return made


def _one_of(inside: str) -> str:
    """The expression of what stands between brackets; ranges are kept."""
    negated = inside.startswith(("!", "^"))
    signs = inside[1:] if negated else inside
    kept = "".join(sign if sign == "-" or sign.isalnum() else f"\\x{{{ord(sign):x}}}" for sign in signs)
    return f"[^/{kept}]" if negated else f"[{kept}]"
