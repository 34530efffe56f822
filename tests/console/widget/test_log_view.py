from datetime import UTC
from pathlib import Path

import pytest
from textual.geometry import Offset
from textual.selection import Selection

from opsconsole_console.widget.log_body import state_text
from opsconsole_console.widget.log_painter import Timestamps
from opsconsole_console.widget.log_view import LogView
from opsconsole_console.widget.shown_lines import PatternError
from opsconsole_protocol.log import Source
from tests.console.widget.fleet import ThemedApp, log_line, log_lines
from tests.waiting import until

SIZE = (40, 10)


class LogApp(ThemedApp):
    """One log; remembers what it says."""

    def __init__(self, *, lines_max: int = 1_000, flush_hz: float | None = None) -> None:
        self.view = LogView(lines_max=lines_max, flush_hz=flush_hz, zone=UTC)
        super().__init__(self.view)

    def on_mount(self) -> None:
        self.view.focus()

    def on_log_view_history_wanted(self, message: LogView.HistoryWanted) -> None:
        self.messages.append(("wanted", message.before_line))

    def on_log_view_state_changed(self, message: LogView.StateChanged) -> None:
        self.messages.append(message.text)

    def drawn(self) -> list[str]:
        return [strip.text[1 : SIZE[0] - 1].rstrip() for strip in self.screen._compositor.render_strips()]

    def steps(self) -> list[int]:
        """The step numbers in sight."""
        return [int(line.split("step ")[1].split()[0]) for line in self.drawn() if "step " in line]

    def give(self, start: int, count: int) -> None:
        self.view.feed(log_lines(count, start=start))
        self.view.flush()


@pytest.mark.parametrize(
    ("note", "following", "behind", "text"),
    [
        ("", True, 0, "follow"),
        ("", False, 12_034, "12,034 behind"),
        ("", False, 0, "paused"),
        ("ended: exit 0", True, 0, "ended: exit 0"),
        ("ended: exit 0", False, 5, "5 behind"),
        ("ended: exit 0", False, 0, "ended: exit 0"),
    ],
)
def test_state_text(note: str, following: bool, behind: int, text: str) -> None:
    assert state_text(note, following=following, behind=behind) == text


async def test_follows_what_comes() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 5)
        await pilot.pause()
        assert app.steps() == list(range(5))
        app.give(5, 100)
        await pilot.pause()
        assert app.steps() == list(range(95, 105))
        assert app.view.state_text == "follow"


async def test_flushes_by_itself() -> None:
    app = LogApp(flush_hz=20)
    async with app.run_test(size=SIZE):
        app.view.feed(log_lines(30))
        await until(lambda: app.steps() == list(range(20, 30)))
        app.view.feed(log_lines(30, start=30))
        await until(lambda: app.steps() == list(range(50, 60)))


@pytest.mark.parametrize("keys", ["k", "up", "pageup", "ctrl+u", "g", "home"])
async def test_scrolling_up_stops_following_and_nothing_yanks_back(keys: str) -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        await pilot.press(keys)
        await pilot.pause()
        before = app.steps()
        assert not app.view.following
        app.give(100, 500)
        await pilot.pause()
        assert app.steps() == before
        assert app.view.behind == 600 - before[-1] - 1
        assert app.view.state_text.endswith(" behind")


async def test_the_wheel_stops_following_too() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        await pilot.pause()
        app.view.scroll_to(y=40, animate=False)
        assert not app.view.following
        assert app.view.behind == 50


@pytest.mark.parametrize("keys", ["G", "end", "f", "j j j j j", "pagedown pagedown"])
async def test_the_end_is_where_following_begins_again(keys: str) -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        await pilot.press("k", "k", "k", *keys.split())
        await pilot.pause()
        assert app.view.following
        app.give(100, 50)
        await pilot.pause()
        assert app.steps()[-1] == 149


async def test_f_stays_and_follows() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        await pilot.press("f")
        assert app.view.state_text == "paused"
        app.give(100, 7)
        assert app.view.state_text == "7 behind"
        await pilot.press("f")
        await pilot.pause()
        assert app.messages == ["follow", "paused", "7 behind", "follow"]


