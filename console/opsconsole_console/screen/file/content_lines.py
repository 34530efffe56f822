"""What is in a file, as lines for a terminal. Pure."""

import re
from collections.abc import Iterable, Sequence

from rich.style import Style

from opsconsole_console.model.file_hex import hex_lines
from opsconsole_console.model.file_table import ShownTable
from opsconsole_console.model.file_tree import ShownSpan
from opsconsole_console.visible import clean
from opsconsole_console.widget import ansi
from opsconsole_console.widget.cell import Cell, cell, crop, width

LINE_CHARACTERS_MAX = 10_000
_COLUMN_CELLS_MAX = 40
_GAP = "  "
_LINE_END = re.compile(r"\r?\n")
_TONES = {"key": "primary", "string": "state-succeeded", "number": "accent", "word": "state-paused"}


def text_lines(text: str) -> list[Cell]:
    """Lines of text or of a log, with their colours; a carriage return starts the line over, nothing else acts."""
    lines = _LINE_END.split(text)
    if lines and not lines[-1]:
        lines.pop()
    return [_painted(line) for line in lines]


def _painted(line: str) -> Cell:
    if line.isascii() and line.isprintable() and len(line) <= LINE_CHARACTERS_MAX:
        return cell(line)
    painted = ansi.paint(line[:LINE_CHARACTERS_MAX])
    spans: list[tuple[str, object]] = []
    place = 0
    for start, end, style in painted.spans:
        spans += [(painted.text[place:start], ""), (painted.text[start:end], style)]
        place = end
    spans.append((painted.text[place:], ""))
    left_out = painted.left_out + max(0, len(line) - LINE_CHARACTERS_MAX)
    if left_out:
        spans.append((f" … [cut: {left_out:,} characters]", "text-muted"))
    return Cell(tuple((text, tone) for text, tone in spans if text))  # type: ignore[misc]


def table_lines(table: ShownTable) -> tuple[Cell, list[Cell]]:
    """The heading of a table, and its rows, in columns as wide as what is in them."""
    names = [_value(name) for name in table.columns]
    rows = [[_value(value) for value in row] for row in table.rows]
    widths = [
        max(1, width(name), *(width(row[index]) for row in rows)) if rows else max(1, width(name))
        for index, name in enumerate(names)
    ]
    heading = _row(names, widths, table.numeric, "bold")
    return heading, [_row(row, widths, table.numeric, "") for row in rows]


def _value(text: str) -> str:
    return crop(clean(text), _COLUMN_CELLS_MAX)


def _row(values: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], tone: str) -> Cell:
    parts = []
    for value, cells, is_number in zip(values, widths, numeric, strict=True):
        padding = " " * (cells - width(value))
        parts.append(padding + value if is_number else value + padding)
    return cell(_GAP.join(parts), tone)


def tree_lines(lines: Iterable[Sequence[ShownSpan]]) -> list[Cell]:
    """JSON in colours."""
    return [Cell(tuple((text, _TONES.get(what, "")) for text, what in line)) for line in lines]


def binary_lines(data: bytes, offset: int = 0) -> list[Cell]:
    """A hex dump."""
    return [
        Cell(((place, "text-muted"), (f"  {groups}  ", ""), (text, "primary"))) for place, groups, text in hex_lines(data, offset)
    ]  # fmt: skip


def picture_lines(lines: Iterable[Sequence[tuple[str, str]]]) -> list[Cell]:
    """Half blocks in their colours."""
    return [Cell(tuple((text, Style.parse(tone)) for text, tone in line)) for line in lines]


def note_line(text: str) -> Cell:
    """A line that the console says, and not the file."""
    return cell(text, "state-paused")
