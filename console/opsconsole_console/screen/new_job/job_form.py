"""The left side of the new-job dialog: everything that makes a job, as texts."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.events import DescendantFocus
from textual.geometry import Size
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, Select

from opsconsole_console.model.draft import PARAMETER_PREFIX, Draft, with_template
from opsconsole_console.model.template import parameter_words
from opsconsole_console.screen.new_job.field import COMMAND, DATASETS, GROUPS
from opsconsole_console.screen.part.field_box import Field, FieldBox, widget_id
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.drop_down import DropDown
from opsconsole_console.widget.words import Caption, Words
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.api.parameter import DATASET_KIND, PATH_KIND, kind_words, shown, spell_value
from opsconsole_protocol.dataset import JobDataset

_NO_TEMPLATE = "a command"
_COLUMNS = 2


class DatasetNote(LineView):
    """What is known of the datasets in the field above."""

    DEFAULT_CSS = "DatasetNote { padding: 0 0 0 9; }"

    def __init__(self, field: str, *, classes: str = "") -> None:
        super().__init__(classes=classes)
        self.field = field

    @property
    def cells(self) -> int:
        """How many a line may take."""
        return max(24, self.content_size.width)


class ParameterNote(LineView):
    """What a parameter is, while the cursor is in its field: what has been typed hides the hint in it."""

    DEFAULT_CSS = "ParameterNote { padding: 0 0 0 9; }"

    def __init__(self, field: str, text: str) -> None:
        super().__init__([Line(cell(text, "text-muted"))], classes="parameter")
        self.field = field
        self.display = False


class Complaint(Words):
    """What is wrong with the line above."""

    DEFAULT_CSS = "Complaint { padding: 0 0 0 9; color: $error; }"

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As in the whole line: a grid measures all as high as in its first column."""
        return super().get_content_height(container, viewport, max(width, container.width - self.gutter.width))


