"""What goes into a table's cell, and the text rules every painted line obeys.

A `Cell` is text with tones: a tone names what the text means (`state-failed`, `text-muted`, `bold gpu-hot`), a
`Palette` turns it into a colour of the theme. So cells can be made, compared and tested without a theme.
"""

from collections.abc import Iterable
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
