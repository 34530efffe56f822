"""Why a job stands where it stands: each worker against each requirement."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole_console import format as fmt
from opsconsole_console.model.expected import takes_words, verdict_start, wait_words
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.asking_screen import AskingScreen
from opsconsole_console.screen.part.facts import wrapped
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import BLANK, Line, LineView
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.sign import sign
from opsconsole_console.widget.words import Dialog
from opsconsole_protocol.api import Verdict, Why, WhyAnswer

_CHECK_CELLS_MAX = 22


class WhyScreen(AskingScreen[WhyAnswer]):
    """The cursor's worker is explained in full."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,w", "app.pop_screen", "Back", id="why.back"),
        Binding("f", "late('freeze')", "Freeze", tooltip="Stop it where it is; it keeps its place", id="why.freeze"),
        Binding("c", "late('cancel')", "Cancel", tooltip="End it, after a question", id="why.cancel"),
        Binding("o", "late('checkpoint')", "Wait on", tooltip="Give it as long again to save one", id="why.wait_on"),
        Binding("y", "copy", "Copy", show=False, id="why.copy"),
    ]

    def __init__(self, model: Model, source: FleetSource, job_id: str) -> None:
        super().__init__(source, Why(id=job_id), WhyAnswer, LineView(id="why-head"))
        self._model = model
        self._explained = LineView(id="why-worker")
        self._table: LiveTable[str, Verdict] = LiveTable(why_columns(()), flush_hz=None, id="why-table")
        self._checks: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        with Dialog("Why", classes="large"):
            yield self._head
            yield self._table
            yield self._explained
        yield KeyBar()

    def on_mount(self) -> None:
        self._table.display = False

    def on_resize(self) -> None:
        self._show_answer()

    def _show_answer(self) -> None:
        answer = self._answer
        if answer is None or not self.size.width:
            return
        cells = self.size.width - 14
        job = answer.job
        counted = f"{sum(one.accepted for one in answer.verdicts)} of {len(answer.verdicts)} workers could take it"
        self._head.show(
            [
                Line(Cell(((f"{job.name}  ", "bold"), (f"{self._model.short_ids.show(job.id)}  ", "text-muted")))
                     + sign(job.state).cell, cell(counted if answer.verdicts else "", "text-muted")),
                *wrapped(answer.text, cells),
                *(line for words in wait_words(answer) for line in wrapped(words, cells)),
                *(self._choices(cells) if job.save_late else ()),
                BLANK,
            ]
        )  # fmt: skip
        checks = checks_of(answer.verdicts)
        if checks != self._checks:
            self._checks = checks
            self._table.set_columns(why_columns(checks))
        self._table.set_rows({verdict.worker_id: verdict for verdict in answer.verdicts})
        self._table.display = bool(answer.verdicts)
        if answer.verdicts and not self._table.has_focus:
            self._table.focus()
        self._explain()
        self.refresh_bindings()

    def _choices(self, cells: int) -> list[Line]:
        """What can be done where a checkpoint wasn't saved in time."""
        if shell(self).read_only:
            return []
        return [
            BLANK,
            *wrapped("freeze  stop it where it is: it keeps its place and its memory, and goes on from there", cells),
            *wrapped("cancel  end it; what it has saved before stays", cells),
            *wrapped("wait on  give it as long again; it may go on working until then", cells),
        ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The choices are there while there is something to choose."""
        if action == "late":
            return self._answer is not None and bool(self._answer.job.save_late) and not shell(self).read_only
        return super().check_action(action, parameters)

    def action_late(self, verb: str) -> None:
        if (answer := self._answer) is None:
            return

        async def carried_out() -> None:
            if await shell(self).operations.act_on_late(verb, answer.job):
                self._request_answer()

        shell(self).do(carried_out)

    @on(LiveTable.RowHighlighted)
    def _explain(self) -> None:
        verdict = self._table.cursor_row
        self._explained.show([] if verdict is None else explained(verdict, self.size.width - 14))

    @on(LiveTable.RowSelected)
    def _open_worker(self, event: LiveTable.RowSelected) -> None:
        shell(self).navigation.open("worker", event.row_id)

    def action_copy(self) -> None:
        if self._answer is not None:
            shell(self).copy(self._answer.text, "why")


def checks_of(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Every requirement that any worker was held against. What keeps most workers away comes first."""
    failing: dict[str, int] = {}
    for words, met, _ in (check for verdict in verdicts for check in verdict.checks):
        failing[words] = failing.get(words, 0) + (not met)
    return tuple(sorted(failing, key=lambda words: -failing[words]))


def why_columns(checks: Sequence[str]) -> Sequence[Column[Verdict]]:
    """A worker, its verdict, and a column for each requirement."""
    return (
        Column("worker", "WORKER", lambda v: v.worker, 12, flex=1, width_max=28, priority=30),
        Column("verdict", "", verdict_cell, 1, priority=29),
        *(
            Column(f"check{place}", words, partial(check_cell, words=words), min(_CHECK_CELLS_MAX, max(10, len(words))),
                   flex=1, width_max=30, priority=28 - place)
            for place, words in enumerate(checks)
        ),
        Column("start", "START", start_cell, 10, align="right", priority=0),
    )  # fmt: skip


def verdict_cell(verdict: Verdict) -> Cell:
    """✓ or ✗."""
    return cell("✓", "state-succeeded") if verdict.accepted else cell("✗", "state-failed")


def check_cell(verdict: Verdict, *, words: str) -> Cell:
    """Whether one requirement holds, and what the worker has."""
    for known, met, has in verdict.checks:
        if known == words:
            return Cell((("✓ " if met else "✗ ", "state-succeeded" if met else "state-failed"),
                         (has, "text-muted" if met else "")))  # fmt: skip
    return cell("")


def start_cell(verdict: Verdict) -> str:
    """When the worker could start it."""
    return verdict_start(verdict) or fmt.NOTHING


def explained(verdict: Verdict, cells: int) -> list[Line]:
    """One worker in full: its reason where that isn't said above, and each requirement with what it has."""
    answer = "would take it" if verdict.accepted else ""
    head = Line(Cell(((f"{verdict.worker}  ", "bold"), (answer, "state-succeeded"))))
    reason = [] if verdict.accepted or verdict.said else wrapped(verdict.reason, cells)
    room = max((len(words) for words, _, _ in verdict.checks), default=0)
    lines = [
        Line(Cell((("  ✓ " if met else "  ✗ ", "state-succeeded" if met else "state-failed"),
                   (f"{words:<{room}}  ", "" if not met else "text-muted"), (has, "" if not met else "text-muted"))))
        for words, met, has in verdict.checks
    ]  # fmt: skip
    takes = [Line(cell(f"  takes {takes_words(verdict.takes)}", "text-muted"))] if verdict.takes is not None else []
    return [BLANK, head, *reason, *lines, *takes]
