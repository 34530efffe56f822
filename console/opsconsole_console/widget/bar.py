"""Progress bars in eighths of a cell. Pure."""

from opsconsole_console import format as fmt
from opsconsole_console.widget.cell import Cell

_EIGHTHS = (" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_FULL = "█"
_PERCENT_CELLS = 5


def bar(fraction: float | None, cells: int) -> str:
    """A bar of exactly `cells` cells; what is under way is never empty and never full. None and zero give an empty one.

    >>> bar(0.45, 10)
    '████▌     '
    """
    if fraction is None or fraction <= 0 or cells <= 0:
        return " " * max(0, cells)
    eighths = round(min(1.0, fraction) * cells * 8)
    if fraction < 1:
        eighths = min(eighths, cells * 8 - 1)
    whole, rest = divmod(max(1, eighths), 8)
    drawn = _FULL * whole + (_EIGHTHS[rest] if rest else "")
    return drawn.ljust(cells)


def progress(fraction: float | None, cells: int, tone: str = "bar", label_tone: str = "") -> Cell:
    """A bar and its figure in exactly `cells` cells (`████▌   41 %`); below nine cells only the figure."""
    label = fmt.percent(fraction).rjust(_PERCENT_CELLS)
    if cells < _PERCENT_CELLS + 4:
        return Cell(((label.rjust(cells), label_tone),))
    return Cell(((bar(fraction, cells - _PERCENT_CELLS - 1) + " ", tone), (label, label_tone)))


def meter(fraction: float | None, cells: int, tone: str = "bar", track_tone: str = "bar-track") -> Cell:
    """A thin meter with its track, for one line of a panel: `━━━━━━╸───`."""
    if cells <= 0:
        return Cell(())
    share = 0.0 if fraction is None else min(1.0, max(0.0, fraction))
    halves = round(share * cells * 2)
    whole, half = divmod(halves, 2)
    filled = "━" * whole + ("╸" if half else "")
    return Cell(((filled, tone), ("─" * (cells - len(filled)), track_tone)))
