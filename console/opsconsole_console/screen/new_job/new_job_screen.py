"""The dialog that makes a job. Nothing that can be checked before submission is left to fail after it."""

import asyncio
import shlex
import time
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Button

from opsconsole.ask import ask
from opsconsole.client import new_job_id
from opsconsole.template_requests import split_version
from opsconsole_console import format as fmt
from opsconsole_console.model import draft as drafts
from opsconsole_console.model.draft import PARAMETER_PREFIX, Checked, Draft
from opsconsole_console.model.draft_wish import NOTHING, Wished
from opsconsole_console.model.model import Model
from opsconsole_console.screen.new_job.candidate_table import Candidate, CandidateTable, candidates
from opsconsole_console.screen.new_job.chosen_offer import ChosenOffer
from opsconsole_console.screen.new_job.dataset_look import DatasetLook, Key
from opsconsole_console.screen.new_job.dataset_text import waiting_lines
from opsconsole_console.screen.new_job.field import DATASETS
from opsconsole_console.screen.new_job.job_form import JobForm
from opsconsole_console.screen.new_job.path_suggester import PathSuggester
from opsconsole_console.screen.part.facts import wrapped
from opsconsole_console.screen.part.io_line import IoLine
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.part.spec_text import resources_text
from opsconsole_console.service.packing import Brought, FieldRefused, Looked, Packing, look, weigh
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import Cell, cell, joined
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import Choice, Dialog
from opsconsole_protocol.api import (
    AskCandidates,
    Candidates,
    JobList,
    ListTemplates,
    Submission,
    SubmitJobs,
    TemplateList,
    Verdict,
    WorkerRow,
)
from opsconsole_protocol.dataset import JobDataset
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.mount import mounts_of

DEBOUNCE_S = 0.3
ASK_AGAIN_S = 2.0
ANSWER_WAIT_MS = 250
"""How long a question waits for what workers say of input files: those who have said it are shown after that."""
OPEN_S = 0.25
"""Between questions while somebody still has to answer."""
_COMMAND_LINES_MAX = 4
_UNREAD_BYTES_MAX = 1 << 30
"""More than this isn't hashed while a form is filled in: then nothing is said of who has it."""
_Along = tuple[Wished, tuple[Upload, ...]]
"""What is wished for, and what the job brings along as the one did that it is made from."""


