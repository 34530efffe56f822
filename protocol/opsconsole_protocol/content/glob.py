"""Patterns of paths, as shells have them: `*`, `?`, `[…]`, and `**` for any number of folders."""

from functools import lru_cache

from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.pattern import Pattern, compile_pattern, escaped

GLOB_CHARACTERS_MAX = 300
_SHOWN_CHARACTERS = 100


def check_glob(pattern: str) -> None:
    """Raise InvalidRequest for a pattern that can't match any path below a folder."""
    _compiled(pattern)


def matches(pattern: str, path: bytes) -> bool:
    """Whether a relative path matches. A pattern that matches a folder takes all that lies below it.

    `*` and `?` don't match a slash, `**` does. A pattern is counted from the top: `*.csv` doesn't look into folders,
    `**/*.csv` does. Raises InvalidRequest as `check_glob` does.
    """
    return _compiled(pattern).matches(path.decode("utf-8", "surrogateescape"))


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
        else:
            made += escaped(sign)
    return made


def _one_of(inside: str) -> str:
    """The expression of what stands between brackets; ranges are kept."""
    negated = inside.startswith(("!", "^"))
    signs = inside[1:] if negated else inside
    kept = "".join(sign if sign == "-" or sign.isalnum() else f"\\x{{{ord(sign):x}}}" for sign in signs)
    return f"[^/{kept}]" if negated else f"[{kept}]"
