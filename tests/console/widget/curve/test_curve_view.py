"""The keys and the mouse, and what happens while points come."""

import math
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual import events
from textual.pilot import Pilot

from opsconsole_console.widget.curve import curve_view
from opsconsole_console.widget.curve.chart import Sheet
from opsconsole_console.widget.curve.curve_view import CurveView
from opsconsole_console.widget.curve.raster import Dots
from opsconsole_console.widget.curve.scale import Unit
from opsconsole_console.widget.curve.series import Series
from opsconsole_console.widget.curve.window import Window
from tests.console.widget.curve.training import series
from tests.console.widget.fleet import ThemedApp

WHOLE = Window(0, 1_000)


def wheel(kind: type[events.MouseEvent], x: int) -> events.MouseEvent:
    return kind(None, x, 10, 0, 0, 0, False, False, False, screen_x=x, screen_y=10)


class App(ThemedApp):
    """Keeps what the view asks for."""

    def on_curve_view_unit_wanted(self, message: CurveView.UnitWanted) -> None:
        self.messages.append(message.unit)


def line() -> Series:
    return series("loss", range(1_001))


@asynccontextmanager
async def opened(*curves: Series, below: tuple[Series, ...] = ()) -> AsyncIterator[tuple[CurveView, Pilot[None]]]:
    view = CurveView(Sheet(curves, below), flush_hz=None)
    async with App(view).run_test(size=(80, 24)) as pilot:
        view.focus()
        await pilot.pause()
        yield view, pilot


def seen(view: CurveView) -> Window:
    assert view.manner.window is not None
    return view.manner.window


def text(view: CurveView) -> str:
    return "\n".join(view.render_line(y).text for y in range(view.size.height))


async def test_it_paints_what_is_drawn() -> None:
    async with opened(line()) as (view, _):
        assert view.drawing.lines
        assert "● loss 1000" in text(view)
        assert all(len(view.render_line(y).text) == 80 for y in range(24))


async def test_the_cursor_goes_from_point_to_point() -> None:
    async with opened(line()) as (view, pilot):
        await pilot.press("right")
        assert view.manner.cursor == 1_000
        await pilot.press("left")
        assert view.manner.cursor == 1_000 - math.ceil(1_000 / view.drawing.cells)
        await pilot.press("home")
        assert view.manner.cursor == 0
        await pilot.press("right")
        assert "step 14" in text(view)
        await pilot.press("end")
        assert view.manner.cursor == 1_000
        await pilot.press("escape")
        assert view.manner.cursor is None


async def test_where_points_are_few_the_cursor_skips_what_is_between() -> None:
    async with opened(series("loss", [1, 2, 3], every=500)) as (view, pilot):
        await pilot.press("home", "right")
        assert view.manner.cursor == 500
        await pilot.press("left")
        assert view.manner.cursor == 0


async def test_zoom_and_pan() -> None:
    async with opened(line()) as (view, pilot):
        await pilot.press("plus")
        assert seen(view) == Window(500, 1_000)
        await pilot.press("shift+left")
        assert seen(view) == Window(375, 875)
        await pilot.press("shift+right", "shift+right", "shift+right")
        assert seen(view) == Window(500, 1_000)
        await pilot.press("minus")
        assert seen(view) == WHOLE
        await pilot.press("home", "plus", "plus", "0")
        assert seen(view) == WHOLE


async def test_a_cursor_out_of_sight_brings_its_part_into_sight() -> None:
    async with opened(line()) as (view, pilot):
        await pilot.press("plus", "plus", "plus", "home")
        assert view.manner.cursor == 0
        assert seen(view) == Window(0, 125)


