"""The lines that name the curves, with their values where the cursor is or else their last ones. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from opsconsole_console import format as fmt
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Span, Tone, crop, fit, width
from opsconsole_console.widget.curve.scale import figure

SIGNS = "●◆▲■▼○◇△□▽"
"""What tells curves apart where colours don't; one cell each, and none with an emoji form."""

_GAP = "   "
_NAME_CELLS_MAX = 28
_VALUE_CELLS = 7
_HEAD_CELLS = 14
_WIDE_CELLS = 60


class Entry(NamedTuple):
    """A curve in the legend: its value (None: none there), and the smoothed one where it is smoothed."""

    sign: str
    tone: Tone
    name: str
    value: float | None
    smoothed: float | None = None

    def spans(self) -> list[Span]:
        value = fmt.NOTHING if self.value is None else figure(self.value)
        parts: list[Span] = [
            (f"{self.sign} ", self.tone),
            (crop(clean(self.name), _NAME_CELLS_MAX) + " ", "text-muted"),
            (value.ljust(_VALUE_CELLS), "bold"),
        ]
        if self.smoothed is not None:
            parts.append((f" ≈{figure(self.smoothed)}".ljust(_VALUE_CELLS + 2), self.tone))
        return parts


def legend(head: str, entries: Sequence[Entry], status: str, cells: int, lines_max: int) -> list[list[Span]]:
    """At most `lines_max` lines of exactly `cells` cells: where we are, the entries, and at the right how it is drawn.

    Entries that don't fit are counted at the end.
    """
    start: list[Span] = [(head.ljust(_HEAD_CELLS), "bold")] if head else []
    indent: list[Span] = [(" " * _HEAD_CELLS, "")] if head and cells >= _WIDE_CELLS else []
    lines = [start]
    shown_status = status if width(status) + 20 <= cells else ""
    for place, entry in enumerate(entries):
        spans = entry.spans()
        is_last_line = len(lines) == lines_max
        is_last = place == len(entries) - 1
        reserve = width(shown_status) + 2 if len(lines) == 1 and shown_status else 0
        more = 0 if is_last or not is_last_line else width(_more(len(entries) - place - 1)) + len(_GAP)
        gap = len(_GAP) if lines[-1] else 0
        if _cells(lines[-1]) + gap + _cells(spans) + reserve + more <= cells:
            lines[-1] += [(_GAP, ""), *spans] if lines[-1] else spans
        elif not is_last_line and lines[-1]:
            lines.append([*indent, (_GAP, ""), *spans] if indent else spans)
        else:
            lines[-1] += [(_GAP, ""), (_more(len(entries) - place), "text-muted")]
            break
    first = fit(lines[0], cells - width(shown_status))
    return [[*first, (shown_status, "text-muted")], *(fit(line, cells) for line in lines[1:])]


def _more(count: int) -> str:
    return f"+{count} more"


def _cells(spans: Sequence[Span]) -> int:
    return sum(width(text) for text, _ in spans)
