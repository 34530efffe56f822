"""Bins into dots, and dots of several curves into cells. Pure.

A column of dots is one whole number, whose lowest bit is the top dot: a line down a column is one shift.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from opsconsole_console.widget.cell import Tone
from opsconsole_console.widget.curve.scale import Scale
from opsconsole_console.widget.curve.thinning import Bin

DOTS_WIDE = 2


class Dots(StrEnum):
    """What a cell is made of: braille has 2 × 4 dots; blocks have 2 × 2, and are in the fonts that have no braille."""

    BRAILLE = "braille"
    BLOCKS = "blocks"

    @property
    def high(self) -> int:
        """How many dots a cell is high."""
        return 4 if self is Dots.BRAILLE else 2


class Drawn(NamedTuple):
    """The dots of a curve, a number for each column; and the dots (column, row) of points that nothing is joined to."""

    masks: list[int]
    lone: list[tuple[int, int]]


class Layer(NamedTuple):
    """A drawn curve over those before it; a ghost is hidden by whatever lies over it."""

    masks: list[int]
    tone: Tone
    is_ghost: bool = False


def drawn(bins: Sequence[Bin], scale: Scale, columns: int, rows: int) -> Drawn:
    """A curve as dots: every bin a line from its least to its greatest, joined to its neighbours except over a gap."""
    masks = [0] * columns
    lone: list[tuple[int, int]] = []
    before: tuple[float, float] | None = None
    for index, one in enumerate(bins):
        if one.is_empty:
            before = None
            continue
        column = one.column
        is_joined = before is not None and not math.isnan(one.first)
        if before is not None and is_joined:
            _line(masks, rows, before, (column, _row(scale, one.first, rows)))
        before = None if math.isnan(one.last) else (column, _row(scale, one.last, rows))
        if not 0 <= column < columns:
            continue
        high, low = round(_row(scale, one.high, rows)), round(_row(scale, one.low, rows))
        masks[int(column)] |= _run(high, low, rows)
        is_alone = one.low == one.high and not is_joined
        if is_alone and (before is None or index + 1 == len(bins) or math.isnan(bins[index + 1].first)):
            lone.append((int(column), high))
    return Drawn(masks, lone)


def row_of(scale: Scale, value: float, rows: int) -> int:
    """The row of dots that a value is in, from the top; one that lies outside the scale has none among `rows`."""
    return round(_row(scale, value, rows))


def _row(scale: Scale, value: float, rows: int) -> float:
    return (1.0 - scale.share(value)) * (rows - 1)


def _run(top: int, bottom: int, rows: int) -> int:
    """The dots of a column from one row to another, as far as they are in sight."""
    top, bottom = max(0, min(top, bottom)), min(rows - 1, max(top, bottom))
    return ((1 << (bottom - top + 1)) - 1) << top if top <= bottom else 0


def _line(masks: list[int], rows: int, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Join two dots. A flat line has one dot in each column, a steep one no hole in any."""
    (from_column, from_row), (to_column, to_row) = start, end
    if to_column <= from_column:
        return
    slope = (to_row - from_row) / (to_column - from_column)
    half = 0.5 if abs(slope) > 1 else 0.0
    for column in range(max(0, math.ceil(from_column)), min(len(masks) - 1, math.floor(to_column)) + 1):
        above = from_row + slope * (max(column - half, from_column) - from_column)
        below = from_row + slope * (min(column + half, to_column) - from_column)
        masks[column] |= _run(round(above), round(below), rows)


def composed(layers: Sequence[Layer], width: int, height: int, dots: Dots) -> tuple[list[str], list[Tone]]:
    """The cells of all layers, row by row: a character each ("" where nothing is), and the tone of each.

    Where thin lines share a cell it shows the dots of all, and their tones take turns every other cell, so that no
    curve hides another that runs under it. Elsewhere the upper one hides what lies under it.
    """
    codes = [0] * (width * height)
    tones: list[Tone] = [""] * (width * height)
    sharing = bytearray(width * height)
    high = dots.high
    full = (1 << high) - 1
    is_thin = _THIN[dots]
    for layer in layers:
        masks, tone = layer.masks, layer.tone
        for cell in range(width):
            left, right = masks[2 * cell], masks[2 * cell + 1]
            either = left | right
            if not either:
                continue
            turn = cell // 2
            for row in range(((either & -either).bit_length() - 1) // high, (either.bit_length() - 1) // high + 1):
                shift = row * high
                code = (left >> shift) & full | ((right >> shift) & full) << high
                if not code:
                    continue
                at = row * width + cell
                others = sharing[at]
                if others and is_thin[code] and is_thin[codes[at]]:
                    codes[at] |= code
                    if turn % (others + 1) == others:
                        tones[at] = tone
                else:
                    codes[at] = code
                    tones[at] = tone
                if not layer.is_ghost:
                    sharing[at] = min(others + 1, 200)
    glyphs = _GLYPHS[dots]
    return [glyphs[code] for code in codes], tones


_LEFT, _RIGHT = (0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)
_QUADRANTS = ("", *"▘▖▌▝▀▞▛▗▚▄▙▐▜▟█")


def _braille(code: int) -> str:
    bits = (*_LEFT, *_RIGHT)
    return chr(0x2800 + sum(bits[place] for place in range(8) if code >> place & 1)) if code else ""


_GLYPHS = {Dots.BRAILLE: tuple(map(_braille, range(256))), Dots.BLOCKS: _QUADRANTS}
_THIN = {
    Dots.BRAILLE: tuple(code.bit_count() <= 4 for code in range(256)),
    Dots.BLOCKS: tuple(code.bit_count() <= 2 for code in range(16)),
}
