"""What goes to stdout and stderr: results on the one, words for people on the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from opsconsole_console.visible import clean, escape_json


def put(*lines: str) -> None:
    """Lines on stdout; what would act on a terminal is shown as a sign.

    A line end within one becomes a space: it came with what others wrote, and could forge a line of ours.
    """
    _write("\n".join(map(clean, lines)))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


def say(*lines: str) -> None:
    """The same for the person on stderr, at once."""
    sys.stderr.write("\n".join(map(clean, lines)) + "\n")
    sys.stderr.flush()


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
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    return value


def is_coloured(stream: TextIO) -> bool:
    """Whether to colour what goes there (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


_COLOURS = {
    "running": "32", "succeeded": "32", "available": "32", "connected": "32",
    "busy": "36", "reserved": "36", "building": "36", "assigned": "36",
    "paused": "33", "held": "33", "blocked": "33", "maintenance": "33", "silent": "33", "preempted": "33",
    "failed": "31", "killed": "31", "worker_failed": "31", "unschedulable": "31", "lost": "31",
}  # fmt: skip


def put_table(
    header: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, states: frozenset[str] = frozenset()
) -> None:
    """Aligned columns; on a terminal the last one is cut at the edge, and columns named in `states` are coloured."""
    cells = [tuple(clean(cell) for cell in row) for row in rows]
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
                elif name in states and (colour := _COLOURS.get(row[place].split(" ")[0])):
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
    """At most so many cells, with … for what is left out."""
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
