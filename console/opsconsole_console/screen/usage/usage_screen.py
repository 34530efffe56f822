"""`:usage`: who had what of the fleet lately, who has what now and may have how much, and whose turn is next."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console.model.coverage import ALL, Coverage, Extent
from opsconsole_console.model.expected import errors_text
from opsconsole_console.model.usage import By, read_share, standings, typed_share
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.screen.part.text_prompt import TextPrompt
from opsconsole_console.screen.usage.usage_pane import NextPane, Turn, UsagePane
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import AskUsage, Done, SetPerson, SetProject, UsageAnswer
from opsconsole_protocol.share import EQUAL_SHARE, Share

_ASK_AGAIN_S = 5.0
_DAYS = (7, 30, 1)
_HINT = "weight, and at most so many gpus, tasks, cpus, memory; none lifts a limit"


class UsageScreen(DetailScreen):
    """Keys mean the row under the cursor of the table that has the focus."""

    AUTO_FOCUS = "#usage-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "group", "By", tooltip="By person, by project, or by person in a project", id="usage.group"),
        Binding("t", "time", "Time", tooltip="The last 7 days, 30 days, or today", id="usage.time"),
        Binding("e", "share", "Weight, limits", tooltip="Change how much somebody may have: for admins", id="usage.share"),
    ]  # fmt: skip

    def __init__(self, source: FleetSource) -> None:
        super().__init__()
        self._source = source
        self._by = By.PERSON
        self._days = _DAYS[0]
        self._answer: UsageAnswer | None = None
        self._usage = UsagePane()
        self._usage.add_class("-chosen")
        self._next = NextPane()

    def compose(self) -> ComposeResult:
        with Container(classes="detail-body", id="usage-body"):
            yield self._usage
            yield self._next
        yield KeyBar()

    def on_mount(self) -> None:
        self._request_usage()
        self.set_interval(_ASK_AGAIN_S, self._request_usage)

    def apply(self, change: Change) -> None:
        """Ask anew after a lost connection."""
        if change.reset:
            self._request_usage()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what changes something from those who may only look."""
        if action == "share" and shell(self).read_only:
            return False
        return super().check_action(action, parameters)

    def _request_usage(self) -> None:
        if self.is_attached:
            shell(self).look_up(self._fetch_usage)

    async def _fetch_usage(self) -> None:
        days = self._days
        answer = await ask(self._source, AskUsage(days=days), UsageAnswer)
        if days == self._days and self.is_attached:  # another time may have been chosen meanwhile
            self._answer = answer
            self._show()

    def _show(self) -> None:
        if self._answer is None:
            return
        when = "today" if self._days == 1 else f"last {self._days} days"
        self._usage.subject = f"{when}, by {self._by}"
        self._usage.table.set_rows(standings(self._answer.rows, self._by))
        if left_out := self._answer.left_out:
            self._usage.subject += f"; {left_out:,} who had less aren't shown"
        if errors := errors_text(self._answer.estimates):
            self._usage.subject += f"; {errors}"
        self._usage.set_coverage(Coverage(Extent.PART) if left_out else ALL)
        turns = (Turn(place, line) for place, line in enumerate(self._answer.lines, 1))
        self._next.table.set_rows({f"{one.line.priority} {one.line.project} {one.line.person}": one for one in turns})
        self._next.set_coverage(ALL)

    # -- actions --------------------------------------------------------------------------------------------------

    def action_group(self) -> None:
        self._by = self._by.next
        self._show()

    def action_time(self) -> None:
        self._days = _DAYS[(_DAYS.index(self._days) + 1) % len(_DAYS)]
        self._request_usage()

    @on(LiveTable.RowSelected, "#next-table")
    def _open_job(self) -> None:
        turn = self._next.table.cursor_row
        if turn is not None:
            shell(self).navigation.open_found_job("why", turn.line.first_job)

    def action_share(self) -> None:
        """Change what the person under the cursor may have, or the project."""
        turn, row = self._next.table.cursor_row, self._usage.table.cursor_row
        if self._next.table.has_focus:
            if turn is not None:
                shell(self).do(partial(self._change_share, turn.line.person, ""))
        elif row is not None:
            shell(self).do(partial(self._change_share, row.person, "" if row.person else row.project))

    async def _change_share(self, person: str, project: str) -> None:
        async def change(text: str) -> str:
            share = read_share(text)
            request = SetPerson(name=person, share=share) if person else SetProject(name=project, share=share)
            await ask(self._source, request, Done)
            return ""

        name = person or f"project {project}"
        before = typed_share(self._share_of(person, project))
        after = await self.app.push_screen_wait(TextPrompt(f"How much may {name} have?\n{_HINT}", before, change))
        if after and after != before:
            shell(self).say(f"{name}: {after}")
            await self._fetch_usage()

    def _share_of(self, person: str, project: str) -> Share:
        """What they were given, as far as the rows tell."""
        rows = () if self._answer is None else self._answer.rows
        for row in rows:
            if person and row.person == person:
                return Share(weight=row.person_weight, limits=row.person_limits)
            if not person and row.project == project:
                return Share(weight=row.project_weight, limits=row.project_limits)
        return EQUAL_SHARE
