"""Which part of the x axis is seen. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from opsconsole_console.widget.curve.series import LARGEST, Series

_FINEST = 1e-12
"""The least span of a window as a share of its values; finer ones would come to the end of what a float can tell apart."""


class Window(NamedTuple):
    """From `low` to `high`, which is greater."""

    low: float
    high: float

    @property
    def span(self) -> float:
        return self.high - self.low

    def at(self, share: float) -> float:
        """The x at a share of the width, from 0 to 1."""
        return self.low + self.span * share

    def share(self, x: float) -> float:
        """Where an x is: 0 at the left edge, 1 at the right one."""
        return (x - self.low) / self.span

    def zoomed(self, factor: float, around: float, whole: "Window") -> "Window":
        """`factor` times as narrow, with `around` staying where it is; never more than the whole."""
        span = self.span / factor
        low = around - span * self.share(around)
        return widened(low, low + span).within(whole)

    def panned(self, share: float, whole: "Window") -> "Window":
        """Moved to the right by a share of the width, up to the end of the whole."""
        return Window(self.low + self.span * share, self.high + self.span * share).within(whole)

    def within(self, whole: "Window") -> "Window":
        """As wide, moved to where it lies in the whole; the whole where it is as wide as that."""
        if self.span >= whole.span * (1 - 1e-9):
            return whole
        if self.low < whole.low:
            return widened(whole.low, whole.low + self.span)
        if self.high > whole.high:
            return widened(whole.high - self.span, whole.high)
        return self


def widened(low: float, high: float) -> Window:
    """A window that is never too narrow to be drawn: a single value stands in its middle."""
    low, high = max(-LARGEST, low), min(LARGEST, high)
    least = max(abs(low), abs(high)) * _FINEST
    if high - low > max(least, 1e-290):
        return Window(low, high)
    half = max(abs(low) * _FINEST * 10, 0.5)
    return Window(low - half, high + half)


def whole(series: Iterable[Series]) -> Window | None:
    """The window that shows all points; None where there are none."""
    spans = [span for one in series if (span := one.span()) is not None]
    return widened(min(low for low, _ in spans), max(high for _, high in spans)) if spans else None
