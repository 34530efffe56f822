"""What goes to stdout and stderr: results on the one, words for people on the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO, TypeVar

from opsconsole_console.visible import clean, escape_json
from opsconsole_protocol.state import TaskState

Row = TypeVar("Row")


def put(*lines: str) -> None:
    """Lines on stdout; what would act on a terminal is shown as a sign.

    A line end within one becomes a space: it came with what others wrote, and could forge a line of ours.
    """
    _write("\n".join(map(clean, lines)))


def put_text(text: str) -> None:
    """A text for a program, on stdout: as it is in a file or a pipe, and line by line as `put` shows it on a terminal."""
    if sys.stdout.isatty():
        put(*text.splitlines())
    else:
        _write(text.removesuffix("\n"))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


def say(*lines: str) -> None:
    """Lines for the person, on stderr, at once; cleaned as `put` does it."""
    sys.stderr.write("\n".join(map(clean, lines)) + "\n")
    sys.stderr.flush()


def cut_list(rows: list[Row], limit: int, which: str) -> list[Row]:
    """At most `limit` rows of a list that was asked for one more; says on stderr that there are others. `which`: the newest, the first."""
    if len(rows) <= limit:
        return rows
    say(f"{which} {limit:,} are listed, and there are more: -n N lists up to N")
    return rows[:limit]


def put_json(*objects: Any) -> None:
    """One object a line, every field present."""
    import msgspec

    encoder = msgspec.json.Encoder()
    for one in objects:
        _write(escape_json(encoder.encode(plain(one)).decode(), sys.stdout.encoding or "utf-8"))


def plain(value: Any) -> Any:
    """Structs as dictionaries with every field, also those that the wire leaves out when they hold their default."""
    import msgspec

    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {told: plain(getattr(value, name)) for told, name in names}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    return value


def is_coloured(stream: TextIO) -> bool:
    """Whether to colour what goes there (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


_GREEN, _CYAN, _YELLOW, _RED = "32", "36", "33", "31"
_COLOURS: Mapping[str, str] = {
    **dict.fromkeys((TaskState.RUNNING, TaskState.SUCCEEDED), _GREEN),
    **dict.fromkeys((TaskState.ASSIGNED, TaskState.BUILDING), _CYAN),
    **dict.fromkeys((TaskState.PAUSED, TaskState.HELD, TaskState.BLOCKED, TaskState.PREEMPTED), _YELLOW),
    **dict.fromkeys((TaskState.FAILED, TaskState.KILLED, TaskState.WORKER_FAILED, TaskState.UNSCHEDULABLE), _RED),
}


def put_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Aligned columns; on a terminal the last one is cut at the edge, and states in a column STATE are coloured."""
    header = tuple(map(clean, header))
    cells = [tuple(map(clean, row)) for row in rows]
    widths = [max(width_of(row[place]) for row in (header, *cells)) for place in range(len(header))]
    edge = _terminal_columns()
    coloured = is_coloured(sys.stdout)
    for number, row in enumerate((header, *cells)):
        padded = [cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True)]
        padded[-1] = row[-1] if edge is None else cut(row[-1], max(8, edge - sum(widths[:-1]) - 2 * len(widths) + 2))
        if coloured:
            for place, name in enumerate(header):
                if number == 0:
                    padded[place] = f"\x1b[1m{padded[place]}\x1b[0m"
                elif name == "STATE" and (colour := _COLOURS.get(row[place])):
                    padded[place] = f"\x1b[{colour}m{padded[place]}\x1b[0m"
        _write("  ".join(padded).rstrip())


def width_of(text: str) -> int:
    """Cells that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def cut(text: str, cells: int) -> str:
    """The text in at most `cells` cells, with … for what is left out."""
    if width_of(text) <= cells:
        return text
    while text and width_of(text) > cells - 1:
        text = text[:-1]
    return text + "…"


def _terminal_columns() -> int | None:
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except OSError:
        return None
