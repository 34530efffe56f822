"""The tables of the templates screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from opsconsole_console import format as fmt
from opsconsole_console.model.model import Model
from opsconsole_console.model.template import change_words
from opsconsole_console.screen.part.table_pane import TablePane
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import TemplateRow


class TemplatePane(TablePane[TemplateRow]):
    """The newest version of each, by name."""

    nothing = "No template yet: `opsconsole template set`, or `template sync` of a folder"

    def __init__(self, model: Model) -> None:
        self._model = model
        super().__init__(number=1, title="Templates", id="templates")

    def make_table(self) -> LiveTable[str, TemplateRow]:
        return LiveTable(self.columns(80), flush_hz=None, id="template-table")

    def columns(self, width: int) -> Sequence[Column[TemplateRow]]:  # noqa: ARG002 - the same at every width
        now = self._model.clock
        return (
            Column("name", "NAME", lambda row: row.name, 14, flex=2, priority=9, sort_key=lambda row: row.name),
            Column("version", "VERSION", lambda row: f"@{row.version}", 7, align="right", priority=8,
                   sort_key=lambda row: row.version),
            Column("since", "SINCE", lambda row: fmt.age(row.created_at_ms, now()), 6, align="right", priority=6,
                   sort_key=lambda row: row.created_at_ms),
            Column("by", "BY", lambda row: row.created_by, 8, flex=1, priority=5),
            Column("synced", "SYNCED FOR", lambda row: row.synced, 10, priority=4),
            Column("about", "ABOUT", lambda row: row.description, 16, flex=4, priority=7),
        )  # fmt: skip

    def properties(self, row: TemplateRow) -> Mapping[str, Any]:
        return {
            "name": row.name, "version": row.version, "created_by": row.created_by, "synced": row.synced,
            "description": row.description,
        }  # fmt: skip

    def haystack(self, row: TemplateRow) -> str:
        return f"{row.name} {row.description} {' '.join(row.command)}".casefold()


class Version:
    """A version with what it changed of the one before it."""

    def __init__(self, row: TemplateRow, older: TemplateRow | None) -> None:
        self.row = row
        self.changed = "; ".join(change_words(row, older))


class VersionPane(TablePane[Version]):
    """All versions of the template under the cursor, the newest first."""

    nothing = "Choose a template"

    def __init__(self, model: Model) -> None:
        self._model = model
        super().__init__(number=2, title="Versions", id="versions")

    def make_table(self) -> LiveTable[str, Version]:
        return LiveTable(self.columns(80), flush_hz=None, id="version-table")

    def columns(self, width: int) -> Sequence[Column[Version]]:  # noqa: ARG002 - the same at every width
        now = self._model.clock
        return (
            Column("version", "VERSION", lambda one: f"@{one.row.version}", 7, align="right", priority=9),
            Column("since", "SINCE", lambda one: fmt.age(one.row.created_at_ms, now()), 6, align="right", priority=6),
            Column("by", "BY", lambda one: one.row.created_by, 8, priority=5),
            Column("changed", "CHANGED", lambda one: one.changed, 20, flex=4, priority=8),
        )  # fmt: skip

    def properties(self, row: Version) -> Mapping[str, Any]:
        return {"version": row.row.version, "created_by": row.row.created_by, "changed": row.changed}

    def haystack(self, row: Version) -> str:
        return f"{row.row.created_by} {row.changed} {' '.join(row.row.command)}".casefold()