async def test_another_size_decides_nothing() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        await pilot.resize_terminal(40, 20)
        await pilot.pause()
        assert app.view.following
        assert app.steps()[-1] == 99
        await pilot.press("k", "k")
        await pilot.resize_terminal(40, 30)
        await pilot.pause()
        assert not app.view.following


async def test_notes() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 50)
        app.view.set_note("ended: exit 0")
        await pilot.pause()
        assert app.messages[-1] == "ended: exit 0"


async def test_the_ring_drops_the_oldest_while_following() -> None:
    app = LogApp(lines_max=100)
    async with app.run_test(size=SIZE) as pilot:
        for start in range(0, 1_000, 50):
            app.give(start, 50)
        await pilot.pause()
        assert app.steps()[-1] == 999
        assert len(app.view._ring.lines) <= 110


async def test_whoever_reads_keeps_their_lines_while_thousands_come() -> None:
    app = LogApp(lines_max=100)
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        await pilot.press("pageup")
        await pilot.pause()
        before = app.steps()
        for start in range(100, 5_000, 100):
            app.give(start, 100)
        await pilot.pause()
        assert app.steps() == before
        assert app.view.behind == 5_000 - before[-1] - 1
        assert len(app.view._ring.lines) <= 300
        await pilot.press("G")
        await pilot.pause()
        assert app.steps()[-1] == 4_999
        assert len(app.view._ring.lines) <= 110


async def test_history_is_wanted_at_the_top_and_comes_without_a_jump() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(500, 50)
        await pilot.press("g")
        await pilot.pause()
        await pilot.press("k")
        assert [m for m in app.messages if m == ("wanted", 500)] == [("wanted", 500)]
        before = app.steps()
        app.view.prepend(log_lines(100, start=400))
        await pilot.pause()
        assert app.steps() == before
        await pilot.press("k")
        await pilot.pause()
        assert app.steps()[0] == 499
        await pilot.press("g")
        await pilot.pause()
        assert app.messages[-1] == ("wanted", 400) or ("wanted", 400) in app.messages


async def test_nobody_asks_for_what_does_not_exist() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 50)
        await pilot.press("g")
        await pilot.pause()
        assert not [m for m in app.messages if isinstance(m, tuple)]
        app.view.clear()
        app.give(10, 50)
        await pilot.press("g")
        app.view.prepend([])
        await pilot.press("G", "g")
        await pilot.pause()
        assert [m for m in app.messages if isinstance(m, tuple)] == [("wanted", 10)]


async def test_a_progress_bar_is_one_line() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.feed([log_line(0, "start"), log_line(1, "10%", partial=True)])
        app.view.flush()
        await pilot.pause()
        assert app.drawn()[:2] == ["start", "10%"]
        app.view.feed([log_line(1, "\r55%", partial=True, start=3)])
        app.view.flush()
        await pilot.pause()
        assert app.drawn()[:3] == ["start", "55%", ""]


async def test_find_goes_to_the_nearest_and_round() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        assert app.view.find("step [0-9]*5 ") == 10
        await pilot.pause()
        assert not app.view.following
        assert app.view._current == 95
        await pilot.press("n")
        assert app.view._current == 5
        await pilot.pause()
        assert 5 in app.steps()
        await pilot.press("n", "n", "N")
        assert app.view._current == 15
        await pilot.press("N", "N")
        assert app.view._current == 95


async def test_find_nothing_moves_nothing() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE):
        app.give(0, 100)
        assert app.view.find("nowhere") == 0
        assert app.view.following
        assert not app.view.find_next()
        assert app.view.find("") == 0
        assert not app.view.find_previous()
        with pytest.raises(PatternError):
            app.view.find("(")


async def test_found_text_is_highlighted() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 5)
        plain = [segment.style for segment in app.view.render_line(0)]
        app.view.find("epoch")
        await pilot.pause()
        first = app.view.render_line(0)
        assert first.text.startswith("epoch")
        assert next(iter(first)).text == "epoch"
        assert [segment.style for segment in first] != plain


async def test_filter_shows_only_what_matches_also_of_what_comes() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        app.view.set_filter("step [0-9]*0 ")
        await pilot.pause()
        assert app.steps() == list(range(0, 100, 10))
        assert app.view.state_text == "follow · 10 of 100"
        app.give(100, 21)
        await pilot.pause()
        assert app.steps()[-1] == 120
        app.view.set_filter("step [0-9]*0 ", invert=True)
        await pilot.pause()
        assert 119 in app.steps()
        assert 120 not in app.steps()
        app.view.set_filter("")
        await pilot.pause()
        assert app.view.state_text == "follow"
        with pytest.raises(PatternError):
            app.view.set_filter("[")