class NewJobScreen(SteadyScreen, ModalScreen[None]):
    """A form on the left, every worker's answer on the right, what will run below."""

    AUTO_FOCUS = "#field-command"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-tight"), (150, "-wide")]  # noqa: RUF012 - Textual's own type
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "submit", "Submit", priority=True, id="new.submit"),
        Binding("escape,q", "app.pop_screen", "Cancel", id="new.cancel"),
        Binding("ctrl+w", "workers", "Choose a worker", id="new.workers", priority=True),
        Binding(
            "ctrl+o", "input", "Pick an input", id="new.input", priority=True, tooltip="On the worker under the cursor"
        ),
        Binding("ctrl+t", "template", "Template", show=False, id="new.template", priority=True),
    ]

    def __init__(self, model: Model, source: FleetSource, draft: Draft | None = None, *, template: str = "") -> None:
        """`template`: the version of a template that is chosen to begin with, `train@3`."""
        super().__init__()
        self._template = template
        self._model = model
        self._source = source
        self._job_id = new_job_id()
        fleet = model.fleet
        known = sorted(fleet.projects.keys() | {job.project for job in fleet.jobs.values()})
        self._form = JobForm(draft or Draft(), known, (job.id for job in fleet.jobs.values()),
                             PathSuggester(source, lambda: self._folders_of(self._table.cursor_row)))  # fmt: skip
        self._checked: Checked = drafts.check(self._form.draft)
        self._answer: Candidates | None = None
        self._table = CandidateTable()
        self._io = IoLine()
        self._preview = LineView(id="new-preview")
        self._status = LineView(id="new-status")
        self._debounce: Timer | None = None
        self._refusal = ""
        self._can_pick = False
        """Whether there is a worker whose folders can be browsed for an input."""
        self._is_again = draft is not None
        self._offer = ChosenOffer(source, self._job_id, time.monotonic)
        self._datasets = DatasetLook(source, self._show_datasets)
        self._asking: tuple[Key, ...] = ()
        """What a worker is being asked of the datasets."""
        self._looked: tuple[Wished, Looked] = (NOTHING, Looked())
        """What is wished for, and what was found of it."""
        self._unpacked: dict[str, str] = {}
        """What packing that found wrong, by the names of fields."""
        self._looking: _Along | None = None
        """What is being looked at and hashed, or was."""
        self._weighed: tuple[_Along, Brought] | None = None
        self._answer_about: _Along | None = None
        """All that the job would have brought along that was asked about last; None where that wasn't known."""

    def compose(self) -> ComposeResult:
        with Dialog("Again, with changes" if self._is_again else "New job", classes="large", id="new-job"):
            with Container(id="new-body"):
                yield self._form
                with Vertical(id="new-workers"):
                    yield self._table
                    yield self._io
            yield self._preview
            with Horizontal(id="new-end"):
                yield self._status
                yield Choice("Submit", id="submit", variant="primary")
                yield Choice("Cancel", id="cancel")
        yield KeyBar()

    def on_mount(self) -> None:
        shell(self).look_up(self._fetch_templates)
        self._start_asking()
        self.set_interval(1.0, self._count_down)

    def on_unmount(self) -> None:
        shell(self).look_up(self._offer.give_up)

    def _count_down(self) -> None:
        if self._offer.left_s or self._offer.is_over():
            self._show_status()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_checked)

    async def _fetch_templates(self) -> None:
        templates = (await ask(self._source, ListTemplates(), TemplateList)).templates
        wanted = next((one for one in templates if one.label == self._template), None)
        if self._template and wanted is None:
            name, version = split_version(self._template)
            found = await ask(self._source, ListTemplates(name=name, version=version), TemplateList)
            wanted = next(iter(found.templates), None)
        await self._form.offer_templates(templates, wanted)

    # -- what was typed ---------------------------------------------------------------------------------------------

    @on(JobForm.Changed)
    def _check_draft(self, event: JobForm.Changed) -> None:
        event.stop()
        self._checked = drafts.check(self._form.draft, self._form.template)
        self._refusal = ""
        self._asking = ()
        self._datasets.forget_refusals()
        if self._looking != self._along:
            self._stop_looking()
        self._show_checked()
        self._show_candidates()
        if self._debounce is not None:
            self._debounce.stop()
        self._debounce = self.set_timer(DEBOUNCE_S, self._start_asking)

    @property
    def _errors(self) -> Mapping[str, str]:
        """What is wrong with what was typed, and with what it names on this machine."""
        wished, looked = self._looked
        if wished != self._checked.wished:
            return self._checked.errors
        return {**self._unpacked, **looked.errors, **self._checked.errors}

    @property
    def _along(self) -> _Along:
        return self._checked.wished, self._checked.likely.uploads

    def _start_looking(self) -> None:
        if self._looking != self._along:
            self._looking = self._along
            run_exclusive(self, self._look_and_weigh, "look")

    def _stop_looking(self) -> None:
        self._looking = None
        self.workers.cancel_group(self, "look")

    async def _look(self) -> None:
        """See what there is of what is wished for."""
        wished = self._checked.wished
        if wished != self._looked[0]:
            self._unpacked = {}
            self._looked = wished, await asyncio.to_thread(look, wished)
            self._show_checked()

    async def _look_and_weigh(self) -> None:
        """Look, and hash it all unless that takes long: then workers are asked anew, who say what they have of it."""
        along, spec = self._along, self._checked.likely
        await self._look()
        looked = self._looked[1]
        if not (along[0].brings_along or along[1]) or looked.errors:
            return
        if looked.unread_bytes is None or looked.unread_bytes > _UNREAD_BYTES_MAX:
            return
        try:
            self._weighed = along, await weigh(self._source, along[0], spec)
        except FieldRefused as refused:
            self._refuse_field(refused)
        except OpsconsoleError:
            self._looking = None  # what is wrong is said when it is submitted
        else:
            run_exclusive(self, self._ask_repeatedly, "candidates")

    def _refuse_field(self, refused: FieldRefused) -> None:
        self._unpacked = {refused.field: refused.message}
        self._show_checked()

    def _show_checked(self) -> None:
        self._form.complain(self._errors)
        cells = max(30, self.size.width - 14)
        command = shlex.join(self._checked.command)
        lines = wrapped(command, cells, "bold", first="runs  ", rest="      ") if command else []
        if len(lines) > _COMMAND_LINES_MAX:
            more = fmt.plural(len(lines) - _COMMAND_LINES_MAX, "more line")
            lines = [*lines[:_COMMAND_LINES_MAX], Line(cell(f"      … {more}", "text-muted"))]
        if not lines:
            lines = [Line(cell("runs  nothing yet: type a command or choose a template", "text-muted"))]
        spec = self._checked.likely
        if len(spec.task_commands) > 1 and len(lines) < _COMMAND_LINES_MAX:
            last = shlex.join(spec.task_commands[-1])
            lines += wrapped(last, cells, first=f"  {len(spec.task_commands) - 1:,} more, to  ")[:1]
        lines = [*lines, Line(cell("      " + self._terms(), "text-muted"))]
        if self._looked[1].words and self._looked[0] == self._checked.wished:
            lines += wrapped(" · ".join(self._looked[1].words), cells, "primary", first="sends ", rest="      ")[:2]
        self._preview.show(lines)
        self._show_status()

    def _terms(self) -> str:
        spec = self._checked.likely
        each = ", each" if spec.num_tasks > 1 else " with"
        parts = [
            f"{fmt.plural(spec.num_tasks, 'task')}{each} {resources_text(spec.resources)}",
            f"project {spec.project}",
            f"in {spec.workdir}" if spec.workdir else "",
            " ".join(f"{key}={value}" for key, value in spec.environment.items()),
            f"at most {drafts.spell_limit(spec.timeout_ms)}" if spec.timeout_ms else "",
            f"ports {' '.join(spec.ports)}" if spec.ports else "",
            f"starts within {drafts.spell_limit(spec.scheduling_timeout_ms)}" if spec.scheduling_timeout_ms else "",
            "held until released" if spec.held else "",
            "the same code as before" if spec.bundle is not None and not self._checked.wished.bundle else "",
            f"{fmt.plural(len(spec.uploads), 'upload')} as before" if spec.uploads else "",
            f"keeps {' '.join(spec.collect)}" if spec.collect else "",
        ]
        return " · ".join(part for part in parts if part)

    # -- what workers say -------------------------------------------------------------------------------------------

    def _start_asking(self) -> None:
        run_exclusive(self, self._ask_repeatedly, "candidates")
        self._start_looking()
        self._look_at_datasets()

    async def _ask_repeatedly(self) -> None:
        """Ask about the job as it stands, one question after the other: none breaks off another, so every answer is shown."""
        while True:
            # What each task of a sweep runs is nothing to the choice of a worker, and may be much.
            spec = replace(self._checked.likely, task_commands=(), parameters=())
            supplied: tuple[ContentId, ...] = ()
            about: _Along | None = None if self._checked.wished.brings_along else self._along
            if self._weighed is not None and self._weighed[0] == self._along:
                about, brought = self._weighed
                spec, supplied = brought.packed.put_into(spec), brought.supplied
            try:
                await self._offer.follow(self._form.draft.worker, spec)
                request = AskCandidates(spec=spec, wait_ms=ANSWER_WAIT_MS, supplied=supplied, job_id=self._offer.job_id)
                self._answer = await ask(self._source, request, Candidates)
                chosen = next((one for one in self._answer.verdicts if one.worker == self._form.draft.worker), None)
                self._offer.note_verdict(accepts=chosen is not None and chosen.accepted)
            except Unavailable:
                self._offer.forget()  # the first line says so
            except OpsconsoleError as error:
                self._status.show([Line(cell(error.message, "state-failed"))])
            else:
                self._answer_about = about
                self._show_candidates()
                self._show_status()
            await asyncio.sleep(OPEN_S if self._is_awaiting_inputs else ASK_AGAIN_S)

    @property
    def _is_awaiting_inputs(self) -> bool:
        """Whether some worker still has to say whether it has the inputs."""
        rows = () if self._answer is None else self._answer.verdicts
        return any(check.state == "asking" for verdict in rows for check in verdict.inputs)

    def _show_candidates(self) -> None:
        if self._answer is None:
            return
        chosen, spec = self._form.draft.worker, self._checked.likely
        inputs = (*spec.inputs, *spec.datasets_there)
        says_supply = self._answer_about == self._along
        self._table.set_rows(candidates(self._answer, self._model, chosen, inputs, says_supply=says_supply))
        self._tell_folders()

    @on(LiveTable.RowHighlighted)
    def _tell_folders(self) -> None:
        row = self._table.cursor_row
        worker = self._folders_of(row)
        self._io.tell(worker)
        if self._can_pick != (worker is not None):
            self._can_pick = worker is not None
            self.refresh_bindings()
        self._look_at_datasets()

    def _folders_of(self, row: Candidate | None) -> WorkerRow | None:
        """The worker of a row, or the one that would most likely take the job, even where it doesn't now."""
        if row is not None and row.worker is not None:
            return row.worker
        verdicts = () if self._answer is None else self._answer.verdicts
        ranked = sorted(verdicts, key=lambda one: not one.accepted)
        workers = [worker for one in ranked if (worker := self._model.fleet.workers.get(one.worker_id)) is not None]
        return next((one for one in workers if mounts_of(one.properties)), workers[0] if workers else None)

    # -- what the datasets are --------------------------------------------------------------------------------------

    def _dataset_worker(self) -> tuple[WorkerRow | None, Verdict | None]:
        """Who is to look: the worker that is chosen, or under the cursor, or that would get the job, or has the datasets."""
        verdicts = () if self._answer is None else self._answer.verdicts
        row, chosen = self._table.cursor_row, self._form.draft.worker
        under = row.verdict if row is not None else None
        named = next((one for one in verdicts if one.worker == chosen), None) if chosen else None
        likely = sorted(verdicts, key=lambda one: (not one.accepted, one.lacks_file, not one.inputs))
        for verdict in (named, under, *likely):
            worker = None if verdict is None else self._model.fleet.workers.get(verdict.worker_id)
            if worker is not None:
                return worker, verdict
        return None, None

    def _look_at_datasets(self) -> None:
        """Show what is known of them, and ask for the rest."""
        worker, verdict = self._dataset_worker()
        self._show_datasets()
        questions = self._datasets.open_questions(worker, verdict, self._checked.likely.datasets)
        if worker is not None and questions and questions != self._asking:
            self._asking = questions
            run_exclusive(self, partial(self._datasets.ask, worker, questions), "datasets")

    def _show_datasets(self) -> None:
        worker, verdict = self._dataset_worker()

        def lines(dataset: JobDataset, cells: int) -> list[Line]:
            if dataset not in self._checked.likely.datasets:
                return waiting_lines(dataset, "is brought along, and looked at on the worker", cells)
            return self._datasets.lines(worker, verdict, dataset, cells)

        self._form.describe(lines, self._checked.datasets)

    def _show_packing(self, text: str) -> None:
        self._status.show([Line(cell(text, "text-muted"))])

    def _show_status(self) -> None:
        errors = self._errors
        if self._refusal:
            self._status.show([Line(cell(self._refusal, "state-failed"))])
            return
        if errors:
            left = Cell(((fmt.plural(len(errors), "field") + " to complete", "text-muted"),))
            reserved = self._offer.words(self._form.draft.worker)
            self._status.show([Line(joined((left, reserved), " · ") if self._offer.left_s else left)])
            return
        chosen = self._form.draft.worker
        answer = self._answer
        if answer is None:
            return
        if not chosen:
            self._status.show([Line(cell(answer.text, "text-muted"))])
            return
        verdict = next((one for one in answer.verdicts if one.worker == chosen), None)
        if verdict is None:
            self._status.show([Line(cell(f"{chosen} is not known here: the job would wait for it", "state-paused"))])
        elif verdict.accepted:
            self._status.show([Line(self._offer.words(chosen))])
        else:
            self._status.show([Line(cell(f"✗ {chosen}: {verdict.reason}; the job would wait", "state-paused"))])

    @on(LiveTable.RowSelected)
    def _choose_worker(self, event: LiveTable.RowSelected) -> None:
        event.stop()
        row = self._table.cursor_row
        if row is not None:
            self._offer.choose_again()
            self._form.choose_worker(row.name if row.verdict is not None else "")

    # -- actions --------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer no browsing where there is no worker with folders to browse."""
        if action == "input" and not self._can_pick:
            return False
        return super().check_action(action, parameters)

    def action_workers(self) -> None:
        self._table.focus()

    def action_input(self) -> None:
        """Browse the worker under the cursor for a file."""
        worker = self._folders_of(self._table.cursor_row)
        if worker is not None:
            shell(self).navigation.choose_input(worker.id, self._form.add_input)

    def action_template(self) -> None:
        for choice in self._form.query("#template"):
            choice.focus()

    @on(Button.Pressed, "#submit")
    def action_submit(self) -> None:
        spec = self._checked.spec
        if spec is None:
            self._complain_everywhere()
            return
        run_exclusive(self, self._submit, "submit")

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss()

    async def _submit(self) -> None:
        spec = self._checked.spec
        if spec is None:
            return
        self._stop_looking()
        self._looked, self._unpacked = (NOTHING, Looked()), {}  # what was wrong on this machine may have been put right
        await self._look()
        if self._errors:
            self._complain_everywhere()
            return
        broken = self._datasets.broken(self._dataset_worker()[0], spec.datasets)
        if broken is not None:
            self._refusal = "a dataset is broken, as is said there"
            self._form.focus_first((PARAMETER_PREFIX + broken.name, DATASETS.name))
            self._show_status()
            return
        packing = Packing(self._source, self._job_id, self._checked.wished, self._show_packing)
        try:
            spec = await packing.pack(spec)
            request = SubmitJobs(submissions=(Submission(self._job_id, spec),))
            jobs = (await ask(self._source, request, JobList)).jobs
        except FieldRefused as refused:
            await packing.withdraw()
            self._refuse_field(refused)
            self._complain_everywhere()
        except OpsconsoleError as error:
            if not isinstance(error, Unavailable):  # else it may have been submitted
                await packing.withdraw()
            self._refusal = error.message
            self._show_status()
        else:
            self._offer.is_used = True
            shell(self).navigation.show_submitted(jobs)
            self.dismiss()

    def _complain_everywhere(self) -> None:
        self._form.complain(self._errors, everywhere=True)
        self._form.focus_first(self._errors)
