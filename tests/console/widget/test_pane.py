import pytest
from textual.geometry import Region
from textual.widgets import Static

from opsconsole_console.widget.cell import width
from opsconsole_console.widget.pane import Pane, labels
from tests.console.widget.fleet import ThemedApp


class Box(Static, can_focus=True):
    """Something to focus."""


def drawn(app: ThemedApp) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


def text_of(number: str, title: str, subject: str, state: str, cells: int) -> tuple[str, str]:
    left, right = labels(number, title, subject, state, cells)
    return "".join(text for text, _ in left), right


def test_labels_in_full() -> None:
    assert text_of("3", "Logs", "42f/task-0  gpu-a", "follow", 60) == (" 3 Logs  42f/task-0  gpu-a ", " follow ")
    assert text_of("", "Events", "", "", 60) == (" Events ", "")


@pytest.mark.parametrize("cells", range(4, 70))
def test_labels_never_take_more_than_there_is(cells: int) -> None:
    left, right = text_of("3", "Logs", "42f/task-0  gpu-a", "12,034 behind", cells)
    assert width(left) + width(right) <= cells + 1


def test_the_subject_is_shortened_before_the_state() -> None:
    left, right = text_of("3", "Logs", "42f/task-0  gpu-a", "12,034 behind", 34)
    assert right == " 12,034 behind "
    assert left == " 3 Logs  42f/…pu-a "


def test_labels_are_clean() -> None:
    assert "\x1b" not in "".join(text_of("1", "a\x1b[2J", "b\x07", "c\n", 60))


async def test_the_frame_carries_title_and_state() -> None:
    pane = Pane(Box("body"), number=3, title="Logs", subject="42f/task-0", state="follow")
    app = ThemedApp(pane)
    async with app.run_test(size=(50, 6)) as pilot:
        first = drawn(app)[0]
        assert first.startswith("╭ 3 Logs  42f/task-0 ──")
        assert first.endswith("── follow ─╮")
        assert len(first) == 50
        pane.state = "12,034 behind"
        pane.subject = ""
        await pilot.pause()
        first = drawn(app)[0]
        assert first.startswith("╭ 3 Logs ──")
        assert first.endswith("── 12,034 behind ─╮")


async def test_a_changed_state_is_painted_and_nothing_else() -> None:
    pane = Pane(Box("body"), number=3, title="Logs", state="follow")
    async with ThemedApp(pane).run_test(size=(50, 6)) as pilot:
        await pilot.pause()
        pane.state = "paused"
        assert pane._repaint_regions == {Region(0, 0, 50, 1)}


async def test_zoom_fills_the_screen_and_gives_it_back() -> None:
    box = Box("body")
    pane = Pane(box, number=1, title="Workers")
    app = ThemedApp(pane, Pane(Box("other"), number=2, title="Jobs"))
    async with app.run_test(size=(50, 12)) as pilot:
        box.focus()
        await pilot.press("z")
        await pilot.pause()
        assert pane.zoomed
        assert pane.has_class("-zoomed")
        assert pane.region.size == app.screen.size
        await pilot.press("z")
        await pilot.pause()
        assert not pane.zoomed
        assert pane.region.height == 6
        await pilot.press("z", "escape")
        await pilot.pause()
        assert not pane.has_class("-zoomed")


async def test_the_focused_frame_looks_different() -> None:
    first, second = Box("a"), Box("b")
    panes = Pane(first), Pane(second)
    app = ThemedApp(*panes)
    async with app.run_test(size=(50, 12)) as pilot:
        first.focus()
        await pilot.pause()
        assert panes[0].styles.border.top[1] != panes[1].styles.border.top[1]
