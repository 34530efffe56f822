"""What metrics cost: `report()` in a task's loop, the points that are stored a second, and a picture of a million of them."""

import json
import os
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from bench.row import Row
from opsconsole import task
from opsconsole_console.widget.curve.chart import Manner, Sheet, draw
from opsconsole_console.widget.curve.series import Series as Curve
from opsconsole_console.widget.curve.window import whole
from opsconsole_coordinator.report.curve_cache import Asked, CurveCache
from opsconsole_coordinator.report.folder import ReportFolder
from opsconsole_coordinator.report.run import merged
from opsconsole_coordinator.report.series import Window
from opsconsole_coordinator.report.thinning import thin
from opsconsole_protocol.ids import AttemptId

CALLS = 50_000
REPORT_US = 50
"""For a call with one metric, at most: a loop of 1,000 steps a second would lose a twentieth."""
POINTS = 1_000_000
CHUNK_BYTES = 64 * 1024
POINTS_S = 100_000
NEW_POINTS = 2_000
"""Between two looks of a console, 2 s apart."""
PICTURE_POINTS = 10_000
"""What the console asks for."""
CELLS, LINES = 160, 45
DRAW_MS = 50
_ATTEMPT = AttemptId("bench00000.0.0.0000")


def run(base: Path) -> Iterator[Row]:
    """Yield a row for each figure. Times are of one thread's processor, so that what else the machine does counts less."""
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-", dir=base) as folder:
        yield from _report(Path(folder))
        yield from _store(Path(folder))
        yield from _pictures(Path(folder))


def _report(folder: Path) -> Iterator[Row]:
    """A call of `report()`, beside a loop that does nothing."""
    values = {f"metric/{number}": 0.5 + number for number in range(10)}
    one_us = _call_us(folder / "one", lambda step: task.report(step=step, loss=0.31))
    ten_us = _call_us(folder / "ten", lambda step: task.report(values, step=step))
    method = f"{CALLS:,} calls in a loop; processor time of one thread, the write to the file included"
    bar = f"≤ {REPORT_US} µs"
    yield Row(
        "metrics", "report() with one metric", f"{one_us:.1f} µs a call", method, bar=bar, met=one_us <= REPORT_US
    )
    yield Row("metrics", "report() with ten metrics", f"{ten_us:.1f} µs a call", method)
    with mock.patch.dict(os.environ):
        os.environ.pop("OPSCONSOLE_REPORT", None)
        outside_us = _per_call_us(lambda step: task.report(step=step, loss=0.31))
    yield Row("metrics", "report() outside of a task", f"{outside_us:.2f} µs a call", method)


def _call_us(path: Path, call: Callable[[int], None]) -> float:
    with mock.patch.dict(os.environ, OPSCONSOLE_REPORT=str(path)):
        us = _per_call_us(call)
    assert path.read_bytes().count(b"\n") == CALLS
    return us


def _per_call_us(call: Callable[[int], None]) -> float:
    with _thread_time() as took:
        for step in range(CALLS):
            call(step)
    with _thread_time() as empty:
        for _ in range(CALLS):
            pass
    return (took[0] - empty[0]) / CALLS * 1e6


def _store(folder: Path) -> Iterator[Row]:
    """What the coordinator does with lines as they come, to the block on the disk."""
    for metrics in (1, 10):
        reports = ReportFolder(folder / f"reports-{metrics}")
        data = b"".join(_line(step, metrics) for step in range(POINTS // metrics))
        began_s = time.monotonic()
        with _thread_time() as took:
            for start in range(0, len(data), CHUNK_BYTES):
                reports.append(_ATTEMPT, start, data[start : start + CHUNK_BYTES], 0)
            reports.seal(_ATTEMPT)
        wall_s = time.monotonic() - began_s
        size = sum(path.stat().st_size for path in (folder / f"reports-{metrics}").rglob("*") if path.is_file())
        rate = POINTS / took[0]
        yield Row(
            "metrics", f"points stored, {metrics} in a line", f"{rate:,.0f} /s, {size / POINTS:.1f} B each",
            f"{POINTS:,} points of one attempt in chunks of 64 KiB, read, stored and put into blocks; processor time of one "
            f"thread ({wall_s:.1f} s on the clock)",
            bar=f"≥ {POINTS_S:,} /s", met=rate >= POINTS_S,
        )  # fmt: skip


def _line(step: int, metrics: int) -> bytes:
    values = {"loss" if not number else f"m{number}": (step * 7919 % 10_007) / 10_007 for number in range(metrics)}
    return json.dumps({"at_ms": 1_764_270_000_000 + step, "step": step, "metrics": values}).encode() + b"\n"


def _pictures(folder: Path) -> Iterator[Row]:
    """From the blocks on the disk to cells, and from all points that a console could hold to cells."""
    reports = ReportFolder(folder / "reports-1")
    asked = Asked((_ATTEMPT,), "loss", over_time=False, window=Window(), points_max=PICTURE_POINTS)
    cache = CurveCache(reports)
    with _thread_time() as took:
        cache.points(asked)
    yield Row(
        "metrics", "a million points, thinned for a picture", f"{took[0] * 1e3:,.0f} ms",
        f"read from the disk and thinned to about {PICTURE_POINTS:,}, the first time that a console asks; processor time of one thread",
    )  # fmt: skip
    size = 0
    found = []
    for look in range(10):
        data = b"".join(_line(POINTS + look * NEW_POINTS + one, 1) for one in range(NEW_POINTS))
        size, _ = reports.append(_ATTEMPT, size, data, 0)
        with _thread_time() as took:
            cache.points(asked)
        found.append(took[0] * 1e3)
    yield Row(
        "metrics", f"the same, {NEW_POINTS:,} points later", f"{sorted(found)[5]:,.1f} ms",
        "each further time that a console asks; the median of 10; processor time of one thread",
    )  # fmt: skip
    x, y = merged([reports.series(_ATTEMPT, frozenset({"loss"}))])["loss"].by_step()
    points = thin(x, y, Window(), PICTURE_POINTS)
    first_ms = _drawn_ms(points.x, points.y)
    again_ms = _drawn_ms(x, y)
    method = f"on {CELLS} × {LINES} cells, the median of 10, the series taken in before; processor time of one thread"
    bar = f"≤ {DRAW_MS} ms"
    yield Row("metrics", "drawing what was thinned", f"{first_ms:.1f} ms", method, bar=bar, met=first_ms <= DRAW_MS)
    yield Row("metrics", "drawing a million points", f"{again_ms:.1f} ms", method, bar=bar, met=again_ms <= DRAW_MS)


def _drawn_ms(x: "array[float]", y: "array[float]") -> float:
    sheet = Sheet([Curve("loss", x[:], y[:])])
    manner = Manner(window=whole(sheet.series))
    found = []
    for _ in range(10):
        with _thread_time() as took:
            draw(sheet, manner, CELLS, LINES)
        found.append(took[0] * 1e3)
    return sorted(found)[len(found) // 2]


@contextmanager
def _thread_time() -> Iterator[list[float]]:
    """The seconds that this thread's processor needed, once it is over."""
    took = [0.0]
    began_s = time.thread_time()
    yield took
    took[0] = time.thread_time() - began_s
