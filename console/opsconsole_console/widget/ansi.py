"""What a terminal would show of one line of output: its last state, its colours, and nothing that acts.

Only SGR sequences (colours and text attributes) are honoured; every other escape is taken out. A carriage return starts
the line over, so what stands after the last one is what is seen. Pure.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rich.color import Color
from rich.style import Style

from opsconsole_console.visible import clean

RAW_CHARACTERS_MAX = 32_768
"""Of one line no more than this is looked at, after the last carriage return."""

_TAB_CELLS = 8

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"  # control sequences; SGR ends in m
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links, device strings
    r"|\x1b[ -/]*[0-~]"  # two characters and more
    r"|[\x1b\x07\x08\x0e\x0f\x00]"  # what is left of broken ones, bells, backspaces, shifts
)


class Painted(NamedTuple):
    """`text` is clean; `spans` are (start, end, style) over its characters, in order; `left_out` counts raw characters."""

    text: str
    spans: tuple[tuple[int, int, Style], ...]
    left_out: int


class _Rendition(NamedTuple):
    """What SGR has set so far: a colour is 0 to 255 or (r, g, b)."""

    color: int | tuple[int, int, int] | None = None
    background: int | tuple[int, int, int] | None = None
    attributes: frozenset[str] = frozenset()


_RESET = _Rendition()
_ON = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse", 9: "strike", 21: "underline"}
_OFF = {22: {"bold", "dim"}, 23: {"italic"}, 24: {"underline"}, 27: {"reverse"}, 29: {"strike"}}


def last_state(raw: str) -> str:
    """What carriage returns leave of a line: the part after the last one that has something after it."""
    if "\r" not in raw:
        return raw
    raw = raw.rstrip("\r")
    return raw[raw.rfind("\r") + 1 :]


def plain(raw: str) -> str:
    """The clean text of a line, without its colours."""
    if raw.isascii() and raw.isprintable() and len(raw) <= RAW_CHARACTERS_MAX:
        return raw
    raw = last_state(raw)[:RAW_CHARACTERS_MAX]
    return clean(_ESCAPE.sub("", raw))


def paint(raw: str) -> Painted:
    """The clean text of a line with its colours."""
    raw = last_state(raw)
    left_out = max(0, len(raw) - RAW_CHARACTERS_MAX)
    raw = raw[:RAW_CHARACTERS_MAX]
    if raw.isprintable():
        return Painted(clean(raw), (), left_out)
    pieces: list[str] = []
    spans: list[tuple[int, int, Style]] = []
    length = 0
    for piece, rendition in _pieces(raw):
        text = clean(_untabbed(piece, length))
        if rendition is not _RESET and text:
            spans.append((length, length + len(text), _style(rendition)))
        pieces.append(text)
        length += len(text)
    return Painted("".join(pieces), tuple(spans), left_out)


def _pieces(raw: str) -> Iterator[tuple[str, _Rendition]]:
    """The text between escapes, each with the rendition it is written in."""
    rendition, start = _RESET, 0
    for match in _ESCAPE.finditer(raw):
        if match.start() > start:
            yield raw[start : match.start()], rendition
        start = match.end()
        if match["final"] == "m":
            rendition = _moved(rendition, match["parameters"])
    if start < len(raw):
        yield raw[start:], rendition


def _untabbed(piece: str, column: int) -> str:
    """Tabs as spaces, for a piece that begins in `column`."""
    if "\t" not in piece:
        return piece
    lead = column % _TAB_CELLS
    return (" " * lead + piece).expandtabs(_TAB_CELLS)[lead:]


@lru_cache(maxsize=1024)
def _moved(rendition: _Rendition, parameters: str) -> _Rendition:
    """The rendition after one SGR sequence; what isn't understood is skipped."""
    numbers = _numbers(parameters)
    if numbers is None:
        return rendition
    queue = iter(numbers)
    for number in queue:
        if number == 0:
            rendition = _RESET
        elif number in _ON:
            rendition = rendition._replace(attributes=rendition.attributes | {_ON[number]})
        elif number in _OFF:
            rendition = rendition._replace(attributes=rendition.attributes - _OFF[number])
        elif number in {38, 48}:
            color = _extended(queue)
            if color is not None:
                rendition = rendition._replace(color=color) if number == 38 else rendition._replace(background=color)
        else:
            rendition = _basic(rendition, number)
    return _RESET if rendition == _RESET else rendition


def _basic(rendition: _Rendition, number: int) -> _Rendition:
    if 30 <= number <= 37:
        return rendition._replace(color=number - 30)
    if 90 <= number <= 97:
        return rendition._replace(color=number - 82)
    if 40 <= number <= 47:
        return rendition._replace(background=number - 40)
    if 100 <= number <= 107:
        return rendition._replace(background=number - 92)
    if number == 39:
        return rendition._replace(color=None)
    return rendition._replace(background=None) if number == 49 else rendition


def _extended(queue: Iterator[int]) -> int | tuple[int, int, int] | None:
    """What follows 38 or 48: `5;n` or `2;r;g;b`, or None where it is broken."""
    kind = next(queue, None)
    if kind == 5:
        number = next(queue, -1)
        return number if 0 <= number <= 255 else None
    if kind == 2:
        red, green, blue = next(queue, -1), next(queue, -1), next(queue, -1)
        return (red, green, blue) if all(0 <= part <= 255 for part in (red, green, blue)) else None
    return None


def _numbers(parameters: str) -> list[int] | None:
    """`1;31` as numbers, an empty one as 0. A colon form counts as one with semicolons, its empty colour space left out."""
    if not parameters:
        return [0]
    parameters = parameters.replace("::", ":").replace(":", ";")
    if len(parameters) > 64 or not all(part.isdigit() or not part for part in parameters.split(";")):
        return None
    return [int(part or 0) for part in parameters.split(";")]


@lru_cache(maxsize=1024)
def _style(rendition: _Rendition) -> Style:
    has = rendition.attributes.__contains__
    return Style(
        color=_color(rendition.color),
        bgcolor=_color(rendition.background),
        bold=has("bold") or None,
        dim=has("dim") or None,
        italic=has("italic") or None,
        underline=has("underline") or None,
        reverse=has("reverse") or None,
        strike=has("strike") or None,
    )


def _color(color: int | tuple[int, int, int] | None) -> Color | None:
    if color is None:
        return None
    return Color.from_ansi(color) if isinstance(color, int) else Color.from_rgb(*color)
