"""What a dataset is, or why it is of no use, as lines under its field. Pure."""

from opsconsole_console import format as fmt
from opsconsole_console.screen.part.facts import wrapped
from opsconsole_console.screen.part.line_view import Line
from opsconsole_console.widget.cell import Cell, cell, crop, width
from opsconsole_protocol.api import DatasetAnswer
from opsconsole_protocol.dataset import DatasetColumn, DatasetDescription, JobDataset, format_words

_COLUMN_LINES_MAX, _ROWS_MAX = 3, 3
_VALUE_CELLS_MAX = 14
_GAP = 2


def answer_lines(dataset: JobDataset, answer: DatasetAnswer, cells: int) -> list[Line]:
    """What a worker says of it."""
    if answer.description is None:
        reason = answer.fault.words if answer.fault is not None else "nothing is known of it"
        return refusal_lines(dataset, reason, cells)
    found = answer.description
    lead = f"✓ {dataset.name}: " if dataset.name else "✓ "
    lines = wrapped(f"{_size(found)}, on {answer.worker}", cells, first=lead, rest="  ", lead_tone="state-succeeded")
    if found.splits:
        lines += wrapped(
            "splits " + ", ".join(_split(one.name, one.rows) for one in found.splits), cells, rest="  ", first="  "
        )
    lines += _columns(found, cells)
    lines += _rows(found, cells)
    if found.note:
        lines += wrapped(found.note, cells, "state-paused", first="! ", rest="  ")
    return lines


def refusal_lines(dataset: JobDataset, reason: str, cells: int) -> list[Line]:
    """Why it is of no use."""
    lead = f"✗ {dataset.name}: " if dataset.name else "✗ "
    return wrapped(reason, cells, "state-failed", first=lead, rest="  ", lead_tone="state-failed")


def waiting_lines(dataset: JobDataset, text: str, cells: int) -> list[Line]:
    """Nothing is known yet."""
    lead = f"  {dataset.name}: " if dataset.name else "  "
    return wrapped(text, cells, "text-muted", first=lead, rest="  ")


def _size(found: DatasetDescription) -> str:
    kind = format_words(found.format, found.compression)
    rows = "rows not counted" if found.rows is None else fmt.plural(found.rows, "row")
    files = [fmt.plural(found.files, "file")] if found.files > 1 else []
    return ", ".join([kind, rows, fmt.plural(found.columns_total, "column"), *files, fmt.size(found.size_bytes)])


def _split(name: str, rows: int | None) -> str:
    return f"{name or '(none)'} {'?' if rows is None else f'{rows:,}'}"


def _columns(found: DatasetDescription, cells: int) -> list[Line]:
    lines = wrapped(" · ".join(map(_column, found.columns)), cells, "text-muted", first="  ", rest="  ")
    if len(lines) > _COLUMN_LINES_MAX:
        lines = [
            *lines[: _COLUMN_LINES_MAX - 1],
            Line(cell(f"  … {found.columns_total:,} columns in all", "text-muted")),
        ]
    return lines


def _column(one: DatasetColumn) -> str:
    nulls = f" ({one.nulls:,} null{'s' * (one.nulls != 1)})" if one.nulls else ""
    return f"{one.name} {one.type}{nulls}"


def _rows(found: DatasetDescription, cells: int) -> list[Line]:
    """The first rows, of as many columns as fit, under the columns' names."""
    rows = [tuple(one.name for one in found.columns), *found.first_rows[:_ROWS_MAX]]
    if len(rows) < 2:
        return []
    texts = [[crop(" ".join(value.split()), _VALUE_CELLS_MAX) for value in row] for row in rows]
    widths: list[int] = []
    room = cells - 2
    for place in range(min(map(len, texts))):
        widest = max(width(row[place]) for row in texts)
        if room < widest:
            break
        widths.append(widest)
        room -= widest + _GAP
    return [
        Line(Cell((("  ", ""), (_line(row, widths), "" if number else "bold")))) for number, row in enumerate(texts)
    ]


def _line(row: list[str], widths: list[int]) -> str:
    return (" " * _GAP).join(text + " " * (wide - width(text)) for text, wide in zip(row, widths, strict=False))