async def test_leaving_a_filter_keeps_the_line_at_the_top() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 500)
        app.view.set_filter("step [0-9]*0 ")
        await pilot.press("g", "pagedown")
        await pilot.pause()
        top = app.steps()[0]
        app.view.set_filter("")
        await pilot.pause()
        assert app.steps()[0] == top


async def test_sources() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.feed([log_line(0, "out"), log_line(1, "err", Source.STDERR), log_line(2, "build", Source.BUILD)])
        app.view.flush()
        await pilot.press("s")
        await pilot.pause()
        assert app.drawn()[0] == "out"
        await pilot.press("s")
        await pilot.pause()
        assert app.drawn()[:2] == ["err", ""]
        await pilot.press("s")
        await pilot.pause()
        assert app.drawn()[:3] == ["out", "err", "build"]


async def test_timestamps_and_numbers() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 3)
        await pilot.press("t")
        await pilot.pause()
        assert app.drawn()[1].startswith("12:04:01  epoch")
        await pilot.press("t", "number_sign")
        await pilot.pause()
        assert app.drawn()[1].startswith("    1  +1.000s  epoch")
        await pilot.press("t", "number_sign")
        await pilot.pause()
        assert app.drawn()[1].startswith("epoch")


async def test_long_numbers_get_room() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.set_numbers(True)
        app.give(99_998, 5)
        await pilot.pause()
        assert [line.split()[0] for line in app.drawn()[:3]] == ["99998", "99999", "100000"]


async def test_wrap_breaks_lines_and_follows_their_end() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.feed([log_line(n, f"{n} " + "x" * 100) for n in range(20)])
        app.view.flush()
        await pilot.press("W")
        await pilot.pause()
        assert app.drawn()[-1] == "x" * (len("19 ") + 100 - 2 * 38)
        assert app.drawn()[-3].startswith("19 x")
        await pilot.press("W")
        await pilot.pause()
        assert app.drawn()[0].startswith("10 x")


async def test_narrowed_while_wrapped() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.set_wrap(True)
        app.give(0, 50)
        await pilot.resize_terminal(20, 10)
        await pilot.pause()
        assert app.view.layout_options.cells == 18
        assert app.view.following
        assert app.drawn()[-1].endswith("0.1951")


async def test_sideways_shows_the_rest_and_where_there_is_more() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.feed([log_line(0, "".join(f"{n:02}" for n in range(40)))])
        app.view.flush()
        await pilot.pause()
        assert app.drawn()[0].startswith("000102")
        assert app.drawn()[0].endswith("›")
        await pilot.press("right")
        await pilot.pause()
        assert app.drawn()[0].startswith("0809")
        await pilot.press("right", "right", "right")
        await pilot.pause()
        assert app.drawn()[0] == "3233343536373839"
        await pilot.press("left", "left", "left", "left", "left")
        await pilot.pause()
        assert app.drawn()[0].startswith("0001")


async def test_jump_to_errors() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        app.view.feed(
            [log_line(100, "ValueError: no"), *log_lines(50, start=101), log_line(151, "killed", Source.ERROR)]
        )
        app.give(152, 50)
        await pilot.press("left_square_bracket")
        assert app.view._current == 151
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert any("ValueError" in line for line in app.drawn())
        await pilot.press("right_square_bracket")
        assert app.view._current == 151
        app.view.clear()
        assert not app.view.jump_error()


async def test_save_writes_what_is_seen(tmp_path: Path) -> None:
    app = LogApp()
    async with app.run_test(size=SIZE):
        app.view.feed([log_line(0, "\x1b[31mred"), log_line(1, "blue"), log_line(2, "reed\r")])
        app.view.set_filter("re?ed|red")
        assert app.view.save(tmp_path / "log.txt") == 2
        assert (tmp_path / "log.txt").read_text() == "red\nreed\n"
        with pytest.raises(OSError, match="No such file"):
            app.view.save(tmp_path / "nowhere" / "log.txt")


