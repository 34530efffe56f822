"""A screen is styled, laid out and painted once when it is opened, and what is typed meanwhile isn't lost."""

from collections import Counter
from typing import Any

import pytest
from textual._compositor import Compositor
from textual.events import Key, Resize
from textual.geometry import Size
from textual.screen import Screen
from textual.widgets import Input

from opsconsole_console.app.steady_stylesheet import SteadyStylesheet
from opsconsole_console.screen.new_job.candidate_table import CandidateTable
from opsconsole_console.screen.new_job.new_job_screen import NewJobScreen
from opsconsole_console.screen.part.field_box import FieldBox
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage

FORM_WIDGETS_MAX = 70
"""Each costs about 2 ms of processor time when the form is opened. It had 187."""
_SAME_AGAIN = 3


async def test_keys_typed_right_after_n_arrive_in_order(source: RecordedSource) -> None:
    typed = "python train.py --lr 3e-4"
    async with stage(source, paints_always=True) as there:
        for sign in "n" + typed:
            there.app.post_message(Key({" ": "space", ".": "full_stop", "-": "minus"}.get(sign, sign), sign))
        there.app.post_message(Key("tab", "\t"))
        for sign in "mine":
            there.app.post_message(Key(sign, sign))
        name = "#field-name"
        await there.until(
            lambda: there.app.screen.query(name) and there.app.screen.query_one(name, Input).value == "mine"
        )
        assert there.app.screen.query_one("#field-command", Input).value == typed


async def test_the_form_is_few_widgets_each_styled_once_and_painted_whole_once(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    styled: Counter[object] = Counter()
    paints: list[str] = []
    apply, render = SteadyStylesheet.apply, Compositor.render_full_update

    def counted(self: SteadyStylesheet, node: Any, **how: Any) -> None:
        styled[node] += isinstance(node, FieldBox)
        apply(self, node, **how)

    def noted(self: Compositor, **how: Any) -> Any:
        paints.append(type(self.root).__name__)
        return render(self, **how)

    async with stage(source, (160, 45), paints_always=True) as there:
        monkeypatch.setattr(SteadyStylesheet, "apply", counted)
        monkeypatch.setattr(Compositor, "render_full_update", noted)
        await there.press("n")
        screen = there.app.screen
        assert isinstance(screen, NewJobScreen)
        await there.until(lambda: screen.query_one(CandidateTable).total == 14)
        await there.until(lambda: screen.query("#template"))
        assert len(screen.query("*")) <= FORM_WIDGETS_MAX
        boxes = len(screen.query(FieldBox))
        assert boxes > 30
        assert boxes <= styled.total() <= boxes + _SAME_AGAIN, "one is styled again as it gets the focus"
        assert paints.count("NewJobScreen") <= _SAME_AGAIN


async def test_two_sizes_on_their_way_at_once_come_to_an_end(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out: list[Size | None] = []
    whole = Screen._refresh_layout

    def noted(self: Screen[Any], size: Size | None = None, scroll: bool = False) -> None:
        laid_out.append(size)
        if len(laid_out) < 50:
            whole(self, size, scroll)

    async with stage(source, (80, 25)) as there:
        monkeypatch.setattr(Screen, "_refresh_layout", noted)
        for height in (24, 25, 24, 25):
            there.app.screen.post_message(Resize.from_dimensions((80, height), None))
            there.app.screen.call_later(list)  # two sizes in a row would be taken for one
        await there.settle()
        assert there.app.screen.size == Size(80, 25)
        assert len(laid_out) < 10
        await there.pilot.resize_terminal(100, 30)
        await there.until(lambda: there.app.screen.size == Size(100, 30))


async def test_parts_are_styled_when_they_are_asked_for(source: RecordedSource) -> None:
    async with stage(source) as there:
        table = there.app.main.job_pane.table
        there.app.stylesheet.apply(table)
        assert dict(table._component_styles) == {}
        assert "live-table--mark" in table._component_styles
        mark = there.app.theme_variables["mark"]
        assert table.get_component_styles("live-table--mark").color.hex.lower() == mark.lower()
        with pytest.raises(KeyError):
            table.get_component_styles("live-table--nothing")
