"""How fast the console's hot widgets are: `python bench/console_widget.py`.

Everything runs in Textual's headless driver, so a terminal's own time isn't in it. A key counts from its arrival at the
app until the widget paints its effect.
"""

import asyncio
import math
import platform
import random
import statistics
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from textual import events
from textual.app import App, ComposeResult
from textual.strip import Strip
from textual.widget import Widget

from opsconsole_console import format as fmt
from opsconsole_console.widget.bar import progress
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.curve.chart import Sheet
from opsconsole_console.widget.curve.curve_view import CurveView
from opsconsole_console.widget.curve.series import Series
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.log_view import LogView
from opsconsole_console.widget.sign import sign
from opsconsole_protocol.log import LogLine, Source

SIZE = (160, 45)
KEYS = 60
LINES_PER_S = 500_000
FEED_HZ = 10
FEED_S = 4


@dataclass(slots=True)
class Row:
    id: str
    name: str
    state: str
    done: float


STATES = ("running", "pending", "succeeded", "failed", "paused")
COLUMNS = [
    Column[Row]("id", "ID", lambda row: row.id, width=8, sort_key=lambda row: row.id, priority=9),
    Column[Row]("name", "NAME", lambda row: row.name, width=12, flex=1, sort_key=lambda row: row.name),
    Column[Row]("state", "STATE", lambda row: sign(row.state).cell, width=14, sort_key=lambda row: row.state),
    Column[Row]("progress", "PROGRESS", lambda row: progress(row.done, 20), width=20, sort_key=lambda row: row.done),
    *(Column[Row](f"c{n}", f"C{n}", lambda row: row.name, width=9) for n in range(6)),
]


def make_rows(count: int) -> dict[str, Row]:
    return {f"j{n}": Row(f"j{n}", f"train-{n % 977}", STATES[n % 5], (n % 100) / 100) for n in range(count)}


class Table(LiveTable[str, Row]):
    """A table that sets `painted` when it has painted a row."""

    painted: asyncio.Event

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if y:
            self.painted.set()
        return strip


class Log(LogView):
    """A log pane that sets `painted` when it has painted."""

    painted: asyncio.Event

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        self.painted.set()
        return strip


class Curves(CurveView):
    """A view of curves that sets `painted` when it has painted its last line."""

    painted: asyncio.Event

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if y == self.size.height - 1:
            self.painted.set()
        return strip


class Bench(App[None]):
    """An app of one widget."""

    CSS = "LiveTable, LogView, CurveView { border: none; }"

    def __init__(self, content: Widget) -> None:
        super().__init__()
        self._content = content

    def compose(self) -> ComposeResult:
        yield self._content


def ms(values_s: list[float]) -> str:
    ordered = sorted(values_s)
    return f"p50 {statistics.median(ordered) * 1e3:6.1f} ms   p95 {ordered[int(len(ordered) * 0.95)] * 1e3:6.1f} ms"


async def key_times(app: App[None], widget: Table | Log | Curves, keys: list[str]) -> list[float]:
    times = []
    for key in keys:
        await asyncio.sleep(0.02)
        widget.painted.clear()
        began = time.perf_counter()
        app.post_message(events.Key(key, key if len(key) == 1 else None))
        await asyncio.wait_for(widget.painted.wait(), 5)
        times.append(time.perf_counter() - began)
    return times


async def timed(act: Callable[[], Awaitable[object] | None]) -> float:
    began = time.perf_counter()
    result = act()
    if result is not None:
        await result
    return time.perf_counter() - began