async def test_copy_without_a_selection_takes_what_is_in_sight() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        await pilot.press("y")
        assert app.clipboard.splitlines()[0].startswith("epoch 12/40  step 90")
        assert len(app.clipboard.splitlines()) == 10


async def test_text_is_selected_by_mouse_without_the_gutter() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        app.view.set_timestamps(Timestamps.CLOCK)
        await pilot.pause()
        await pilot.mouse_down(LogView, offset=(11, 1))
        await pilot.hover(LogView, offset=(16, 2))
        await pilot.mouse_up(LogView, offset=(16, 2))
        await pilot.pause()
        text = app.screen.get_selected_text()
        assert text is not None
        first, second = text.splitlines()
        assert first == "epoch 12/40  step 91  loss 0.1909"
        assert second.startswith("epoch")
        await pilot.press("y")
        assert app.clipboard == text


async def test_a_selection_stays_on_its_lines_while_others_come_and_go() -> None:
    app = LogApp(lines_max=50)
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 50)
        app.screen.selections = {app.view: Selection(Offset(0, 45), Offset(5, 46))}
        await pilot.pause()
        before = app.screen.get_selected_text()
        app.give(50, 40)
        await pilot.pause()
        assert app.screen.get_selected_text() == before == "epoch 12/40  step 45  loss 0.1955\nepoch"


async def test_a_double_click_selects_a_row() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        await pilot.pause()
        await pilot.click(LogView, offset=(3, 2), times=2)
        await pilot.pause()
        assert app.screen.get_selected_text() == "epoch 12/40  step 92  loss 0.1908"


async def test_copied_rows_of_one_line_are_one_line() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.set_wrap(True)
        app.view.feed([log_line(0, "x" * 100), log_line(1, "y")])
        app.view.flush()
        await pilot.press("y")
        assert app.clipboard == "x" * 100 + "\ny"


async def test_clear_forgets_lines_and_keeps_what_is_asked_for() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 100)
        app.view.set_filter("step [0-9]*0 ")
        await pilot.press("k")
        app.view.clear()
        app.give(0, 21)
        await pilot.pause()
        assert app.steps() == [0, 10, 20]
        assert app.view.following


@pytest.mark.parametrize("wrap", [False, True])
async def test_nothing_of_a_hostile_log_reaches_the_terminal_raw(wrap: bool) -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.view.set_wrap(wrap)
        hostile = [
            "\x1b[2J\x1b]0;x\x07",
            "a\nb\x0b\x0c",
            "\u202e\u200b",
            "\ud800",
            "数" * 300,
            "\x9b5n",
            "\t" * 50,
            "x\x00y",
        ]
        app.view.feed([log_line(n, data) for n, data in enumerate(hostile)])
        app.view.flush()
        await pilot.pause()
        for strip in app.screen._compositor.render_strips():
            assert strip.text.isprintable()
            assert strip.cell_length == 40
            strip.text.encode()


async def test_fed_before_it_is_shown() -> None:
    app = LogApp()
    app.view.feed(log_lines(30))
    app.view.set_note("ended: exit 0")
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert app.steps() == list(range(20, 30))
        assert app.view.state_text == "ended: exit 0"


async def test_a_theme_change_repaints() -> None:
    app = LogApp()
    async with app.run_test(size=SIZE) as pilot:
        app.give(0, 5)
        dark = [segment.style for segment in app.view.render_line(0)]
        app.theme = "opsconsole-light"
        await pilot.pause()
        assert [segment.style for segment in app.view.render_line(0)] != dark


async def test_stderr_is_marked_in_the_gutter_and_not_painted() -> None:
    """The kind: what tqdm and logging write to stderr looks like an error (hard use 9)."""
    app = LogApp()
    async with app.run_test(size=SIZE):
        app.view.set_timestamps(Timestamps.CLOCK)
        app.view.feed([log_line(0, "to stdout"), log_line(1, "to stderr", source=Source.STDERR)])
        app.view.flush()
        strips = [app.view.render_line(row) for row in (0, 1)]
        assert [strip.text[9] for strip in strips] == [" ", "▏"]
        colours = [next(segment.style.color for segment in strip if "to std" in segment.text) for strip in strips]  # type: ignore[union-attr]
        assert colours[0] == colours[1]
