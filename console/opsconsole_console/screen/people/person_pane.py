"""The tables of the people screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from opsconsole_console import format as fmt
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.table_pane import TablePane
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import InvitationRow, PersonRow


class PersonPane(TablePane[PersonRow]):
    """People by name; those who were shut out stay, pale."""

    nothing = "Nobody yet"

    def __init__(self, model: Model) -> None:
        self._model = model
        super().__init__(number=1, title="People", id="people")

    def make_table(self) -> LiveTable[str, PersonRow]:
        return LiveTable(self.columns(80), flush_hz=None, id="person-table")

    def columns(self, width: int) -> Sequence[Column[PersonRow]]:  # noqa: ARG002 - the same at every width
        now = self._model.clock
        return (
            Column("name", "NAME", _name, 14, flex=2, priority=9, sort_key=lambda row: row.name),
            Column("role", "ROLE", lambda row: row.role, 9, priority=8, sort_key=lambda row: row.role),
            Column("connected", "HERE", lambda row: str(row.connections or ""), 5, align="right", priority=6),
            Column("since", "SINCE", lambda row: "" if row.joined_at_ms is None else fmt.age(row.joined_at_ms, now()), 6,
                   align="right", priority=5, sort_key=lambda row: row.joined_at_ms),
            Column("state", "", lambda row: person_state(row, now()), 24, flex=3, priority=7),
        )  # fmt: skip

    def properties(self, row: PersonRow) -> Mapping[str, Any]:
        return {"name": row.name, "role": row.role, "connections": row.connections}

    def haystack(self, row: PersonRow) -> str:
        return f"{row.name} {row.role}".casefold()


class InvitationPane(TablePane[InvitationRow]):
    """Open invitations, the next to end first."""

    nothing = "None is open"

    def __init__(self, model: Model) -> None:
        self._model = model
        super().__init__(number=2, title="Open invitations", id="invitations")

    def make_table(self) -> LiveTable[str, InvitationRow]:
        return LiveTable(self.columns(80), flush_hz=None, id="invitation-table")

    def columns(self, width: int) -> Sequence[Column[InvitationRow]]:  # noqa: ARG002 - the same at every width
        now = self._model.clock
        return (
            Column("id", "ID", lambda row: row.id, 9, priority=9, tone="text-muted"),
            Column("role", "FOR", lambda row: row.role, 9, priority=8, sort_key=lambda row: row.role),
            Column("uses", "USES", lambda row: fmt.count(row.uses_left), 5, align="right", priority=6),
            Column("left", "ENDS IN", lambda row: fmt.duration(max(0, row.expires_at_ms - now())), 8, align="right",
                   priority=7, sort_key=lambda row: row.expires_at_ms),
            Column("by", "BY", lambda row: row.created_by, 10, flex=1, priority=5),
            Column("name", "NAMED", lambda row: " ".join((row.name, *row.tags)).strip(), 10, flex=2, priority=4),
        )  # fmt: skip

    def properties(self, row: InvitationRow) -> Mapping[str, Any]:
        return {"id": row.id, "role": row.role, "name": row.name, "created_by": row.created_by}

    def haystack(self, row: InvitationRow) -> str:
        return f"{row.id} {row.role} {row.name} {row.created_by}".casefold()


def _name(row: PersonRow) -> Cell:
    return cell(row.name, "text-muted" if row.revoked_at_ms is not None else "bold")


def person_state(row: PersonRow, now_ms: int) -> str:
    """How somebody stands, in a few words."""
    if row.is_local:
        return "has the data folder's token"
    if row.revoked_at_ms is not None:
        return f"revoked {fmt.age(row.revoked_at_ms, now_ms)} ago"
    return f"may come in, from {row.credentials} places" if row.credentials > 1 else "may come in"
