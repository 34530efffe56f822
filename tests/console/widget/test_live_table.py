from dataclasses import dataclass, replace

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.strip import Strip

from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from tests.console.widget.fleet import ThemedApp
from tests.waiting import until


@dataclass(frozen=True)
class Row:
    name: str
    load: int | None = 0


Table = LiveTable[str, Row]

COLUMNS = [
    Column[Row]("name", "NAME", lambda row: row.name, width=8, sort_key=lambda row: row.name, priority=9, hotkey="N"),
    Column[Row](
        "load", "LOAD", lambda row: cell(str(row.load), "state-running"), width=6, align="right",
        sort_key=lambda row: row.load, descending=True,
    ),
    Column[Row]("note", "NOTE", lambda row: Text(f"note {row.name}", style="bold"), width=12),
]  # fmt: skip


def rows(count: int) -> dict[str, Row]:
    return {f"r{number:03}": Row(f"r{number:03}", number % 7) for number in range(count)}


class TableApp(ThemedApp):
    """One table; remembers what it says."""

    def __init__(self, count: int = 0, flush_hz: float | None = None) -> None:
        self.table: Table = LiveTable(COLUMNS, empty="No workers yet.\nInvite one.", flush_hz=flush_hz)
        super().__init__(self.table)
        self.count = count

    def on_mount(self) -> None:
        self.table.set_rows(rows(self.count))
        self.table.focus()

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        self.messages.append(("highlighted", message.row_id))

    def on_live_table_row_selected(self, message: LiveTable.RowSelected) -> None:
        self.messages.append(("selected", message.row_id))

    def on_live_table_rows_marked(self, message: LiveTable.RowsMarked) -> None:
        self.messages.append(("marked", tuple(message.row_ids)))

    def on_live_table_sorted(self, message: LiveTable.Sorted) -> None:
        self.messages.append(("sorted", message.column, message.reverse))

    def drawn(self) -> list[str]:
        return [strip.text for strip in self.screen._compositor.render_strips()]

    def names(self) -> list[str]:
        return [line[1:5] for line in self.drawn()[1:] if line[1:2] == "r"]


SIZE = (40, 11)
"""Ten rows are in sight."""


async def test_paints_header_rows_and_cursor() -> None:
    app = TableApp(3)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        lines = app.drawn()
        assert lines[0].rstrip() == " NAME       LOAD NOTE"
        assert lines[1].rstrip() == "▌r000          0 note r000"
        assert lines[2].rstrip() == " r001          1 note r001"
        assert lines[4].strip() == ""
        assert app.messages == [("highlighted", "r000")]


@pytest.mark.parametrize(
    ("keys", "position"),
    [
        ("j", 1),
        ("down", 1),
        ("j j j k", 2),
        ("up", 0),
        ("ctrl+d", 5),
        ("ctrl+d ctrl+u", 0),
        ("pagedown", 9),
        ("pagedown pageup", 0),
        ("G", 99),
        ("end", 99),
        ("G g", 0),
        ("end home", 0),
        ("G j", 99),
    ],
)
async def test_keys_move_the_cursor_and_keep_it_in_sight(keys: str, position: int) -> None:
    app = TableApp(100)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*keys.split())
        await pilot.pause()
        assert app.table.cursor_id == f"r{position:03}"
        assert f"r{position:03}" in app.names()
        assert sum(line.startswith("▌") for line in app.drawn()) == 1


async def test_enter_and_double_click_open() -> None:
    app = TableApp(5)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("j", "enter")
        await pilot.click(LiveTable, offset=(3, 4))
        assert app.table.cursor_id == "r003"
        await pilot.click(LiveTable, offset=(3, 5), times=2)
        await pilot.pause()
        assert [m for m in app.messages if isinstance(m, tuple) and m[0] == "selected"] == [
            ("selected", "r001"),
            ("selected", "r004"),
        ]


async def test_clicks_below_the_rows_do_nothing() -> None:
    app = TableApp(2)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.click(LiveTable, offset=(3, 8), times=2)
        await pilot.pause()
        assert app.messages == [("highlighted", "r000")]


async def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    app = TableApp(100)
    async with app.run_test(size=SIZE):
        app.table.scroll_to(y=50, animate=False)
        assert app.table.cursor_id == "r000"
        assert app.names()[0] == "r050"


