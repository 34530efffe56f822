"""`:templates`: which there are, all versions of each, and what one of them is."""

import shlex
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console.model.coverage import ALL, Coverage, Extent
from opsconsole_console.model.model import Model
from opsconsole_console.model.template import parameter_words
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.facts import LABEL_CELLS, wrapped
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import BLANK, Line, LineView
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.template.template_pane import TemplatePane, Version, VersionPane
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.pane import Pane
from opsconsole_protocol.api import ListTemplates, TemplateList, TemplateRow

_MARGIN_CELLS = 6


class TemplateScreen(DetailScreen):
    """The cursor of the first table chooses whose versions are shown, that of the second which of them."""

    AUTO_FOCUS = "#template-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_job", "New job", tooltip="A job from this version", id="templates.new_job"),
        Binding("y", "copy", "Copy", show=False, tooltip="Its name and version", id="templates.copy"),
    ]

    def __init__(self, model: Model, source: FleetSource) -> None:
        super().__init__()
        self._source = source
        self._templates = TemplatePane(model)
        self._templates.add_class("-chosen")
        self._versions = VersionPane(model)
        self._text = LineView(id="template-text")
        self._about = Pane(
            VerticalScroll(self._text, id="template-scroll"),
            number=3,
            title="What it is",
            id="template-about",
            classes="scrolled",
        )

    def compose(self) -> ComposeResult:
        with Container(classes="detail-body"):
            yield self._templates
            yield self._versions
            yield self._about
        yield KeyBar()

    def on_mount(self) -> None:
        self._request_templates()

    def on_screen_resume(self) -> None:
        self._request_templates()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_version)

    def apply(self, change: Change) -> None:
        """Ask anew after a lost connection, and where somebody has changed a template."""
        if change.reset:
            self._request_templates()

    def tick(self) -> None:
        """A second has passed."""
        self._templates.table.touch()
        self._versions.table.touch()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what submits something from those who may only look."""
        if action == "new_job" and shell(self).read_only:
            return False
        return super().check_action(action, parameters)

    def _request_templates(self) -> None:
        if self.is_attached:
            shell(self).look_up(self._fetch_templates)

    async def _fetch_templates(self) -> None:
        rows = (await ask(self._source, ListTemplates(), TemplateList)).templates
        self._templates.table.set_rows({row.name: row for row in rows})
        self._templates.set_coverage(ALL)
        self._request_versions()

    @on(LiveTable.RowHighlighted, "#template-table")
    def _request_versions(self) -> None:
        row = self._templates.table.cursor_row
        if row is not None:
            run_exclusive(self, partial(self._fetch_versions, row), "versions")

    async def _fetch_versions(self, row: TemplateRow) -> None:
        answer = await ask(self._source, ListTemplates(name=row.name), TemplateList)
        older: Sequence[TemplateRow | None] = [*answer.templates[1:], None]
        self._versions.subject = row.name
        self._versions.table.set_rows(
            {one.label: Version(one, before) for one, before in zip(answer.templates, older, strict=True)}
        )
        self._versions.set_coverage(Coverage(Extent.PART) if answer.more else ALL)
        self._show_version()

    @on(LiveTable.RowHighlighted, "#version-table")
    def _show_version(self) -> None:
        row = self._chosen()
        self._about.subject = "" if row is None else row.label
        cells = self.size.width // (2 if self.has_class("-wide") else 1) - _MARGIN_CELLS
        self._text.show([] if row is None else template_lines(row, max(24, cells)))

    def _chosen(self) -> TemplateRow | None:
        """The version under the cursor, or else the newest one of the template under it."""
        version = self._versions.table.cursor_row
        return self._templates.table.cursor_row if version is None else version.row

    @on(LiveTable.RowSelected, "#template-table")
    def _to_versions(self) -> None:
        self.action_pane(2)

    def action_new_job(self) -> None:
        if (row := self._chosen()) is not None:
            shell(self).navigation.open("new_job", row.label)

    def action_copy(self) -> None:
        if (row := self._chosen()) is not None:
            shell(self).copy(row.label, "the template's name")


def template_lines(row: TemplateRow, cells: int) -> list[Line]:
    """A version whole: its command, parameters with types, bounds and help, and the defaults of its jobs."""
    lead = " " * (LABEL_CELLS + 2)

    def told(label: str, text: str) -> list[Line]:
        return wrapped(text, cells, first=f"{label:>{LABEL_CELLS}}  ", rest=lead) if text else []

    lines = [*told("about", row.description), *told("runs", shlex.join(row.command))]
    if row.parameters:
        lines.append(BLANK)
    for one in row.parameters:
        lines += told(one.name, parameter_words(one))
    if row.defaults:
        lines.append(BLANK)
    for name, value in row.defaults.items():
        lines += told(name, str(value))
    origin = [f"synced for project {row.synced}"] if row.synced else []
    origin += [f"made from job {row.made_from}"] if row.made_from else []
    return [*lines, BLANK, *told("origin", "; ".join(origin))] if origin else lines
