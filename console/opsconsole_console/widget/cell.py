"""What goes into a table's cell, and the text rules every painted line obeys.

A `Cell` is text with tones: a tone names what the text means (`state-failed`, `text-muted`, `bold gpu-hot`), a
`Palette` turns it into a colour of the theme. So cells can be made, compared and tested without a theme.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rich.cells import cell_len, get_character_cell_size
from rich.style import Style

from opsconsole_console.visible import clean

Align: TypeAlias = Literal["left", "right"]
Tone: TypeAlias = str | Style
Span: TypeAlias = tuple[str, Tone]

ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Cell:
    """Text in one or more tones."""

    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.spans)

    def __add__(self, other: "Cell") -> "Cell":
        return Cell(self.spans + other.spans)


def cell(text: str, tone: Tone = "") -> Cell:
    """A cell in one tone."""
    return Cell(((text, tone),))


def joined(cells: Iterable[Cell], gap: str = " ") -> Cell:
    """Cells side by side, `gap` between them."""
    spans: list[Span] = []
    for one in cells:
        if spans:
            spans.append((gap, ""))
        spans.extend(one.spans)
    return Cell(tuple(spans))


def width(text: str) -> int:
    """Cells that clean text takes."""
    return len(text) if text.isascii() else cell_len(text)


def split(text: str, cells: int) -> tuple[str, str]:
    """Cut so that the first part takes at most `cells` cells; a wide character is never halved."""
    if text.isascii():
        return text[:cells], text[cells:]
    taken = 0
    for index, character in enumerate(text):
        taken += get_character_cell_size(character)
        if taken > cells:
            return text[:index], text[index:]
    return text, ""


def crop(text: str, cells: int) -> str:
    """Text of at most `cells` cells, its end replaced by an ellipsis where it is too long."""
    if width(text) <= cells:
        return text
    return split(text, cells - 1)[0] + ELLIPSIS if cells > 0 else ""


def shorten(spans: Iterable[Span], cells: int) -> list[Span]:
    """The spans in at most `cells` cells: cleaned, and an ellipsis in place of their middle where they are too long.

    For names and paths, whose ends tell as much as their beginnings.
    """
    whole = [(text, tone) for raw, tone in spans if (text := clean(raw))]
    if sum(width(text) for text, _ in whole) <= cells:
        return whole
    if cells <= 0:
        return []
    end_cells = (cells - 1) // 2
    return [*_first(whole, cells - 1 - end_cells), (ELLIPSIS, whole[0][1]), *_last(whole, end_cells)]


def _first(spans: Iterable[Span], cells: int) -> Iterator[Span]:
    for text, tone in spans:
        kept = split(text, cells)[0]
        if kept:
            yield kept, tone
        cells -= width(kept)
        if kept != text:
            return


def _last(spans: Sequence[Span], cells: int) -> list[Span]:
    found: list[Span] = []
    for text, tone in reversed(spans):
        taken, place = 0, len(text)
        while place and taken + get_character_cell_size(text[place - 1]) <= cells:
            place -= 1
            taken += get_character_cell_size(text[place])
        kept = text[place:]
        while place and kept and not get_character_cell_size(kept[0]):
            kept = kept[1:]  # it would be painted over the ellipsis
        if kept:
            found.append((kept, tone))
        cells -= taken
        if place:
            break
    return found[::-1]


def fit(spans: Iterable[Span], cells: int, align: Align = "left") -> list[Span]:
    """The spans in exactly `cells` cells: cleaned, cropped with an ellipsis or padded."""
    fitted: list[Span] = []
    left = cells
    cut = False
    for raw, tone in spans:
        text = clean(raw)
        taken = width(text)
        if cut or taken > left:
            # The ellipsis has to fit too, so a span that fills the line exactly may lose its end to a later one.
            _end_with_ellipsis(fitted, text if not cut else "", left, tone)
            left = 0
            break
        if taken:
            fitted.append((text, tone))
            left -= taken
    pad = cells - sum(width(text) for text, _ in fitted)
    if pad > 0:
        padding: Span = (" " * pad, "")
        if align == "right":
            fitted.insert(0, padding)
        else:
            fitted.append(padding)
    return fitted


def _end_with_ellipsis(fitted: list[Span], text: str, left: int, tone: Tone) -> None:
    """Put what fits of `text` and an ellipsis at the end of `fitted`, which has `left` cells to spare."""
    if left > 0:
        fitted.append((crop(text, left), tone))
        return
    while fitted:
        last, last_tone = fitted.pop()
        kept = width(last) - 1
        if kept >= 0:
            fitted.append((split(last, kept)[0] + ELLIPSIS, last_tone))
            return