async def test_clicking_a_title_sorts_by_it_and_again_turns_it_round() -> None:
    app = TableApp(20)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.click(LiveTable, offset=(13, 0))
        await pilot.pause()
        assert app.drawn()[0].split()[1] == "LOAD↓"
        assert app.table.shown_ids[0] == "r013"
        assert "r000" in app.names()
        await pilot.click(LiveTable, offset=(13, 0))
        await pilot.pause()
        assert app.drawn()[0].split()[1] == "LOAD↑"
        assert [m for m in app.messages if isinstance(m, tuple) and m[0] == "sorted"] == [
            ("sorted", "load", True),
            ("sorted", "load", False),
        ]


async def test_sorting_takes_the_cursor_along() -> None:
    app = TableApp(100)
    async with app.run_test(size=SIZE) as pilot:
        app.table.move_to("r003")
        app.table.sort_by("name", reverse=True)
        await pilot.pause()
        assert app.table.cursor_id == "r003"
        assert "r003" in app.names()
        app.table.sort_by(None)
        await pilot.pause()
        assert app.names()[3] == "r003"


async def test_a_column_that_cannot_be_sorted_by_is_an_error() -> None:
    app = TableApp(1)
    async with app.run_test(size=SIZE):
        for key in ("note", "nobody"):
            with pytest.raises(KeyError):
                app.table.sort_by(key)


async def test_filter_and_its_opposite() -> None:
    app = TableApp(20)
    async with app.run_test(size=SIZE) as pilot:
        app.table.set_filter(lambda row: row.load == 3)
        await pilot.pause()
        assert app.names() == ["r003", "r010", "r017"]
        assert (app.table.shown, app.table.total) == (3, 20)
        app.table.set_filter(lambda row: row.load == 3, invert=True)
        await pilot.pause()
        assert app.table.shown == 17
        assert "r003" not in app.names()


async def test_a_row_hidden_by_a_filter_gets_the_cursor_back() -> None:
    app = TableApp(20)
    async with app.run_test(size=SIZE):
        app.table.move_to("r005")
        app.table.set_filter(lambda row: row.load == 3)
        assert app.table.cursor_id == "r017"
        app.table.set_filter(None)
        assert app.table.cursor_id == "r005"


async def test_unless_the_cursor_was_moved_meanwhile() -> None:
    app = TableApp(20)
    async with app.run_test(size=SIZE) as pilot:
        app.table.move_to("r005")
        app.table.set_filter(lambda row: row.load == 3)
        await pilot.press("k")
        app.table.set_filter(None)
        assert app.table.cursor_id == "r010"


async def test_updates_show_with_the_flush_and_not_before() -> None:
    app = TableApp(5)
    async with app.run_test(size=SIZE) as pilot:
        app.table.upsert({"r002": Row("r002", 77)})
        app.table.upsert({"r002": Row("r002", 78), "new": Row("new", 1)})
        await pilot.pause()
        assert "78" not in app.drawn()[3]
        app.table.flush()
        await pilot.pause()
        assert "78" in app.drawn()[3]
        assert app.drawn()[6].startswith(" new")


async def test_the_table_flushes_by_itself() -> None:
    app = TableApp(5, flush_hz=20)
    async with app.run_test(size=SIZE):
        app.table.upsert({"r002": Row("r002", 78)})
        await until(lambda: "78" in app.drawn()[3])
        app.table.discard(["r002"])
        await until(lambda: "r003" in app.drawn()[3])


async def test_only_rows_that_changed_and_are_in_sight_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TableApp(100)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        painted: list[int] = []
        render_line = LiveTable.render_line

        def watched(table: Table, y: int) -> Strip:
            painted.append(y)
            return render_line(table, y)

        monkeypatch.setattr(LiveTable, "render_line", watched)
        app.table.upsert({"r002": Row("r002", 5), "r004": Row("r004", 5), "r090": Row("r090", 5)})
        app.table.flush()
        await pilot.pause()
        assert sorted(set(painted)) == [3, 5]


async def test_rows_that_come_above_do_not_move_what_is_read() -> None:
    app = TableApp(100)
    async with app.run_test(size=SIZE) as pilot:
        app.table.sort_by("name")
        app.table.move_to("r050")
        await pilot.pause()
        before = app.names()
        app.table.upsert({f"a{n}": Row(f"a{n}") for n in range(30)})
        app.table.flush()
        await pilot.pause()
        assert app.names() == before
        assert app.table.cursor_id == "r050"


