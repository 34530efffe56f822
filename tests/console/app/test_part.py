"""Building blocks: the last line, line views, the live source."""

import pytest
from textual.geometry import Offset
from textual.selection import Selection

from opsconsole.ask import ask
from opsconsole.target import Target
from opsconsole_console.model.contact import Contact
from opsconsole_console.screen.main.header import Header
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.service.live_source import LiveSource
from opsconsole_console.widget.cell import cell
from opsconsole_protocol.api import AskHealth, Health, Invite, ListTemplates
from opsconsole_protocol.error import ProtocolError, Unavailable
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage


async def test_keys_in_the_last_line_can_be_clicked(source: RecordedSource) -> None:
    async with stage(source) as there:
        bar = there.app.main.query_one(KeyBar)
        assert bar.text.startswith("n New  l Logs  p Pause")
        await there.pilot.click(bar, offset=(bar.text.index("Logs"), 0))
        await there.settle()
        assert there.app.main.log_grid.opened == 1
        assert bar.text.startswith("/ Find"), "other keys work there"


async def test_the_files_of_a_job_are_offered_on_its_screen(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("show 42f")
        await there.until(lambda: "f Files" in there.app.screen.query_one(KeyBar).text)


async def test_command_and_help_stay_where_keys_dont_fit(source: RecordedSource) -> None:
    async with stage(source, (40, 20)) as there:
        bar = there.app.main.query_one(KeyBar)
        assert bar.text.endswith(": Command  ? Help")
        assert len(bar.text) <= 40


async def test_a_sheets_text_can_be_selected(source: RecordedSource) -> None:
    async with stage(source) as there:
        view = LineView([Line(cell("left"), cell("right")), Line(cell("second"))])
        await there.app.main.mount(view)
        await there.settle()
        found = view.get_selection(Selection(Offset(0, 0), Offset(6, 1)))
        assert found is not None
        assert found[0].startswith("left")
        assert found[0].endswith("right\nsecond")
        assert view.text == "left  right\nsecond"


async def test_the_right_side_gives_way(source: RecordedSource) -> None:
    async with stage(source, (40, 20)) as there:
        header = there.app.query_one(Header)
        header.show([Line(cell("x" * 36), cell("y" * 20))])
        assert "y" not in header.render_line(0).text
        header.show([Line(cell("x" * 20), cell("y" * 30))])
        assert header.render_line(0).text.rstrip().endswith("…")


async def test_before_the_first_contact_the_header_says_what_is_going_on(source: RecordedSource) -> None:
    async with stage(source) as there:
        model, header = there.app.model, there.app.query_one(Header)
        model.heard_ms = None
        model.contact = Contact("connecting")
        header.update()
        assert "connecting to wss://10.77.0.1:7373" in header.text
        model.contact = Contact("lost", "the token is not known here")
        header.update()
        assert "the token is not known here" in header.text


async def test_a_live_source_says_that_it_isnt_connected_yet() -> None:
    source = LiveSource(Target("ws://127.0.0.1:9", "t"))
    assert source.address == "ws://127.0.0.1:9"
    with pytest.raises(Unavailable, match="not connected"):
        await source.request(AskHealth())


async def test_an_answer_of_another_kind_is_an_error(source: RecordedSource) -> None:
    with pytest.raises(ProtocolError, match="Invited came where Health is due"):
        await ask(source, Invite(), Health)
    assert source.asked(ListTemplates) == []
