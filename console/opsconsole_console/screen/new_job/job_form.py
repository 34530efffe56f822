"""The left side of the new-job dialog: everything that makes a job, as texts."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Select

from opsconsole_console.model.draft import PARAMETER_PREFIX, Draft, with_template
from opsconsole_console.screen.new_job.field import COMMAND, DATASETS, GROUPS
from opsconsole_console.screen.new_job.form_row import FormRow
from opsconsole_console.screen.part.field_box import Field, FieldBox, widget_id
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.widget.drop_down import DropDown
from opsconsole_console.widget.words import Caption
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.api.template import DATASET_KIND
from opsconsole_protocol.dataset import JobDataset

_NO_TEMPLATE = "a command"


class DatasetNote(LineView):
    """What is known of the datasets in the field above."""

    DEFAULT_CSS = "DatasetNote { padding: 0 0 0 9; }"

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field

    @property
    def cells(self) -> int:
        """How many a line may take."""
        return max(24, self.content_size.width)


class JobForm(VerticalScroll):
    """Posts the whole draft at every change."""

    can_focus = False

    @dataclass
    class Changed(Message):
        """Something was typed or chosen."""

        draft: Draft

    def __init__(self, draft: Draft, projects: Iterable[str], jobs: Iterable[str]) -> None:
        super().__init__(id="job-form")
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

    @property
    def draft(self) -> Draft:
        """What stands in the form."""
        return self._draft

    @property
    def template(self) -> TemplateRow | None:
        """The template that is chosen."""
        return self._templates.get(self._draft.template)

    def compose(self) -> ComposeResult:
        yield Caption("run", classes="heading")
        with Horizontal(id="template-row"):
            yield Caption("template")
            yield DropDown([(_NO_TEMPLATE, "")], value="", id="template")
        values = _values(self._draft)
        yield FormRow((COMMAND,), values, id="command-row")
        yield Container(id="parameters")
        for group in GROUPS:
            yield Caption(group.heading, classes="heading")
            for fields in group.rows:
                yield FormRow(fields, values, self._suggestions)
                if DATASETS in fields:
                    yield DatasetNote(DATASETS.name)

    def offer_templates(self, templates: Iterable[TemplateRow]) -> None:
        """Offer these templates."""
        self._templates = {template.name: template for template in templates}
        select = self.query_one("#template", DropDown)
        select.offer(
            [(_NO_TEMPLATE, ""), *((_about(template), template.name) for template in self._templates.values())]
        )
        self.query_one("#template-row").display = bool(self._templates)
        if self._draft.template in self._templates:
            select.value = self._draft.template

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
        for row in self.query(FormRow):
            row.complain(shown)

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
                box.input.focus()
                return

    @on(Select.Changed, "#template")
    async def _template_chosen(self, event: Select.Changed) -> None:
        event.stop()
        name = str(event.value)
        if name == self._draft.template:
            return
        template = self._templates.get(name)
        self._draft = replace(self._draft, template="", parameters={}) if template is None else with_template(
            self._draft, template
        )  # fmt: skip
        self.query_one("#command-row").display = template is None
        place = self.query_one("#parameters", Container)
        await place.remove_children()
        if template is not None:
            await place.mount_all(_parameter_rows(template.parameters))
            self._show_values()
        self.post_message(self.Changed(self._draft))

    @on(Input.Changed)
    def _take_over_text(self, event: Input.Changed) -> None:
        event.stop()
        box = event.input.parent
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
        values = _values(self._draft)
        for box in self.query(FieldBox):
            if box.field.name in values and box.input.value != values[box.field.name]:
                box.input.value = values[box.field.name]


def _box_id(field: str) -> str:
    return "field-" + widget_id(field)


def _values(draft: Draft) -> dict[str, str]:
    fields = (field.name for group in GROUPS for row in group.rows for field in row)
    return {name: getattr(draft, name) for name in ("command", *fields)}


def _parameter_rows(parameters: Iterable[Parameter]) -> Iterator[Widget]:
    for parameter in {one.name: one for one in parameters}.values():
        choices = [str(choice) for choice in parameter.choices]
        hint = "" if parameter.default is None else str(parameter.default)
        about = " | ".join(choices) or parameter.help or ("" if not parameter.required else parameter.kind)
        name = PARAMETER_PREFIX + parameter.name
        yield FormRow(
            (Field(name, parameter.name, f"{hint}   {about}".strip()),), {}, {name: choices} if choices else None
        )
        if parameter.kind == DATASET_KIND:
            yield DatasetNote(name)


def _about(template: TemplateRow) -> str:
    return f"{template.name}   {template.description}" if template.description else template.name