async def test_what_the_wheel_brought_into_sight_stays_too() -> None:
    app = TableApp(100)
    async with app.run_test(size=SIZE) as pilot:
        app.table.sort_by("name")
        app.table.scroll_to(y=60, animate=False)
        await pilot.pause()
        before = app.names()
        app.table.upsert({f"a{n}": Row(f"a{n}") for n in range(30)})
        app.table.flush()
        await pilot.pause()
        assert app.names() == before


async def test_at_the_top_new_rows_are_seen_coming() -> None:
    app = TableApp(5)
    async with app.run_test(size=SIZE) as pilot:
        app.table.sort_by("name")
        app.table.upsert({"a": Row("a")})
        app.table.flush()
        await pilot.pause()
        assert app.drawn()[1].startswith(" a ")
        assert app.table.cursor_id == "r000"


async def test_when_its_row_goes_the_cursor_stays_in_place() -> None:
    app = TableApp(5)
    async with app.run_test(size=SIZE):
        app.table.move_to("r002")
        app.table.discard(["r002"])
        app.table.flush()
        assert app.table.cursor_id == "r003"
        app.table.discard(["r003", "r004"])
        app.table.flush()
        assert app.table.cursor_id == "r001"


async def test_emptied_and_filled_again() -> None:
    app = TableApp(30)
    async with app.run_test(size=SIZE) as pilot:
        app.table.move_to("r025")
        app.table.set_rows({})
        await pilot.pause()
        assert app.table.cursor_id is None
        assert app.table.cursor_row is None
        assert [line.strip() for line in app.drawn() if line.strip()][1:] == ["No workers yet.", "Invite one."]
        await pilot.press("j", "G", "ctrl+d", "space", "enter")
        app.table.set_rows(rows(2))
        await pilot.pause()
        assert app.table.cursor_id == "r000"
        assert app.messages[-2:] == [("highlighted", None), ("highlighted", "r000")]


async def test_marks_belong_to_rows() -> None:
    app = TableApp(10)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("j", "space", "j", "space", "g", "space", "g", "space")
        assert app.table.marked == ["r001", "r003"]
        assert app.drawn()[2].startswith("◆r001")
        app.table.sort_by("name", reverse=True)
        assert app.table.marked == ["r003", "r001"]
        app.table.set_filter(lambda row: row.name == "r001")
        assert app.table.marked == ["r001"]
        app.table.set_filter(None)
        app.table.discard(["r003"])
        app.table.flush()
        app.table.clear_marks()
        await pilot.pause()
        assert app.table.marked == []
        assert app.messages[-2:] == [("marked", ("r001",)), ("marked", ())]


async def test_space_marks_and_moves_on() -> None:
    app = TableApp(5)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space")
        assert app.table.marked == ["r000", "r001"]
        assert app.table.cursor_id == "r002"
        await pilot.press("G", "space")
        assert app.table.cursor_id == "r004", "there is no further one"


async def test_ranges_all_and_the_others_are_marked() -> None:
    """Hard use, triage: several rows are marked without a key for each."""
    app = TableApp(8)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "j", "j", "V")
        assert app.table.marked == ["r000", "r001", "r002", "r003"]
        await pilot.press("j", "j", "ctrl+@")
        assert app.table.marked[-1] == "r005", "from where the last range ended"
        await pilot.press("tilde")
        assert app.table.marked == ["r006", "r007"]
        app.table.clear_marks()
        await pilot.press("g", "shift+down", "shift+down")
        assert app.table.marked == ["r000", "r001", "r002"]
        app.table.clear_marks()
        app.table.set_filter(lambda row: row.load == 1)
        await pilot.press("asterisk")
        app.table.set_filter(None)
        assert app.table.marked == ["r001"], "all that the filter showed, and no other"


async def test_the_row_under_the_cursor_stays_in_its_place_until_the_cursor_leaves_it() -> None:
    """Hard use 31: a row must not go away from under the hand. By any change of any row, with and without a filter."""
    app = TableApp(30)
    async with app.run_test(size=SIZE) as pilot:
        app.table.sort_by("load", reverse=False)
        app.table.set_filter(lambda row: row.load != 9)
        app.table.move_to("r007")
        assert app.table.shown_ids[:3] == ["r000", "r007", "r014"]
        for load in (6, 9):
            app.table.upsert({"r007": Row("r007", load), "r001": Row("r001", 0)})
            app.table.flush()
            assert app.table.shown_ids.index("r007") <= 2
            assert app.table.cursor_id == "r007"
        app.table.set_rows(rows(30) | {"r007": Row("r007", 9)})
        assert app.table.cursor_id == "r007", "also where all rows come anew"
        assert app.table.scroll_offset.y == 0
        await pilot.press("k")
        assert "r007" not in app.table.shown_ids, "it takes its place once the cursor goes"
        assert app.table.cursor_id == "r000"