async def table_bench(count: int) -> None:
    table = Table(COLUMNS, flush_hz=None)
    table.painted = asyncio.Event()
    app = Bench(table)
    async with app.run_test(size=SIZE):
        table.focus()
        rows = make_rows(count)

        async def first() -> None:
            table.painted.clear()
            table.set_rows(rows)
            await table.painted.wait()

        print(f"table {count:>7,} rows   first paint {await timed(first) * 1e3:6.1f} ms")
        downs = await key_times(app, table, ["j", "k"] * (KEYS // 2))
        print(f"                     cursor key   {ms(downs)}")
        pages = await key_times(app, table, ["pagedown"] * KEYS)
        print(f"                     page key     {ms(pages)}")
        for title, column in (("unsorted", None), ("sorted by what changes", "progress")):
            sort_s = await timed(lambda column=column: table.sort_by(column))  # type: ignore[misc]
            flushes = []
            for turn in range(20):
                ids = [f"j{(n * 37 + turn) % count}" for n in range(min(count, 1_000))]
                table.upsert({i: Row(i, f"train-{turn}", "running", (hash(i) + turn * 7) % 100 / 100) for i in ids})
                flushes.append(await timed(table.flush))
                await asyncio.sleep(0.01)
            print(f"                     1,000 updates {ms(flushes)}   {title} (sorting {sort_s * 1e3:.0f} ms)")
        filter_s = await timed(lambda: table.set_filter(lambda row: row.state == "failed"))
        print(f"                     filter       {filter_s * 1e3:6.1f} ms to {fmt.plural(table.shown, 'row')}")


def make_lines(start: int, count: int) -> list[LogLine]:
    return [
        LogLine(number, Source.STDOUT, f"epoch 12/40 step {number} loss 0.1934 lr 3.0e-4 gpu 87 %", 1_700_000_000_000)
        for number in range(start, start + count)
    ]


async def log_bench(*, wrap: bool, pattern: str = "") -> None:
    view = Log()
    view.painted = asyncio.Event()
    app = Bench(view)
    batch = LINES_PER_S // FEED_HZ
    async with app.run_test(size=SIZE):
        view.focus()
        view.set_wrap(wrap)
        view.set_filter(pattern)
        batches = [make_lines(n * batch, batch) for n in range(FEED_HZ * FEED_S)]
        feeds: list[float] = []

        async def feeding() -> float:
            loop = asyncio.get_running_loop()
            began = due = loop.time()
            for lines in batches:
                feeds.append(await timed(lambda lines=lines: view.feed(lines)))  # type: ignore[misc]
                due += 1 / FEED_HZ
                await asyncio.sleep(max(0, due - loop.time()))
            return loop.time() - began

        feeder = asyncio.create_task(feeding())
        await asyncio.sleep(0.3)
        keys = await key_times(app, view, ["k", "G"] * (KEYS // 2))
        took_s = await feeder
        rate = len(batches) * batch / took_s
        what = ("wrapped, " if wrap else "") + (f"filter {pattern!r}, " if pattern else "")
        print(f"log   {what}{rate:,.0f} lines/s at {FEED_HZ} Hz   feed {ms(feeds)}")
        print(f"                     key          {ms(keys)}   {view.state_text}")


async def curve_bench(points: int) -> None:
    """Its ratios are to a loop that does nothing with as many numbers, since that is what a machine's load slows too."""
    noise = random.Random(1)  # noqa: S311 - a curve's noise
    x = array("d", range(points))
    y = array("d", (math.exp(-3 * step / points) + noise.gauss(0, 0.05) for step in x))

    def loop() -> None:
        for _ in y:
            pass

    loop_s = min([await timed(loop) for _ in range(5)])
    began = time.perf_counter()
    series = Series("loss", x, y)
    taken_in_s = time.perf_counter() - began
    view = Curves(Sheet([series]), flush_hz=None)
    view.painted = asyncio.Event()
    async with Bench(view).run_test(size=SIZE) as pilot:
        view.focus()

        def paint() -> None:
            view.flush()
            for line in range(view.size.height):
                view.render_line(line)

        def grow() -> None:
            series.extend(array("d", range(len(series), len(series) + 1_000)), array("d", [0.5] * 1_000))

        print(f"curve {points:>9,} points  an empty loop over them {loop_s * 1e3:6.1f} ms")
        print(f"                     taken in     {taken_in_s * 1e3:6.1f} ms   × {taken_in_s / loop_s:.2f}")
        painted = [await timed(paint) for _ in range(20)]
        print(f"                     painted      {ms(painted)}   × {statistics.median(painted) / loop_s:.2f}")
        print(f"                     1,000 more   {ms([await timed(grow) for _ in range(20)])}")
        for title, keys in (("cursor", ["left"]), ("zoom", ["plus", "minus"]), ("log scale", ["o"])):
            found = await key_times(pilot.app, view, keys * (20 // len(keys)))
            print(f"                     {title:<12} {ms(found)}   key to paint")


async def main() -> None:
    print(f"Python {platform.python_version()} on {platform.machine()}, {SIZE[0]}×{SIZE[1]} cells")
    for count in (1_000, 10_000, 100_000):
        await table_bench(count)
    await log_bench(wrap=False)
    await log_bench(wrap=True)
    await log_bench(wrap=False, pattern="step .*7 loss")
    for count in (10_000, 1_000_000):
        await curve_bench(count)


if __name__ == "__main__":
    asyncio.run(main())
