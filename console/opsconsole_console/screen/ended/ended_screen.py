"""Why a job failed or was stopped: what happened in words, where its log tells of it, and what to do next."""

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from opsconsole.ask import ask
from opsconsole_console.model.ending import ending_words, first_to_fail
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.facts import wrapped
from opsconsole_console.screen.part.job_action import JobActions, job_bindings
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import BLANK, Line, LineView
from opsconsole_console.screen.part.log_message import LogLeft
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.part.task_line import TaskLine
from opsconsole_console.screen.part.task_log import TaskLog
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import Cell, cell, joined
from opsconsole_console.widget.sign import sign
from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import Dialog
from opsconsole_protocol.api import DetailAnswer, JobDetail, JobRow, ShowJob
from opsconsole_protocol.error import OpsconsoleError, Unavailable

_TASKS_LOOKED_AT = 5_000
_AGAIN_S = 2.0
_MARGIN_CELLS = 14
_OFFERED = ("job.retry", "job.again", "job.logs", "ended.open")


class EndedScreen(SteadyScreen, ModalScreen[None], JobActions, inherit_bindings=False):
    """Offers the keys that act on the job right below what is said about its end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *job_bindings("job.retry", "job.again", "job.logs", show=True),
        Binding("enter", "open", "Open", tooltip="Its tasks and events", id="ended.open"),
        Binding("escape,q,w", "app.pop_screen", "Back", id="why.back"),
    ]

    def __init__(self, model: Model, source: FleetSource, job_id: str) -> None:
        super().__init__()
        self._model = model
        self._source = source
        self._job_id = job_id
        self._detail: JobDetail | None = None
        self._words = LineView([BLANK] * 7, id="ended-words")  # as high as it will be: the log beside it stands still
        row = model.job(job_id)
        self._log = TaskLog(job_id, row.name if row else job_id, 0, number=0)

    def compose(self) -> ComposeResult:
        with Dialog("Why", classes="large"):
            yield self._words
            yield self._log
        yield KeyBar()

    def on_mount(self) -> None:
        self._model.mark_seen(self._job_id)
        self._log.focus_log()
        self._request_detail()

    def on_resize(self) -> None:
        self._show_detail()

    def offers(self, action: str) -> bool | None:  # noqa: ARG002 - all of its keys
        return None

    def selected_jobs(self) -> Sequence[JobRow]:
        row = self._model.job(self._job_id) or (self._detail.job if self._detail is not None else None)
        return [] if row is None else [row]

    def _request_detail(self) -> None:
        run_exclusive(self, self._fetch_detail, "detail")

    async def _fetch_detail(self) -> None:
        request = ShowJob(id=self._job_id, tasks_limit=_TASKS_LOOKED_AT, events_limit=0)
        try:
            self._detail = detail = (await ask(self._source, request, DetailAnswer)).detail
        except Unavailable:
            self.set_timer(_AGAIN_S, self._request_detail)  # the first line says that it isn't reached
        except OpsconsoleError as error:
            self._words.show([Line(cell(error.message, "state-failed"))])
        else:
            task = first_to_fail(detail.tasks)
            if task is not None:
                self._log.show_task(TaskLine(task), detail.job.name, detail.job.num_tasks)
            self._show_detail()

    def _show_detail(self) -> None:
        detail = self._detail
        if detail is None or not self.size.width:
            return
        job, cells = detail.job, self.size.width - _MARGIN_CELLS
        name = Cell(((f"{job.name}  ", "bold"), (f"{self._model.short_ids.show(job.id)}  ", "text-muted")))
        happened, *more = ending_words(detail)
        self._words.show(
            [
                Line(name + sign(job.state).cell, cell(f"submitted by {job.submitted_by}", "text-muted")),
                BLANK,
                *wrapped(happened, cells, "bold state-failed", first="  ", rest="  "),
                *(line for words in more for line in wrapped(words, cells, first="  ", rest="  ")),
                BLANK,
                Line(self._offers()),
                BLANK,
            ]
        )

    def _offers(self) -> Cell:
        """What can be done now, by the keys that do it."""
        offers = []
        bindings: dict[str | None, Any] = {one.binding.id: one for one in self.active_bindings.values()}
        for binding_id in _OFFERED:
            active = bindings.get(binding_id)
            if active is not None and active.enabled:
                key = self.app.get_key_display(active.binding)
                offers.append(Cell(((f"  {key} ", "bold primary"), (active.binding.description.lower(), ""))))
        return joined(offers, "  ")

    @on(LogLeft)
    def _pop_on_escape(self, event: LogLeft) -> None:
        event.stop()
        self.app.pop_screen()

    def unmark_jobs(self, job_ids: object) -> None:  # noqa: ARG002 - whatever was retried, this is what it was about
        """Close the screen once the job was retried: what it says is no longer true."""
        if self.is_current:
            self.app.pop_screen()

    def action_open(self) -> None:
        self.app.pop_screen()
        shell(self).navigation.open("job", self._job_id)

    def action_job_again(self) -> None:
        self.app.pop_screen()
        shell(self).navigation.open("again", self._job_id)