class JobForm(VerticalScroll):
    """Posts the whole draft at every change. Two columns; what takes a line of its own has the class `line`."""

    can_focus = False

    @dataclass
    class Changed(Message):
        """Something was typed or chosen."""

        draft: Draft

    def __init__(
        self, draft: Draft, projects: Iterable[str], jobs: Iterable[str], paths: Suggester | None = None
    ) -> None:  # fmt: skip
        """`paths` completes paths on a worker."""
        super().__init__(id="job-form")
        self._paths = paths
        self._draft = draft
        ids = list(jobs)
        self._suggestions = {
            "project": list(projects),
            "after": ids,
            "after_failure": ids,
            "after_any": ids,
            "takes": ids,
        }
        self._templates: dict[str, TemplateRow] = {}
        self._touched: set[str] = set()
        self._complaining = False
        self._complaints: dict[FieldBox, Complaint] = {}
        """What stands under the last box of a line, where something was ever wrong with it."""

    @property
    def draft(self) -> Draft:
        """What stands in the form."""
        return self._draft

    @property
    def template(self) -> TemplateRow | None:
        """The template that is chosen."""
        return self._templates.get(self._draft.template)

    def compose(self) -> ComposeResult:
        yield Caption("run", classes="heading first")
        yield FieldBox(COMMAND, self._draft.command, classes="line")
        for group in GROUPS:
            yield Caption(group.heading, classes="heading")
            for fields in group.rows:
                yield from self._boxes(fields)
                if DATASETS in fields:
                    yield DatasetNote(DATASETS.name)

    def _boxes(self, fields: Sequence[Field]) -> Iterator[FieldBox]:
        for field in fields:
            value: str = getattr(self._draft, field.name)
            yield FieldBox(
                field, value, self._suggestions.get(field.name, ()), classes="line" if len(fields) == 1 else ""
            )

    async def offer_templates(self, templates: Iterable[TemplateRow], wanted: TemplateRow | None = None) -> None:
        """Offer these templates, if there are any, and choose one of them, or an older version of one."""
        self._templates = {template.name: template for template in templates}
        chosen = self._draft.template if self._draft.template in self._templates else ""
        if wanted is not None:
            chosen = wanted.name if self._templates.get(wanted.name) == wanted else wanted.label
            self._templates[chosen] = wanted
        if not self._templates:
            return
        entries = [(_about(name, template), name) for name, template in self._templates.items()]
        await self.mount(
            Horizontal(
                Caption("template"),
                DropDown([(_NO_TEMPLATE, ""), *entries], value=chosen, id="template"),
                id="template-row",
            ),
            before=self._command,
        )
        if wanted is not None:
            await self._choose(chosen)
            next(self.query(".parameter").results(FieldBox), self._command).focus(scroll_visible=False)

    @property
    def _command(self) -> FieldBox:
        return self.query_one(f"#{_box_id(COMMAND.name)}", FieldBox)

    def choose_worker(self, worker: str) -> None:
        """Set the worker to run on; empty for automatic placement."""
        self._draft = replace(self._draft, worker=worker)
        self.post_message(self.Changed(self._draft))

    def add_input(self, name: str) -> None:
        """Add a file to the inputs, unless it is among them."""
        typed = self._draft.inputs
        word = shlex.quote(name)
        if word not in typed.split():
            self._draft = replace(self._draft, inputs=f"{typed.rstrip()} {word}".strip())
            self._touched.add("inputs")
            self._show_values()
            self.post_message(self.Changed(self._draft))

    def complain(self, errors: Mapping[str, str], *, everywhere: bool = False) -> None:
        """Show what is wrong with what was typed; `everywhere`: also where nothing was typed yet."""
        self._complaining = self._complaining or everywhere
        shown = {
            name: text for name, text in errors.items() if self._complaining or name in self._touched
        }  # fmt: skip
        for line in self._lines():
            self._complain_under(line, shown)

    def _lines(self) -> Iterator[list[FieldBox]]:
        """The boxes, line by line."""
        line: list[FieldBox] = []
        for box in self.query(FieldBox):
            line.append(box)
            if box.has_class("line") or len(line) == _COLUMNS:
                yield line
                line = []

    def _complain_under(self, line: Sequence[FieldBox], errors: Mapping[str, str]) -> None:
        wrong = [(box, errors[box.field.name]) for box in line if box.field.name in errors]
        for box in line:
            box.mark_wrong(box.field.name in errors)
        text = "; ".join(f"{box.field.label}: {said}" if len(line) > 1 else said for box, said in wrong)
        last = line[-1]
        complaint = self._complaints.get(last)
        if complaint is not None:
            complaint.display = bool(text)
            complaint.say(text)
        elif text:
            complaint = self._complaints[last] = Complaint(
                text, classes="parameter" if last.has_class("parameter") else ""
            )
            self.mount(complaint, after=last)

    def describe(self, lines: Callable[[JobDataset, int], list[Line]], datasets: Iterable[JobDataset]) -> None:
        """Show under each field what is known of the datasets that stand in it; `lines` is told how many cells a line may take."""
        given = {PARAMETER_PREFIX + one.name: one for one in datasets}
        notes = {note.field: note for note in self.query(DatasetNote)}
        for field, note in notes.items():
            own = [
                one for name, one in given.items() if name == field or (field == DATASETS.name and name not in notes)
            ]
            before = len(note.lines)
            note.show([line for one in own for line in lines(one, note.cells)])
            if len(note.lines) > before and isinstance(box := self.screen.focused, Input) and box.id == _box_id(field):
                self.call_after_refresh(self._reveal, box, note)

    def _reveal(self, box: Input, note: DatasetNote) -> None:
        """What stands under the field with the cursor is to be seen, as far as there is room."""
        if note.region.bottom > self.region.bottom:
            self.scroll_to_widget(box, top=True, animate=False)

    def focus_first(self, names: Iterable[str]) -> None:
        """Put the cursor into the first of these fields, in the order of the form."""
        wanted = set(names)
        for box in self.query(FieldBox):
            if box.field.name in wanted:
                box.focus()
                return

    @on(Select.Changed, "#template")
    async def _template_chosen(self, event: Select.Changed) -> None:
        event.stop()
        if str(event.value) == self._draft.template:
            return
        had_command = self._command.has_focus
        await self._choose(str(event.value))
        if had_command and self.template is not None:
            event.select.focus()

    async def _choose(self, name: str) -> None:
        """Have the form for a template, or for a command where the name is empty."""
        template = self._templates.get(name)
        self._draft = replace(self._draft, template="", parameters={}) if template is None else with_template(
            self._draft, template, name
        )  # fmt: skip
        self._command.display = template is None
        await self.query(".parameter").remove()
        self._complaints = {box: said for box, said in self._complaints.items() if not box.has_class("parameter")}
        if template is not None:
            await self.mount_all(_parameter_rows(template.parameters, self._paths), after=self._command)
            self._show_values()
        self.post_message(self.Changed(self._draft))

    @on(DescendantFocus)
    def _show_note(self) -> None:
        """Say of the parameter with the cursor what it is."""
        box = self.screen.focused
        field = box.field.name if isinstance(box, FieldBox) else ""
        for note in self.query(ParameterNote):
            note.display = note.field == field

    @on(Input.Changed)
    def _take_over_text(self, event: Input.Changed) -> None:
        event.stop()
        box = event.input
        if not isinstance(box, FieldBox):
            return
        name = box.field.name
        if name.startswith(PARAMETER_PREFIX):
            key = name.removeprefix(PARAMETER_PREFIX)
            if self._draft.parameters.get(key, "") == event.value:
                return
            self._draft = replace(self._draft, parameters={**self._draft.parameters, key: event.value})
        else:
            if getattr(self._draft, name) == event.value:
                return
            typed: dict[str, Any] = {name: event.value}
            self._draft = replace(self._draft, **typed)
        self._touched.add(name)
        self.post_message(self.Changed(self._draft))

    @on(Input.Submitted)
    def _focus_next(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.focus_next()

    def _show_values(self) -> None:
        for box in self.query(FieldBox):
            name = box.field.name
            if not name.startswith(PARAMETER_PREFIX) and box.value != getattr(self._draft, name):
                box.value = getattr(self._draft, name)


def _box_id(field: str) -> str:
    return "field-" + widget_id(field)


def _parameter_rows(parameters: Iterable[Parameter], paths: Suggester | None) -> Iterator[Widget]:
    for parameter in {one.name: one for one in parameters}.values():
        choices = [spell_value(choice) for choice in parameter.choices]
        if parameter.kind == "bool":
            choices = ["true", "false"]
        name = PARAMETER_PREFIX + parameter.name
        hint = "" if parameter.default is None else shown(parameter, parameter.default)
        about = "  ".join(filter(None, (kind_words(parameter), parameter.help)))
        box = FieldBox(Field(name, parameter.name, f"{hint}   {about}".strip()), "", choices, classes="line parameter")
        if parameter.kind == PATH_KIND and paths is not None:
            box.suggester = paths
        yield box
        yield ParameterNote(name, parameter_words(parameter))
        if parameter.kind == DATASET_KIND:
            yield DatasetNote(name, classes="parameter")


def _about(name: str, template: TemplateRow) -> str:
    label = name if name == template.label else f"{name}   version {template.version}"
    return f"{label}   {template.description}" if template.description else label
