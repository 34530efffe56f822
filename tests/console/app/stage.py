"""Running the console in a test, and waiting for what it shows."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from rich.console import RenderableType
from textual._compositor import Compositor, LayoutUpdate
from textual.message import Message
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from opsconsole_console.app.app import ConsoleApp
from tests.console.app.fake_board import FakeBoard
from tests.console.app.source import RecordedSource
from tests.waiting import until

USUAL = (120, 32)
"""Large enough for logs beside tables; painting more only takes time."""
SMALL = (80, 24)


_PAINT = Compositor.render_update


class Brush:
    """Has the screen painted once at each rest: when it is looked at, or else before it is left.

    What lies between two states is painted by nobody's eye: it was a third of all time.
    """

    def __init__(self) -> None:
        self._is_down = False
        self.has_painted = True
        """Whether the present rest is painted."""

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Paint nothing, unless asked to."""
        brush = self

        def render_update(self: Compositor, full: bool = False, **options: Any) -> RenderableType | None:
            return _PAINT(self, full, **options) if full or brush._is_down else None

        with patch.object(Compositor, "render_update", render_update):
            yield

    def paint(self, app: ConsoleApp) -> None:
        """Paint what has changed since the last time."""
        self._is_down = self.has_painted = True
        try:
            app.screen._compositor.render_update(screen_stack=app._background_screens)
        finally:
            self._is_down = False


class Stage:
    """The app with its pilot."""

    pilot: Pilot[int]

    def __init__(self, app: ConsoleApp, source: RecordedSource, board: FakeBoard, brush: Brush | None) -> None:
        self._brush = brush
        self.board = board
        self.app = app
        self.source = source
        self.toasts: list[str] = []
        """What was said, newest last; toasts themselves go after a while."""
        notify = app.notify

        def note(message: str, **options: Any) -> None:
            self.toasts.append(message)
            notify(message, **options)

        app.notify = note  # type: ignore[method-assign]

    async def press(self, *keys: str) -> None:
        """Press keys and let everything they cause happen."""
        await self.paint()
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        """Type into the focused box."""
        box = self.app.focused
        assert isinstance(box, Input), f"{box} is no box to type into"
        await self.paint()
        box.insert_text_at_cursor(text)
        await self.settle()

    async def line(self, text: str) -> None:
        """Do what a command line says."""
        await self.paint()
        self.app.command_line.run(text)
        await self.settle()

    async def settle(self) -> None:
        """Let what is pending happen; it is painted when it is looked at, or before the next thing happens."""
        await self.paint()
        await self.pilot.pause()
        self.app.repaint()
        await self.pilot.pause()
        await until(self._is_laid_out, what="the layout")
        if self._brush is not None:
            self._brush.has_painted = False

    async def paint(self) -> None:
        """Paint what nobody has looked at since it came to rest."""
        if self._brush is not None and not self._brush.has_painted and not self.app._exit:
            self._brush.paint(self.app)
            await until(self._is_laid_out, what="the layout after painting")

    def _is_laid_out(self) -> bool:
        screen = self.app.screen
        screen._on_timer_update()
        waits = screen._layout_required or screen._scroll_required or screen._recompose_required or screen._callbacks
        return not waits or self.app._exit

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait for something that comes by itself."""
        await until(condition, what=what)
        await self.settle()

    def job(self, job_id: str) -> None:
        """Put the cursor on a job."""
        full = next(known for known in self.source.fleet.jobs if known.startswith(job_id))
        assert self.app.main.job_pane.table.move_to(full)

    def worker(self, name: str) -> None:
        """Put the cursor on a worker."""
        table = self.app.main.worker_pane.table
        found = self.app.model.worker_named(name)
        assert found is not None
        assert table.move_to(found.id)
        table.focus()

    def has_focus(self, widget: Widget) -> bool:
        """Whether a widget has the keyboard."""
        return self.app.focused is widget

    @property
    def screen_name(self) -> str:
        """The class of the screen on top."""
        return type(self.app.screen).__name__

    def text(self) -> str:
        """What stands on the screen, line by line."""
        return "\n".join(strip.text for strip in self.strips())

    def strips(self) -> list[Strip]:
        """What stands on the screen, screens that shine through included, painted anew."""
        screen = self.app.screen
        screen._styles_cache.clear()
        update = screen._compositor.render_update(full=True, screen_stack=self.app._background_screens)
        assert isinstance(update, LayoutUpdate)
        if self._brush is not None:
            self._brush.has_painted = True
        return [Strip.join(line) for line in update.strips]


@asynccontextmanager
async def stage(
    source: RecordedSource,
    size: tuple[int, int] = USUAL,
    message_hook: Callable[[Message], None] | None = None,
    *,
    paints_always: bool = False,
    **options: Any,
) -> AsyncIterator[Stage]:
    """The console on a source, its first fleet on the screen. `paints_always`: at every change, as a terminal has it."""
    board = FakeBoard()
    app = ConsoleApp(source, clock=source.clock, make_transfers=board.made, **options)
    brush = None if paints_always else Brush()
    there = Stage(app, source, board, brush)
    held_back = nullcontext() if brush is None else brush.held_back()
    with held_back:
        async with app.run_test(size=size, notifications=True, message_hook=message_hook) as pilot:
            there.pilot = pilot
            nothing_comes = source.unreachable or not source.snapshot.jobs
            await until(lambda: app.main.job_pane.table.total > 0 or nothing_comes, what="the first fleet")
            await there.settle()
            yield there
            await there.paint()
