"""Labels and values as lines. Pure."""

from collections.abc import Iterable, Sequence

from opsconsole_console.screen.part.line_view import BLANK, Line
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Cell, cell, fit, joined, split, width

LABEL_CELLS = 11


def fact(label: str, value: str | Cell, label_cells: int = LABEL_CELLS) -> Line:
    """`     label  value`."""
    content = cell(value) if isinstance(value, str) else value
    return Line(Cell(((f"{label:>{label_cells}}  ", "text-muted"),)) + content)


def facts(pairs: Iterable[tuple[str, str | Cell]], label_cells: int = LABEL_CELLS) -> list[Line]:
    """One line a pair; pairs without a value are left out."""
    return [
        fact(label, value, label_cells) for label, value in pairs if (value.text if isinstance(value, Cell) else value)
    ]


def side_by_side(left: Sequence[Line], right: Sequence[Line], left_cells: int) -> list[Line]:
    """Two columns of lines, the left one padded to `left_cells`."""
    lines = []
    for index in range(max(len(left), len(right))):
        one = left[index].left if index < len(left) else BLANK.left
        two = right[index].left if index < len(right) else BLANK.left
        fitted = Cell(tuple(fit(one.spans, left_cells - 1)))
        lines.append(Line(fitted + cell(" ") + two))
    return lines


def wrapped(
    text: str, cells: int, tone: str = "", first: str = "", rest: str = "", lead_tone: str = "text-muted"
) -> list[Line]:
    """Text over as many lines as it needs, broken at spaces where there are any; `first` and `rest` stand before it."""
    lines: list[Line] = []
    left = clean(text)
    lead = first
    while True:
        room = max(8, cells - width(lead))
        part, left = _broken(left, room)
        lines.append(Line(joined((cell(lead, lead_tone), cell(part, tone)), gap="")))
        if not left:
            return lines
        lead = rest


def broken_lines(text: str, cells: int) -> list[str]:
    """Lines of text, each over as many lines as it needs."""
    return [line.left.text for part in text.split("\n") for line in wrapped(part, cells)]


def _broken(text: str, cells: int) -> tuple[str, str]:
    part, left = split(text, cells)
    if not left:
        return part, ""
    if left.startswith(" "):
        return part, left.lstrip(" ")
    place = part.rfind(" ")
    if place > cells // 3:
        return part[:place], part[place + 1 :] + left
    return part, left