async def test_setting_rows_forgets_marks_of_rows_that_are_gone() -> None:
    app = TableApp(4)
    async with app.run_test(size=SIZE):
        app.table.toggle_mark("r003")
        app.table.set_rows(rows(2))
        app.table.set_rows(rows(4))
        assert app.table.marked == []


@pytest.mark.parametrize("width", [30, 80, 300])
async def test_columns_adapt_to_the_width(width: int) -> None:
    app = TableApp(3)
    async with app.run_test(size=(width, 8)) as pilot:
        await pilot.pause()
        assert all(len(line) == width for line in app.drawn())
        assert "r000" in app.drawn()[1]


async def test_narrowed_while_running() -> None:
    app = TableApp(3)
    async with app.run_test(size=(80, 8)) as pilot:
        await pilot.resize_terminal(20, 8)
        await pilot.pause()
        assert app.drawn()[0].split() == ["NAME", "LOAD"]


async def test_shrinking_keeps_the_cursor_in_sight() -> None:
    app = TableApp(100)
    async with app.run_test(size=(40, 30)) as pilot:
        app.table.move_to("r028")
        await pilot.resize_terminal(40, 8)
        await pilot.pause()
        assert "r028" in app.names()


async def test_nothing_in_a_row_reaches_the_terminal_raw() -> None:
    app = TableApp()
    async with app.run_test(size=SIZE) as pilot:
        app.table.set_rows({"x": Row("\x1b[2Jr\n\t\x07" + "数" * 20, None)})
        await pilot.pause()
        for line in app.drawn():
            assert line.isprintable()


async def test_touch_paints_time_anew() -> None:
    app = TableApp(2)
    async with app.run_test(size=SIZE) as pilot:
        clock = iter("0123456789")
        app.table.set_columns([Column[Row]("age", "AGE", lambda _: next(clock), width=4)])
        await pilot.pause()
        before = app.drawn()[1]
        await pilot.pause()
        assert app.drawn()[1] == before
        app.table.touch()
        await pilot.pause()
        assert app.drawn()[1] != before


async def test_another_set_of_columns_ends_a_sort_that_lost_its_column() -> None:
    app = TableApp(3)
    async with app.run_test(size=SIZE) as pilot:
        app.table.sort_by("load")
        app.table.set_columns(COLUMNS[:1])
        await pilot.pause()
        assert app.table.sorted_by is None
        assert app.drawn()[0].strip() == "NAME"


async def test_hotkeys_are_underlined_in_the_header() -> None:
    app = TableApp(1)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        header = app.table.render_line(0)
        assert [segment.text for segment in header if segment.style and segment.style.underline] == ["N"]


async def select(pilot: Pilot[None], start: tuple[int, int], end: tuple[int, int]) -> str | None:
    await pilot.mouse_down(LiveTable, offset=start)
    await pilot.hover(LiveTable, offset=end)
    await pilot.mouse_up(LiveTable, offset=end)
    await pilot.pause()
    return pilot.app.screen.get_selected_text()


async def test_text_can_be_selected_across_rows() -> None:
    app = TableApp(100)
    async with app.run_test(size=SIZE) as pilot:
        app.table.scroll_to(y=20, animate=False)
        await pilot.pause()
        text = await select(pilot, (1, 1), (4, 2))
        assert text is not None
        assert text.splitlines()[0] == "r020          6 note r020"
        assert text.splitlines()[1].startswith(" r02")


async def test_rows_changed_in_place_are_painted_when_told() -> None:
    app = TableApp(3)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        row = replace(Row("r001"), load=5)
        app.table.upsert({"r001": row})
        app.table.flush()
        object.__setattr__(row, "load", 6)
        app.table.upsert({"r001": row})
        app.table.flush()
        await pilot.pause()
        assert app.drawn()[2].split()[1] == "6"


async def test_a_theme_change_repaints() -> None:
    app = TableApp(3)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        dark = app.table.render_line(2)
        app.theme = "opsconsole-light"
        await pilot.pause()
        light = app.table.render_line(2)
        assert dark.text == light.text
        assert [s.style for s in dark] != [s.style for s in light]
