"""`:people`: who may do what, and which invitations are open. Both can be revoked."""

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console import format as fmt
from opsconsole_console.model.coverage import ALL
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.screen.part.text_prompt import TextPrompt
from opsconsole_console.screen.people.person_pane import InvitationPane, PersonPane
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import (
    InvitationList,
    InvitationRow,
    ListInvitations,
    ListPeople,
    PersonList,
    PersonRow,
    RenamePerson,
    RevokeInvitations,
    RevokePeople,
)

_ASK_AGAIN_S = 5.0


class PeopleScreen(DetailScreen):
    """Keys mean the row under the cursor of the table that has the focus."""

    AUTO_FOCUS = "#person-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "invite", "Invite", tooltip="Let somebody in", id="people.invite"),
        Binding("r", "rename", "Rename", id="people.rename"),
        Binding("c", "revoke", "Revoke", tooltip="Shut out, or take an invitation back, after a question", id="people.revoke"),
    ]  # fmt: skip

    def __init__(self, model: Model, source: FleetSource) -> None:
        super().__init__()
        self._source = source
        self._people = PersonPane(model)
        self._people.add_class("-chosen")
        self._invitations = InvitationPane(model)

    def compose(self) -> ComposeResult:
        with Container(classes="detail-body"):
            yield self._people
            yield self._invitations
        yield KeyBar()

    def on_mount(self) -> None:
        self._request_people()
        self.set_interval(_ASK_AGAIN_S, self._request_people)

    def on_screen_resume(self) -> None:
        self._request_people()  # somebody may have been invited meanwhile

    def apply(self, change: Change) -> None:
        """Ask anew after a lost connection."""
        if change.reset:
            self._request_people()

    def tick(self) -> None:
        """A second has passed."""
        self._people.table.touch()
        self._invitations.table.touch()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide verbs from those who may only look."""
        if action in {"invite", "rename", "revoke"} and shell(self).read_only:
            return False
        return super().check_action(action, parameters)

    def _request_people(self) -> None:
        if self.is_attached:
            shell(self).look_up(self._fetch_people)

    async def _fetch_people(self) -> None:
        people = (await ask(self._source, ListPeople(), PersonList)).people
        self._people.table.set_rows({row.name: row for row in people})
        self._people.set_coverage(ALL)
        invitations = (await ask(self._source, ListInvitations(), InvitationList)).invitations
        self._invitations.table.set_rows({row.id: row for row in invitations})
        self._invitations.set_coverage(ALL)

    # -- actions --------------------------------------------------------------------------------------------------

    def action_invite(self) -> None:
        shell(self).navigation.open("invite")

    def action_rename(self) -> None:
        row = self._people.table.cursor_row
        if row is not None and self._people.table.has_focus:
            shell(self).do(partial(self._rename, row))

    async def _rename(self, row: PersonRow) -> None:
        async def rename(new: str) -> str:
            if new != row.name:
                await ask(self._source, RenamePerson(name=row.name, new=new), PersonList)
            return ""

        question = TextPrompt(f"What is {row.name} called from now on?", row.name, rename)
        new = await self.app.push_screen_wait(question)
        if new and new != row.name:
            shell(self).say(f"{row.name} is called {new} now")
            await self._fetch_people()

    def action_revoke(self) -> None:
        if self._invitations.table.has_focus:
            invitation = self._invitations.table.cursor_row
            if invitation is not None:
                shell(self).do(partial(self._revoke_invitation, invitation))
            return
        person = self._people.table.cursor_row
        if person is not None:
            shell(self).do(partial(self._revoke_person, person))

    async def _revoke_person(self, row: PersonRow) -> None:
        here = f" {fmt.plural(row.connections, 'open connection')} end{'s' * (row.connections == 1)} at once."
        here = here if row.connections else ""
        if await shell(self).confirm(f"Shut {row.name} out?", f"{row.role}; for good.{here}", "Revoke"):
            await ask(self._source, RevokePeople(names=(row.name,)), PersonList)
            shell(self).say(f"{row.name} is shut out")
            await self._fetch_people()

    async def _revoke_invitation(self, row: InvitationRow) -> None:
        detail = f"for {row.role}s, made by {row.created_by}; nobody comes in by it any more"
        if await shell(self).confirm(f"Take invitation {row.id} back?", detail, "Revoke"):
            await ask(self._source, RevokeInvitations(ids=(row.id,)), InvitationList)
            shell(self).say(f"invitation {row.id} is taken back")
            await self._fetch_people()