async def test_the_manner_is_changed_by_keys() -> None:
    async with opened(line()) as (view, pilot):
        await pilot.press("o", "s", "s", "b")
        assert (view.manner.log, view.manner.weight, view.manner.dots) == (True, 0.9, Dots.BLOCKS)
        assert "log, above zero only · smoothed 0.9" in text(view)
        await pilot.press("o", "S", "S", "S", "b")
        assert (view.manner.log, view.manner.weight, view.manner.dots) == (False, 0.0, Dots.BRAILLE)
        assert not view.manner.smoothed


async def test_the_other_unit_is_asked_for() -> None:
    async with opened(line()) as (view, pilot):
        await pilot.press("end", "plus", "x")
        await pilot.pause()
        assert isinstance(pilot.app, App)
        assert pilot.app.messages == [Unit.TIME_S]
        view.show(Sheet([series("loss", range(10), every=60)], unit=Unit.TIME_S))
        assert seen(view) == Window(0, 540)
        assert view.manner.cursor is None
        assert "9m 00s" in text(view)


async def test_the_mouse() -> None:
    async with opened(line()) as (view, pilot):
        left, cells = view.drawing.left, view.drawing.cells
        await pilot.click(view, offset=(left + cells // 2, 10))
        assert view.manner.cursor == pytest.approx(500, abs=1_000 / cells)
        await pilot.click(view, offset=(1, 10))
        assert view.manner.cursor == pytest.approx(500, abs=1_000 / cells)
        view.post_message(wheel(events.MouseScrollUp, left + cells // 4))
        await pilot.pause()
        assert seen(view).span == pytest.approx(800)
        assert seen(view).low == pytest.approx(50, abs=3)
        view.post_message(wheel(events.MouseScrollDown, left))
        await pilot.pause()
        assert seen(view) == WHOLE


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((), Window(0, 1_100)),
        (("plus",), Window(600, 1_100)),
        (("plus", "shift+left"), Window(375, 875)),
    ],
    ids=["all of it", "the end", "a part"],
)
async def test_a_view_at_the_newest_point_goes_on_with_it(keys: tuple[str, ...], expected: Window) -> None:
    curve = line()
    async with opened(curve) as (view, pilot):
        await pilot.press(*keys)
        curve.extend(array("d", range(1_001, 1_101)), array("d", range(1_001, 1_101)))
        view.touch()
        view.flush()
        assert seen(view) == expected
        assert "loss 1100" in text(view)


async def test_smoothing_keeps_up() -> None:
    curve = line()
    async with opened(curve) as (view, pilot):
        await pilot.press("s")
        curve.extend(array("d", [1_001]), array("d", [5.0]))
        view.flush()
        assert len(view.manner.smoothed[0]) == 1_002


async def test_a_long_curve_is_smoothed_while_the_keys_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve_view, "SMOOTHED_POINTS", 400)
    async with opened(line(), series("b", range(100))) as (view, pilot):
        await pilot.press("s")
        assert [len(one) for one in view.manner.smoothed] == [400, 0]
        view.flush()
        view.flush()
        assert [len(one) for one in view.manner.smoothed] == [1_001, 100]


async def test_first_points_come_to_an_empty_view() -> None:
    curve = series("loss", [])
    async with opened(curve) as (view, pilot):
        assert "No points yet." in text(view)
        await pilot.press("left", "plus", "home", "end", "shift+left", "o", "s", "0", "y")
        curve.extend(array("d", [7]), array("d", [2.5]))
        view.flush()
        await pilot.press("o", "end")
        assert view.manner.cursor == 7
        assert "loss 2.5" in text(view)


async def test_another_theme_paints_anew() -> None:
    async with opened(line()) as (view, pilot):
        before = [segment.style for segment in view.render_line(0)]
        pilot.app.theme = "opsconsole-light"
        await pilot.pause()
        assert [segment.style for segment in view.render_line(0)] != before


async def test_copy_takes_the_picture() -> None:
    async with opened(line()) as (_, pilot):
        await pilot.press("y")
        assert "● loss 1000" in pilot.app.clipboard
        assert "╰" in pilot.app.clipboard
