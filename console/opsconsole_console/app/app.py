"""The console: its mode, bindings, theme and link. What is shown where is the screens' business."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.worker import Worker

from opsconsole.fleet import Change
from opsconsole_console import theme as themes
from opsconsole_console.app.clock import Clock, wall_clock
from opsconsole_console.app.key_gate import KeyGate
from opsconsole_console.app.model import Model
from opsconsole_console.app.navigation import Navigation
from opsconsole_console.app.operation import Operations, Severity
from opsconsole_console.app.palette import ConsoleCommands
from opsconsole_console.app.source import Contact, FleetSource
from opsconsole_console.screen.main.main_screen import MainScreen
from opsconsole_console.screen.part.confirm_screen import ConfirmScreen
from opsconsole_console.screen.part.home import begin
from opsconsole_console.visible import clean
from opsconsole_protocol.error import OpsconsoleError

REPAINT_HZ = 15
_TICK_S = 1.0


class ConsoleApp(Navigation):
    """Shows a `FleetSource`. `keymap` remaps bindings by id; `quit_note` says what goes on running after quitting."""

    TITLE = "opsconsole"
    CSS_PATH: ClassVar[Any] = [themes.stylesheet_path(), themes.shipped_folder() / "screen.tcss"]
    COMMANDS: ClassVar[Any] = {ConsoleCommands}
    ENABLE_COMMAND_PALETTE = True
    ALLOW_IN_MAXIMIZED_VIEW = "Header, KeyBar"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("colon", "command_line", "Command", key_display=":", id="app.command"),
        Binding("question_mark", "help", "Help", key_display="?", id="app.help"),
        Binding("q", "quit", "Quit", show=False, id="app.quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, id="app.interrupt"),
        Binding("ctrl+p", "command_palette", "Palette", show=False, id="app.palette"),
        Binding("ctrl+q", "quit", show=False, system=True),
    ]

    def __init__(
        self,
        source: FleetSource,
        *,
        read_only: bool = False,
        quit_note: Callable[[], str] | None = None,
        theme: str | None = None,
        keymap: Mapping[str, str] | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        super().__init__()
        self.source = source
        self.clock = clock
        self.model = Model(source.fleet, clock)
        self.operations = Operations(source, self.model, self)
        self._read_only = read_only
        self._quit_note = quit_note
        self._keymap_wanted = dict(keymap or {})
        self._keys = KeyGate(self, super().on_event)
        shipped = themes.load_themes()
        self._theme_problems = shipped.problems
        for one in shipped.themes:
            self.register_theme(one)
        self._theme_wanted = theme
        self.failure: OpsconsoleError | None = None
        """Why there is nothing to show, and so no console."""
        self._was_connected = False
        self._clashes: set[str] = set()
        self.theme = themes.DEFAULT_THEME
        self.main = MainScreen(self.model, source, lambda: self.read_only)

    @property
    def read_only(self) -> bool:
        """Whether this console may only look: it was asked to, or its token allows no more."""
        return self._read_only or self.model.contact.role == "viewer"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A new job is nothing for those who may only look."""
        if action == "new_job" and self.read_only:
            return False
        return super().check_action(action, parameters)

    def get_default_screen(self) -> Screen[Any]:
        return self.main

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.variable_defaults(self.current_theme)

    def on_mount(self) -> None:
        self.set_keymap(self._keymap_wanted)
        if self._theme_wanted is not None:
            self.set_theme(self._theme_wanted)
        for problem in self._theme_problems:
            self.say(problem, "warning")
        self.call_after_refresh(begin, self, self._link, "link")  # starting a coordinator can wait for the first paint
        self.set_interval(1 / REPAINT_HZ, self.repaint)
        self.set_interval(_TICK_S, self._tick)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._keys.take(event)
        else:
            await super().on_event(event)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:  # noqa: ARG002 - Textual's
        """Say once which binding gave way to a remapped key."""
        for binding in clashed_bindings:
            if binding.id is not None and binding.id not in self._clashes:
                self._clashes.add(binding.id)
                self.say(f"{binding.id} lost its key {binding.key} to your keymap: give it another", "warning")

    # -- the fleet ------------------------------------------------------------------------------------------------

    async def _link(self) -> None:
        try:
            await self.source.run(self._note, self._meet)
        except OpsconsoleError as error:
            self.failure = error
            self.exit()

    def _note(self, change: Change) -> None:
        self.model.note(change)

    def _meet(self, contact: Contact) -> None:
        read_only, before = self.read_only, self.model.contact.state
        self.model.meet(contact)
        if read_only != self.read_only:
            for screen in self.screen_stack[-1:]:
                screen.refresh_bindings()
        if before == "connected" and contact.state == "lost":
            self.say(f"lost the connection: {contact.text}", "warning")
        elif contact.state == "connected" and self._was_connected and before != "connected":
            self.say("connected again")
        self._was_connected = self._was_connected or contact.state == "connected"

    def repaint(self) -> None:
        """Show what changed since the last time, on every screen that shows the fleet."""
        change = self.model.take()
        if change is None:
            return
        for screen in self.screen_stack:
            apply = getattr(screen, "apply", None)
            if apply is not None and screen.is_mounted:
                apply(change)

    def _tick(self) -> None:
        # Not `self.screen`: while the app goes away there may be none.
        for screen in self.screen_stack[-1:]:
            tick = getattr(screen, "tick", None)
            if tick is not None:
                tick()

    # -- the desk: see Operations -----------------------------------------------------------------------------------

    def say(self, text: str, severity: Severity = "information") -> None:
        """Show a toast."""
        self.notify(text, severity=severity)

    def notify(self, message: str, **options: Any) -> None:
        """Whoever notifies, it is text and no markup."""
        super().notify(clean(message), **options | {"markup": False, "title": clean(options.get("title", ""))})

    async def confirm(self, question: str, detail: str, yes: str) -> bool:
        """Ask before something is destroyed."""
        return await self.push_screen_wait(ConfirmScreen(question, detail, yes)) is True

    def do(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something in the background; what can go wrong is said in a toast."""

        async def carried_out() -> None:
            try:
                await work()
            except OpsconsoleError as error:
                self.say(error.message, "error")

        _: Worker[None] = self.run_worker(carried_out, group="operations")

    def copy_to_clipboard(self, text: str) -> None:
        """Put text into the terminal's clipboard, through ssh and tmux too, and say so."""
        super().copy_to_clipboard(text)
        lines = text.count("\n") + 1
        self.say("copied" if lines == 1 else f"copied {lines:,} lines")

    def copy(self, text: str, what: str) -> None:
        """The same with a name for it."""
        super().copy_to_clipboard(text)
        self.say(f"copied {what}: {text if len(text) <= 60 else text[:59] + '…'}")

    # -- actions --------------------------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Leave; what goes on running is said on the terminal that one comes back to."""
        note = "" if self._quit_note is None else self._quit_note()
        self.exit(0, message=note or None)

    def set_theme(self, name: str) -> None:
        """Change the colours; an unknown name is said, not raised."""
        if name in self.available_themes:
            self.theme = name
        else:
            self.say(f"there is no theme {name!r}: {', '.join(sorted(self.available_themes))}", "warning")
