"""`:invite`: for whom, then the whole command line to paste there."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Select

from opsconsole.ask import ask
from opsconsole_console import format as fmt
from opsconsole_console.model.invitation import ROLES, command_of, loopback_advice
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.facts import wrapped
from opsconsole_console.screen.part.field_box import Field, FieldBox
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import BLANK, Line, LineView
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.drop_down import DropDown
from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import Caption, Choice, Dialog
from opsconsole_protocol import quantity
from opsconsole_protocol.api import Invite, Invited
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError

_FOR = {
    "worker": "a worker: a GPU host that runs tasks",
    "viewer": "a viewer: looks, changes nothing",
    "operator": "an operator: submits and cancels jobs, drains workers",
    "admin": "an admin: all of that, invites and revokes",
}
_MARGIN_CELLS = 14


class InviteScreen(SteadyScreen, ModalScreen[None]):
    """Nothing is made before enter says so: an invitation is a secret that opens something."""

    AUTO_FOCUS = "#make"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "app.pop_screen", "Back", id="invite.back"),
        Binding("ctrl+s", "make", "Make it", id="invite.make", priority=True),
        Binding("y", "copy", "Copy the command", id="invite.copy"),
    ]

    def __init__(self, model: Model, source: FleetSource) -> None:
        super().__init__()
        self._model = model
        self._source = source
        self._role = DropDown([(_FOR[role], role) for role in ROLES], value=ROLES[0], id="role")
        self._ttl = FieldBox(Field("ttl", "valid for", "1h"), "1h")
        self._uses = FieldBox(Field("uses", "uses", "1"), "1")
        self._called = FieldBox(Field("name", "name", "the host's own"), "")
        self._result = LineView(id="invite-told")
        self._command = ""
        self._invited: Invited | None = None

    def compose(self) -> ComposeResult:
        with Dialog("Invite", classes="large"):
            with Horizontal(id="role-row"):
                yield Caption("for")
                yield self._role
            with Horizontal(classes="field-row"):
                yield self._ttl
                yield self._uses
                yield self._called
            with Horizontal(classes="buttons"):
                yield Choice("Make the invitation", id="make", variant="primary")
            yield self._result
        yield KeyBar()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the key that copies until there is a command to copy."""
        return bool(self._command) if action == "copy" else super().check_action(action, parameters)

    def on_resize(self) -> None:
        self._show_invitation()

    @on(Button.Pressed, "#make")
    def action_make(self) -> None:
        try:
            request = Invite(
                role=self._chosen,
                ttl_ms=quantity.duration_ms(self._ttl.value.strip() or "1h"),
                uses=_whole(self._uses.value),
                name=self._called.value.strip(),
            )
        except InvalidRequest as error:
            self._complain(error)
            return
        run_exclusive(self, partial(self._make_invitation, request), "invite")

    async def _make_invitation(self, request: Invite) -> None:
        try:
            self._invited = await ask(self._source, request, Invited)
        except OpsconsoleError as error:
            self._complain(error)
            return
        self._command = command_of(self._invited.line, request.role)
        self._show_invitation()
        self.set_focus(None)  # so that `y` copies, and enter doesn't make another
        self.refresh_bindings()

    @property
    def _chosen(self) -> str:
        return str(self._role.value)

    @on(Select.Changed)
    @on(Input.Changed)
    def _discard_invitation(self) -> None:
        """Take away the command that was made: it is for another role or other terms."""
        self._command, self._invited = "", None
        self._result.show([])
        self.refresh_bindings()

    @on(Input.Submitted)
    def _make_on_enter(self) -> None:
        self.action_make()

    def _complain(self, error: OpsconsoleError) -> None:
        self._command, self._invited = "", None
        self._result.show(wrapped(error.message, self._cells, "state-failed"))

    def _show_invitation(self) -> None:
        invited = self._invited
        if invited is None:
            return
        where = "the GPU host" if self._chosen == "worker" else "their machine"
        left_ms = max(0, invited.expires_at_ms - self._model.wall_clock())
        uses = _whole(self._uses.value)
        often = "once" if uses == 1 else f"{uses:,} times"
        advice = wrapped(loopback_advice(invited.line), self._cells, "state-silent")
        self._result.show(
            [
                BLANK,
                Line(cell(f"Paste this into a shell on {where}:", "bold")),
                BLANK,
                *wrapped(self._command, self._cells, "primary"),
                BLANK,
                Line(
                    cell(f"It works {often}, for {fmt.duration(left_ms, figures=2)}, and holds a secret.", "text-muted")
                ),
                *([BLANK] if advice else []),
                *advice,
            ]
        )

    @property
    def _cells(self) -> int:
        return max(40, self.size.width - _MARGIN_CELLS)

    def action_copy(self) -> None:
        shell(self).copy(self._command, "the command", secret=True)


def _whole(text: str) -> int:
    try:
        value = int(text.strip() or "1")
    except ValueError:
        raise InvalidRequest(f"uses is a whole number, not {text.strip()!r}") from None
    if value < 1:
        raise InvalidRequest("uses is at least 1")
    return value
