"""All keys of the screen below, made from its bindings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap, BindingType
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from opsconsole_console.model.command import KINDS
from opsconsole_console.screen.part.facts import side_by_side, wrapped
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import BLANK, Line, LineView
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import Dialog
from opsconsole_protocol.filter import SYNTAX

_HEADINGS = {
    "job": "Jobs",
    "failure": "Failures",
    "worker": "Workers",
    "log": "Logs",
    "table": "Tables",
    "pane": "Panes",
    "app": "Everywhere",
    "jobs": "Jobs",
    "workers": "Workers",
    "tasks": "Tasks",
}
_UNTOLD = frozenset({"filter", "help", "text"})
"""Groups that a footer is enough for."""

_ROWS = {
    "pane.number": "The pane with this number",
    "sort": "Sort by that letter's column; again turns it round",
}
_KEY_CELLS = 14
_LETTERS_APART_MAX = 6
_COLUMN_CELLS = 46
_AROUND_CELLS = 13
"""Margins, frame and scroll bar."""


class Key(NamedTuple):
    """One binding as help shows it: what it is about, its keys, what it does."""

    group: str
    keys: str
    does: str


class HelpScreen(SteadyScreen, ModalScreen[None]):
    """Two columns where there is room for them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "app.pop_screen", "Back", id="help.back")
    ]

    def __init__(self, keys: Sequence[Key], fields: Mapping[str, Sequence[str]]) -> None:
        """`fields` are what conditions of filters can name, by what is filtered."""
        super().__init__()
        self._keys = keys
        self._fields = fields
        self._line_view = LineView()

    def compose(self) -> ComposeResult:
        with Dialog("Help", classes="large"), VerticalScroll():
            yield self._line_view
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def on_resize(self) -> None:
        self._line_view.show(help_lines(self._keys, self._fields, self.size.width - _AROUND_CELLS))


def keys_of(screen: Screen[Any], also: Iterable[type[DOMNode]] = ()) -> list[Key]:
    """The bindings that are alive on a screen, and those of widgets that could be opened there."""
    found: dict[str, Key] = {}
    for node in (*screen.walk_children(), screen, screen.app):
        _gather(node._bindings, node, found)  # noqa: SLF001 - Textual has no other way to ask a widget
    for kind in also:
        _gather(kind._merge_bindings(), screen, found)  # noqa: SLF001
    return list(found.values())


def _gather(bindings: BindingsMap, node: DOMNode, found: dict[str, Key]) -> None:
    keys: dict[str, list[str]] = {}
    chosen: dict[str, Binding] = {}
    bindings = bindings.copy()
    bindings.apply_keymap(node.app._keymap)  # noqa: SLF001 - what users remapped shows here too
    for binding in (one for many in bindings.key_to_bindings.values() for one in many):
        if binding.id is not None and not binding.system and binding.id not in found and _allowed(node, binding):
            keys.setdefault(_row_id(binding.id), []).append(node.app.get_key_display(binding))
            chosen[_row_id(binding.id)] = binding
    for row_id, binding in chosen.items():
        if row_id.partition(".")[0] in _UNTOLD:
            continue
        text = _ROWS.get(row_id) or _ROWS.get(row_id.partition(".")[2]) or _about(binding)
        found[row_id] = Key(row_id.partition(".")[0], _spelled(dict.fromkeys(keys[row_id])), text)


def _spelled(keys: Iterable[str]) -> str:
    """Keys side by side; many single letters without gaps."""
    many = list(keys)
    return ("" if len(many) > _LETTERS_APART_MAX else " ").join(many)


def _row_id(binding_id: str) -> str:
    """Bindings of one kind share a row: panes by number, columns by letter."""
    if binding_id.startswith("pane.") and binding_id[5:].isdecimal():
        return "pane.number"
    group, _, rest = binding_id.partition(".")
    return f"{group}.sort" if rest.startswith("sort.") else binding_id


def _about(binding: Binding) -> str:
    tooltip = binding.tooltip
    return binding.description + (f": {tooltip[:1].lower()}{tooltip[1:]}" if tooltip else "")


def _allowed(node: DOMNode, binding: Binding) -> bool:
    if binding.description in ("Back", "Undo") or not isinstance(node, Widget | Screen):
        return True
    action = binding.action.rpartition(".")[2].partition("(")[0]
    return node.check_action(action, ()) is not False


def help_lines(keys: Sequence[Key], fields: Mapping[str, Sequence[str]], cells: int) -> list[Line]:
    """Groups under headings, the filter language, and the commands of the command line."""
    blocks: list[list[Line]] = []
    column = cells if cells < 2 * _COLUMN_CELLS else cells // 2 - 2
    order = {group: place for place, group in enumerate(_HEADINGS)}
    headings = {key.group: _HEADINGS.get(key.group, key.group.capitalize()) for key in keys}
    for heading in dict.fromkeys(headings[group] for group in sorted(headings, key=lambda one: order.get(one, 99))):
        rows = [key for key in keys if headings[key.group] == heading]
        blocks.append([_heading(heading), *_rows(((key.keys, key.does) for key in rows), column)])
    if fields:
        blocks.insert(min(2, len(blocks)), _filter_block(fields, column))
    commands = ((f":{kind.name} {kind.argument.upper()}".rstrip(), kind.help) for kind in KINDS)
    blocks.append([_heading("Command line"), *_rows(commands, column)])
    if cells < 2 * _COLUMN_CELLS:
        return [line for block in blocks for line in (*block, BLANK)]
    return _two_columns(blocks, cells // 2)


def _filter_block(fields: Mapping[str, Sequence[str]], cells: int) -> list[Line]:
    """The filter language by example, and what can be named in it."""
    lines = [_heading("Filters: / and then"), *_rows(SYNTAX, cells)]
    for title, names in fields.items():
        lead = f"  {title.lower():<{_KEY_CELLS}} "
        lines += wrapped(" ".join(names), cells, first=lead, rest=" " * len(lead))
    return lines


def _two_columns(blocks: Sequence[Sequence[Line]], cells: int) -> list[Line]:
    total = sum(len(block) + 1 for block in blocks)
    left: list[Line] = []
    right: list[Line] = []
    for block in blocks:
        side = left if len(left) + len(block) // 2 < total // 2 and not right else right
        side += [*block, BLANK]
    return side_by_side(left, right, cells)


def _heading(text: str) -> Line:
    return Line(cell(text, "bold primary"))


def _rows(pairs: Iterable[tuple[str, str]], cells: int) -> list[Line]:
    """Keys and what they do, in full: over two lines where one is too short."""
    rest = " " * (_KEY_CELLS + 3)
    return [
        line
        for keys, does in pairs
        for line in wrapped(does, cells, first=f"  {keys:<{_KEY_CELLS}} ", rest=rest, lead_tone="bold")
    ]
