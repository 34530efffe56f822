"""The console: its bindings, theme and link to the fleet. Screens say what is shown where."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets._toast import Toast
from textual.worker import Worker

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console import theme as themes
from opsconsole_console.app.announcer import Announcer
from opsconsole_console.app.command_line import CommandLine
from opsconsole_console.app.guard import guard, is_painting, unwrapped
from opsconsole_console.app.hand_over import hand_over, shell_command
from opsconsole_console.app.key_gate import KeyGate
from opsconsole_console.app.navigation import Navigation
from opsconsole_console.app.palette import ConsoleCommands
from opsconsole_console.app.resume import stop_and_continue
from opsconsole_console.app.saved_state import SavedState
from opsconsole_console.app.steady_stylesheet import SteadyStylesheet
from opsconsole_console.model.announcement import Telling
from opsconsole_console.model.clock import Clock
from opsconsole_console.model.contact import Contact
from opsconsole_console.model.model import Model
from opsconsole_console.model.quit_check import Needs, needs, question_detail
from opsconsole_console.screen.main.main_screen import MainScreen
from opsconsole_console.screen.part.confirm_screen import ConfirmScreen
from opsconsole_console.screen.part.contact_line import show_contact
from opsconsole_console.screen.part.shell_access import run_exclusive
from opsconsole_console.service.clipboard import Clipboard
from opsconsole_console.service.console_state import ConsoleState, StateFile
from opsconsole_console.service.fault_log import FILE_NAME, FaultLog
from opsconsole_console.service.operations import Operations, Severity
from opsconsole_console.service.source import FleetSource
from opsconsole_console.service.transfers import MakeBoard, Transfers, make_board
from opsconsole_console.service.wall_clock import wall_clock
from opsconsole_console.visible import clean
from opsconsole_protocol.api import AskHealth, Health
from opsconsole_protocol.error import OpsconsoleError, Unavailable

REPAINT_HZ = 15
_TICK_S = 1.0
_TOAST_MIN_S = 0.1
_COPY_SHOWN_MAX = 60
_AFTER_FAULT_S = 5.0
_OWN_FAULT = "the console made a mistake of its own"
_HEALTH_WAIT_S = 2.0
"""How long leaving waits to hear who else is there."""


class ConsoleApp(App[int]):
    """Shows a `FleetSource`, and is the `Shell` around its screens. `run_app` says what the options mean."""

    TITLE = "opsconsole"
    CSS_PATH: ClassVar[Any] = [themes.stylesheet_path(), themes.shipped_folder() / "screen.tcss"]
    COMMANDS: ClassVar[Any] = {ConsoleCommands}
    ENABLE_COMMAND_PALETTE = True
    ALLOW_IN_MAXIMIZED_VIEW = "Header, KeyBar"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("colon", "command_line", "Command", key_display=":", id="app.command"),
        Binding(
            "T",
            "transfers",
            "Transfers",
            show=False,
            tooltip="What moves between here and the fleet",
            id="app.transfers",
        ),
        Binding("question_mark", "help", "Help", key_display="?", id="app.help"),
        Binding("q", "back_or_quit", "Quit", show=False, id="app.quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, id="app.interrupt"),
        Binding("ctrl+p", "command_palette", "Palette", show=False, id="app.palette"),
        Binding("ctrl+q", "quit", show=False, system=True),
        Binding(
            "ctrl+l",
            "paint_anew",
            "Paint anew",
            show=False,
            priority=True,
            id="app.paint_anew",
            tooltip="After a message from elsewhere was written over it",
        ),
    ]

    def __init__(
        self,
        source: FleetSource,
        *,
        read_only: bool = False,
        quit_note: Callable[[], str] | None = None,
        own_worker: Callable[[], str | None] | None = None,
        state_dir: Path | None = None,
        theme: str | None = None,
        theme_configured: str | None = None,
        keymap: Mapping[str, str] | None = None,
        telling: Telling | None = None,
        state_file: StateFile | None = None,
        clock: Clock = wall_clock,
        make_transfers: MakeBoard = make_board,
    ) -> None:
        super().__init__()
        state = ConsoleState() if state_file is None else state_file.state
        self.source = source
        self.clock = clock
        self.model = Model(source.fleet, clock, state.seen)
        self.operations = Operations(source, self.model, self)
        self.transfers = Transfers(source, self, make_transfers, clock)
        self._read_only = read_only
        self._quit_note = quit_note
        self._own_worker = own_worker
        self.fault_log = None if state_dir is None else FaultLog(state_dir / FILE_NAME, self._say_fault)
        if self.fault_log is not None:
            guard(self, self._handle_exception)
        self._terminal_clipboard = Clipboard(self._write, os.environ, state_dir)
        self._keymap_wanted = dict(keymap or {})
        self._key_gate = KeyGate(self, super().on_event)
        shipped = themes.load_themes()
        self._theme_problems = shipped.problems
        for one in shipped.themes:
            self.register_theme(one)
        self._announcer = Announcer(self, self.model, telling or Telling())
        self.failure: OpsconsoleError | None = None
        """Why there is nothing to show, and so no console."""
        self._was_connected = False
        self._clashes: set[str] = set()
        self.theme = themes.DEFAULT_THEME
        self.stylesheet = SteadyStylesheet(self.get_css_variables())
        self.ansi_theme_dark, self.ansi_theme_light = themes.ANSI_DARK, themes.ANSI_LIGHT
        self.main = MainScreen(self.model, source, lambda: self.read_only)
        self.navigation = Navigation(self, self, self.main)
        self.command_line = CommandLine(self, self, self.navigation, self.set_theme)
        self._saved_state = SavedState(
            self, self, self.main, state_file,
            theme_asked=theme, theme_configured=theme_configured, on_restored=self._key_gate.begin,
        )  # fmt: skip

    @property
    def read_only(self) -> bool:
        """Whether this console may only look: it was asked to, or its token allows no more."""
        return self._read_only or self.model.contact.role == "viewer"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the key for a new job from those who may only look."""
        if action == "new_job" and self.read_only:
            return False
        return super().check_action(action, parameters)

    def get_default_screen(self) -> Screen[Any]:
        return self.main

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.variable_defaults(self.current_theme)

    async def on_unmount(self) -> None:
        await self.transfers.close()

    def on_mount(self) -> None:
        self.set_keymap(self._keymap_wanted)
        theme = self._saved_state.theme()
        if theme is not None:
            self.set_theme(theme)
        for problem in self._theme_problems:
            self.say(problem, "warning")
        if self._driver is not None and not self.is_headless:
            stop_and_continue(self._driver)
        self.app_resume_signal.subscribe(self, self._on_resume)
        self.call_after_refresh(self._read_other_styles)
        self.call_after_refresh(self._saved_state.restore)
        self.call_after_refresh(
            run_exclusive, self, self._stay_connected, "link"
        )  # starting a coordinator can wait for the first paint
        self.set_interval(1 / REPAINT_HZ, self.repaint)
        self.set_interval(_TICK_S, self._tick)

    def _read_other_styles(self) -> None:
        """Read how the screens look that can be opened. None is, yet: keys wait for `restore`."""
        self.stylesheet.read(themes.shipped_folder() / "opened_screen.tcss")
        self.stylesheet.parse()

    # -- the console's own mistakes: see guard.py -------------------------------------------------------------------

    def _register_child(self, parent: DOMNode, child: Widget, before: int | None, after: int | None) -> None:
        if self.fault_log is not None:
            guard(child, self._handle_exception)
        if isinstance(child, Toast):  # Textual's timer never lets go of the loop if its delay is past already
            child._timeout = max(_TOAST_MIN_S, child._timeout)  # noqa: SLF001
        super()._register_child(parent, child, before, after)

    def _handle_exception(self, error: Exception) -> None:
        """Note the error and go on. Without a fault log, or before there is a screen to say it on, it ends the app."""
        if self.fault_log is None or not self.is_running or not self.screen_stack:
            super()._handle_exception(error)
            return
        self.fault_log.note(unwrapped(error))
        if is_painting(error):
            self._remove_broken_screen(f"{type(error).__name__}: this screen can't be painted.")

    def _remove_broken_screen(self, text: str) -> None:
        """Close the screen that can't be painted; the first screen is covered instead."""
        from opsconsole_console.screen.fault.fault_screen import FaultScreen

        if len(self.screen_stack) > 1 and not isinstance(self.screen, FaultScreen):
            self.call_later(self.pop_screen)
        elif not isinstance(self.screen, FaultScreen):
            self.call_later(self.push_screen, FaultScreen(text))

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._key_gate.receive(event)
        else:
            await super().on_event(event)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:  # noqa: ARG002 - Textual's
        """Say once which binding gave way to a remapped key."""
        for binding in clashed_bindings:
            if binding.id is not None and binding.id not in self._clashes:
                self._clashes.add(binding.id)
                self.say(f"{binding.id} lost its key {binding.key} to your keymap: give it another", "warning")

    # -- the fleet ------------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self.source.run(self._on_change, self._on_contact)
            except OpsconsoleError as error:
                self.failure = error
                self.exit()
                return
            except Exception as error:  # noqa: BLE001 - noted, and the link is made anew
                self._handle_exception(error)
                if not self._was_connected:  # there is nothing to show, and so no console
                    self.failure = OpsconsoleError(f"{_OWN_FAULT} at its start: {type(error).__name__}: {error}")
                    self.exit()
                    return
                self._on_contact(Contact("lost", _OWN_FAULT, retry_ms=round(1000 * _AFTER_FAULT_S)))
                await asyncio.sleep(_AFTER_FAULT_S)

    def _on_resume(self, _: App[Any]) -> None:
        """The console was stopped and continued: the shell has written to the terminal meanwhile."""
        self.call_after_refresh(self.action_paint_anew)

    def _on_change(self, change: Change) -> None:
        self.model.note_change(change)

    def _on_contact(self, contact: Contact) -> None:
        read_only, before = self.read_only, self.model.contact.state
        self.model.set_contact(contact)
        if read_only != self.read_only:
            for screen in self.screen_stack[-1:]:
                screen.refresh_bindings()
        if before == "connected" and contact.state == "lost":
            self.say(f"{self.model.fleet.coordinator or 'the coordinator'} is not reached: {contact.text}", "warning")
        elif contact.state == "connected" and self._was_connected and before != "connected":
            self.say("connected again")
        if contact.state == "connected" and not self._was_connected and not self.read_only:
            run_exclusive(self, self.transfers.run, "transfers")
        self._was_connected = self._was_connected or contact.state == "connected"

    def open_shell(self, task: str) -> None:
        """Hand the terminal over to a shell in a running task, until that is left."""
        if said := hand_over(self, *shell_command(self.source.target(), task, os.environ)):
            self.say(said, "warning")

    def repaint(self) -> None:
        """Show what changed since the last time, on every screen that shows the fleet."""
        if not self.is_running:
            return  # the screens are being taken down
        self._announcer.look()
        change = self.model.take_change()
        if change is None:
            if not self.model.is_live:
                self._show_contact()  # on a screen that was opened meanwhile too
            return
        self._show_contact()
        for screen in self.screen_stack:
            apply = getattr(screen, "apply", None)
            if apply is not None and screen.is_mounted:
                try:
                    apply(change)
                except Exception as error:  # noqa: BLE001 - a mistake of one screen is nothing to the others
                    self._handle_exception(error)

    def _show_contact(self) -> None:
        for screen in self.screen_stack:
            if screen.is_mounted:
                show_contact(screen, self.model, self.source)

    def _tick(self) -> None:
        self._saved_state.save_changes()
        if not self.model.is_live:
            return  # time stands still in what is shown
        # Not `self.screen`: while the app goes away there may be none.
        for screen in self.screen_stack[-1:]:
            tick = getattr(screen, "tick", None)
            if tick is not None:
                tick()

    # -- what screens need: see Shell -----------------------------------------------------------------------------------

    def say(self, text: str, severity: Severity = "information") -> None:
        """Show a toast."""
        self.notify(text, severity=severity)

    def notify(self, message: str, **options: Any) -> None:
        """Show a toast whose message is plain text, whoever asks for it: markup in it is shown as it stands."""
        super().notify(clean(message), **options | {"markup": False, "title": clean(options.get("title", ""))})

    def _say_fault(self, text: str) -> None:
        self.say(text, "error")

    async def confirm(self, question: str, detail: str, yes: str) -> bool:
        """Ask a question before something is destroyed, and return whether the answer is yes."""
        return await self.push_screen_wait(ConfirmScreen(question, detail, yes)) is True

    def do(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something in the background; an OpsconsoleError is said in a toast."""

        async def carried_out() -> None:
            try:
                await work()
            except OpsconsoleError as error:
                self.say(error.message, "error")

        _: Worker[None] = self.run_worker(carried_out, group="operations")

    def look_up(self, work: Callable[[], Awaitable[None]]) -> None:
        """Fetch something that no key asked for: while the coordinator isn't reached the first line says so, and no toast."""

        async def looked_up() -> None:
            with suppress(Unavailable):
                await work()

        self.do(looked_up)

    def copy_to_clipboard(self, text: str) -> None:
        """Put text where it can be pasted from, through ssh and tmux too, and say what became of it."""
        lines = text.count("\n") + 1
        self.copy(text, "it" if lines == 1 else f"{lines:,} lines", secret=True)

    def copy(self, text: str, what: str, *, secret: bool = False) -> None:
        """Put text where it can be pasted from, and say so by the name `what`; the text is shown too unless it is a secret."""
        self._clipboard = text  # what is pasted within the console
        shown = "" if secret else f": {text if len(text) <= _COPY_SHOWN_MAX else text[: _COPY_SHOWN_MAX - 1] + '…'}"

        async def put() -> None:
            self.say((await self._terminal_clipboard.copy(text)).describe(what + shown))

        self.do(put)

    def _write(self, text: str) -> None:
        if self._driver is not None:
            self._driver.write(text)

    # -- actions --------------------------------------------------------------------------------------------------

    def action_new_job(self) -> None:
        self.navigation.open("new_job")

    def action_transfers(self) -> None:
        self.navigation.open("transfers")

    def action_help(self) -> None:
        self.navigation.open_help()

    def action_command_line(self) -> None:
        self.command_line.open()

    def action_failure(self, step: int) -> None:
        self.navigation.step_failure(step)

    def action_failures_seen(self) -> None:
        self.navigation.mark_failures_seen()

    def action_paint_anew(self) -> None:
        """Write the whole screen, and not only what changed: something else may have written over it."""
        if self.screen_stack:
            self.screen.refresh(layout=True)
            update = self.screen._compositor.render_update(full=True, screen_stack=self._background_screens)  # noqa: SLF001
            self._write("\x1b[2J")
            self._display(self.screen, update)

    async def action_back_or_quit(self) -> None:
        """Close the screen on top, or undo a zoom, or quit."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.screen.maximized is not None:
            self.screen.minimize()
        else:
            await self.action_quit()

    async def action_quit(self) -> None:
        """Quit; ask first where a coordinator that others need would stop."""
        if self._own_worker is None or not self.model.is_live:
            self._quit()
        elif not isinstance(self.screen, ConfirmScreen):
            self.do(self._quit_if_agreed)

    async def _quit_if_agreed(self) -> None:
        found = await self._needs()
        if found and not await self.confirm("Stop this coordinator?", question_detail(found), "Stop it"):
            return
        self._quit()

    async def _needs(self) -> Needs:
        watchers: tuple[str, ...] = ()
        with suppress(OpsconsoleError, TimeoutError):
            async with asyncio.timeout(_HEALTH_WAIT_S):
                watchers = (await ask(self.source, AskHealth(), Health)).watchers
        own_worker = None if self._own_worker is None else self._own_worker()
        return needs(
            self.model.fleet, own_worker=own_worker, watchers=watchers, own_name=self.model.contact.actor
        )  # fmt: skip

    def _quit(self) -> None:
        """Save the state and exit; the shell's screen then says what goes on running."""
        self._saved_state.save_at_end()
        note = "" if self._quit_note is None else self._quit_note()
        self.exit(0, message=note or None)

    def set_theme(self, name: str) -> None:
        """Change the colours; an unknown name is said, not raised."""
        if name in self.available_themes:
            self.theme = name
        else:
            self.say(f"there is no theme {name!r}: {', '.join(sorted(self.available_themes))}", "warning")
