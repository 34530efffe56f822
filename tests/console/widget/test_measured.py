"""Lines that come in quick succession are all shown."""

import pytest
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.words import Words


class _App(App[None]):
    CSS = "Vertical { height: auto; }"

    def __init__(self, shown: Widget) -> None:
        super().__init__()
        self._shown = shown

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self._shown


def _say(widget: Widget, count: int) -> None:
    if isinstance(widget, LineView):
        widget.show([Line(cell(f"line {number}")) for number in range(count)])
    else:
        assert isinstance(widget, Words)
        widget.say("word " * (16 * count - 1) + "end")  # 16 to a line of 80 cells


@pytest.mark.parametrize("kind", [LineView, Words])
async def test_the_second_change_within_a_frame_is_measured_too(kind: type[LineView | Words]) -> None:
    shown = kind()
    async with _App(shown).run_test() as pilot:
        _say(shown, 2)
        pilot.app.screen._refresh_layout()  # something else on the screen asks for it just now
        _say(shown, 5)
        await pilot.pause()
        await pilot.pause()
        assert shown.size.height == 5
