"""Small histories and levels in block characters. Pure."""

from collections.abc import Sequence
from math import isnan

from opsconsole_console.widget.cell import Cell, Span

BLOCKS = "▁▂▃▄▅▆▇█"
UNKNOWN = "·"

_LEVELS = ((90.0, "gpu-hot"), (60.0, "gpu-busy"), (10.0, "gpu-warm"), (float("-inf"), "gpu-idle"))


def sparkline(values: Sequence[float | None], maximum: float = 100.0) -> str:
    """One block a value between 0 and `maximum`, cut off outside; a value that isn't known is a dot.

    >>> sparkline([0, 50, 100, None])
    '▁▅█·'
    """
    return "".join(_block(value, maximum) for value in values)


def window(values: Sequence[float | None], cells: int) -> list[float | None]:
    """The newest `cells` values, with unknown ones in front where there are fewer."""
    newest = list(values[-cells:]) if cells > 0 else []
    return [None] * (cells - len(newest)) + newest


def utilisation(values_percent: Sequence[float | None]) -> Cell:
    """A sparkline whose blocks are toned by how busy each value (0 to 100) is."""
    spans: list[Span] = []
    for value in values_percent:
        tone = level_tone(value)
        block = _block(value, 100.0)
        if spans and spans[-1][1] == tone:
            spans[-1] = (spans[-1][0] + block, tone)
        else:
            spans.append((block, tone))
    return Cell(tuple(spans))


def level_tone(value_percent: float | None) -> str:
    """The tone for a level between 0 and 100: `gpu-idle`, `-warm`, `-busy`, `-hot`; `text-disabled` for None."""
    if value_percent is None:
        return "text-disabled"
    return next(tone for at_least, tone in _LEVELS if value_percent >= at_least)


def _block(value: float | None, maximum: float) -> str:
    if value is None or isnan(value) or maximum <= 0:
        return UNKNOWN
    index = round(value / maximum * (len(BLOCKS) - 1))
    return BLOCKS[max(0, min(len(BLOCKS) - 1, index))]
