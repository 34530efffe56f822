"""Where the cursor goes: from real point to real point, at least a cell further. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from opsconsole_console.widget.curve.series import Series


def stepped(series: Sequence[Series], x: float, by: float) -> float:
    """The x of the first point at least as far away as `by` (to the left where that is negative), or of the last one."""
    if by >= 0:
        after = [one.x[place] for one in series if (place := bisect_left(one.x, x + by)) < len(one)]
        return min(after) if after else max((one.x[-1] for one in series if len(one)), default=x)
    before = [one.x[place] for one in series if (place := bisect_right(one.x, x + by) - 1) >= 0]
    return max(before) if before else min((one.x[0] for one in series if len(one)), default=x)


def snapped(series: Sequence[Series], x: float) -> float:
    """The x of the nearest point; x itself where there is none."""
    after = [one.x[place] for one in series if (place := bisect_left(one.x, x)) < len(one)]
    before = [one.x[place] for one in series if (place := bisect_right(one.x, x) - 1) >= 0]
    return min([*after, *before], key=lambda found: abs(found - x), default=x)
