"""How much of what is recognised becomes lines of a report, so that no script fills it. Pure.

A short run keeps every point. A long one has LINES_PER_S of them at first, and half as many after each STAGE_BYTES: so a report
grows by that much in an hour, then in two, in four, and takes years to reach its limit.
"""

from collections.abc import Sequence

from opsconsole_agent.recognise.stream import Finding

LINES_AT_ONCE = 2_000
LINES_PER_S = 20.0
STAGE_BYTES = 8 << 20
LAST_KINDS_MAX = 16
"""Sets of metrics of which the last values are kept in any case."""


class Pace:
    """A bucket of lines. `written`: how many bytes of them there are."""

    def __init__(self, written: int = 0) -> None:
        self.written = written
        self._lines = float(LINES_AT_ONCE)
        self._at_ms: int | None = None

    def allowed(self, now_ms: int) -> int:
        """The number of lines that may be written now."""
        if self._at_ms is not None:
            gained = max(0, now_ms - self._at_ms) / 1000 * LINES_PER_S / 2 ** (self.written // STAGE_BYTES)
            self._lines = min(float(LINES_AT_ONCE), self._lines + gained)
        self._at_ms = now_ms
        return max(0, int(self._lines))

    def spend(self, lines: int, size: int) -> None:
        """Count what was written: lines, and bytes of them."""
        self._lines -= lines
        self.written += size


def thinned(found: Sequence[Finding], most: int) -> list[Finding]:
    """Choose about `most` of them, evenly, and the last of each set of metrics."""
    if len(found) <= most:
        return list(found)
    last = {tuple(one.values): place for place, one in enumerate(found)}
    kept = {int((place + 1) * len(found) / most) - 1 for place in range(most)} | set(
        list(last.values())[-LAST_KINDS_MAX:]
    )
    return [found[place] for place in sorted(kept)]
