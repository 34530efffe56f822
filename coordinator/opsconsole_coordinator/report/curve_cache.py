"""The curves that somebody looks at, kept between two looks: only what was appended since is read and thinned.

What is answered is what a fresh reading of all points would give. A curve is made anew where what came since isn't simply behind it:
a step that was there before, a further point of an earlier attempt, a metric reported that was only recognised so far.

Made for threads: a curve is with one of them at a time, and whoever finds it gone makes another.
"""

import operator
import threading
from array import array
from collections import OrderedDict
from dataclasses import dataclass

from opsconsole_coordinator.report.folder import Place, ReportFolder
from opsconsole_coordinator.report.run import merged
from opsconsole_coordinator.report.series import Points, Series, Window
from opsconsole_coordinator.report.thinning import Curve
from opsconsole_protocol.ids import AttemptId

CACHED_POINTS_MAX = 1_000_000
"""Points of all curves that are kept, 16 bytes each."""
CURVE_POINTS_MAX = 20_000
"""A curve that is asked for with more points isn't kept."""
_OVERHEAD_POINTS = 100
"""What a curve without points takes, in points."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which curve: a metric over the attempts of a task, oldest first; over steps, or over time (Unix ms)."""

    attempt_ids: tuple[AttemptId, ...]
    name: str
    over_time: bool
    window: Window
    points_max: int


@dataclass(slots=True)
class _Kept:
    curve: Curve
    places: list[Place]
    """Up to where each attempt was read."""
    first_step: float = -float("inf")
    """Of the last attempt that has points; below it, an earlier attempt's points would have to go."""


class CurveCache:
    """See the module."""

    def __init__(self, reports: ReportFolder) -> None:
        self._reports = reports
        self._lock = threading.Lock()
        self._kept: OrderedDict[Asked, _Kept] = OrderedDict()
        self._size = 0

    def points(self, asked: Asked) -> Points:
        """The points of a curve as it is now. Raises OSError."""
        with self._lock:
            kept = self._kept.pop(asked, None)
            if kept is not None:
                self._size -= _size(kept)
        if kept is None or not self._is_extended(kept, asked):
            kept = self._made(asked)
        if asked.points_max <= CURVE_POINTS_MAX:
            self._keep(asked, kept)
        return kept.curve.points()

    def _keep(self, asked: Asked, kept: _Kept) -> None:
        with self._lock:
            before = self._kept.pop(asked, None)
            self._kept[asked] = kept
            self._size += _size(kept) - (0 if before is None else _size(before))
            while self._size > CACHED_POINTS_MAX:
                _, oldest = self._kept.popitem(last=False)
                self._size -= _size(oldest)

    def _made(self, asked: Asked) -> _Kept:
        read = [self._reports.points_since(one, asked.name) for one in asked.attempt_ids]
        found = [(Series(), Place()) if one is None else one for one in read]
        run = merged([{asked.name: series} for series, _ in found]).get(asked.name, Series())
        kept = _Kept(Curve(asked.window, asked.points_max), [place for _, place in found])
        with_points = [series for series, _ in found if series.steps]
        if len(with_points) > 1:
            kept.first_step = min(with_points[-1].steps)
        kept.curve.extend(*(run.by_time() if asked.over_time else run.by_step()))
        return kept

    def _is_extended(self, kept: _Kept, asked: Asked) -> bool:
        """Add what came since; False where that isn't simply behind what was there."""
        had_points = [place.count > 0 for place in kept.places]
        for number, attempt_id in enumerate(asked.attempt_ids):
            read = self._reports.points_since(attempt_id, asked.name, kept.places[number])
            if read is None:
                return False
            series, kept.places[number] = read
            if not series.steps:
                continue
            if any(had_points[number + 1 :]) or (not had_points[number] and any(had_points)):
                return False
            if not _append(kept, series, over_time=asked.over_time):
                return False
            had_points[number] = True
        return True


def _append(kept: _Kept, series: Series, *, over_time: bool) -> bool:
    if min(series.steps) < kept.first_step:
        return False
    latest = kept.curve.last_x
    if over_time:
        times = array("d", [latest := max(latest, one) for one in series.at_ms])
        kept.curve.extend(times, series.values)
        return True
    if series.steps[0] <= latest or not all(map(operator.lt, series.steps, series.steps[1:])):
        return False
    kept.curve.extend(series.steps, series.values)
    return True


def _size(kept: _Kept) -> int:
    return len(kept.curve) + _OVERHEAD_POINTS
