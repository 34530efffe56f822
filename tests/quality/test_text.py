"""What others wrote stays data (hard use 1, 2): screens show text by `widget/words.py` only, never by what reads markup."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = ROOT / "console" / "opsconsole_console"
MAKERS = {CONSOLE / "widget" / "words.py", CONSOLE / "widget" / "drop_down.py"}
"""The only files that use Textual's own widgets for text."""

EVENTS_ONLY = frozenset({"Button", "Input", "Select", "Toast"})
"""May be named elsewhere, for their messages and in queries; but not made."""
FRAMES = frozenset({"border_title", "border_subtitle", "tooltip", "sub_title"})
READS_MARKUP = frozenset({"from_markup", "from_text", "render_str", "render_markup", "escape_markup", "highlight"})


def faults(source: str) -> list[str]:
    """Where a module could have Textual or rich read text as markup."""
    return [f"{getattr(node, 'lineno', 0)}: {what}" for node in ast.walk(ast.parse(source)) for what in _faults(node)]


def _faults(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ImportFrom(module="textual.widgets" | "textual.widgets._toast", names=names):
            yield from (f"import of textual.widgets.{one.name}" for one in names if one.name not in EVENTS_ONLY)
        case ast.ImportFrom(module=str(module)) if module.startswith(
            ("textual.widgets.", "rich.markup", "rich.markdown")
        ):
            yield f"import from {module}"
        case ast.Call(func=ast.Name(id=name)) if name in EVENTS_ONLY:
            yield f"{name}(…) is made"
        case ast.Call(func=ast.Name(id="Hit" | "DiscoveryHit" as name), args=args) if not _are_plain(args):
            yield f"{name}(…) of a text"
        case ast.Call(func=ast.Attribute(attr=name)) if name in READS_MARKUP:
            yield f"{name}(…)"
        case ast.keyword(arg="markup", value=ast.Constant(value=True)):
            yield "markup=True"
        case ast.Assign(targets=targets):
            yield from (
                f"{one.attr} is set" for one in targets if isinstance(one, ast.Attribute) and one.attr in FRAMES
            )
        case ast.Call(func=ast.Attribute(attr="notify", value=ast.Attribute(attr="app"))):
            yield "app.notify(…): `home(self).say`"
        case ast.Call(func=ast.Attribute(attr="update"), args=[ast.Constant(value=str()) | ast.JoinedStr()]):
            yield "update(…) with a text"


def _are_plain(args: list[ast.expr]) -> bool:
    """Whether what a hit shows comes from `plain` or from the palette's own highlighting."""
    shown = args[0] if isinstance(args[0], ast.Call) else args[1] if len(args) > 1 else args[0]
    return not isinstance(shown, ast.Constant | ast.JoinedStr | ast.Attribute)


@pytest.mark.parametrize(
    "line",
    [
        "from textual.widgets import Static",
        "from textual.widgets import Input, Label",
        "from textual.widgets.option_list import Option",
        "box = Input(value)",
        "rack.mount(Toast(notification))",
        "yield Button(job.name)",
        "dialog.border_title = job.name",
        "self.tooltip = text",
        "Content.from_markup(text)",
        "matcher.highlight(text)",
        "self.app.notify(error.message)",
        "app.push(text, markup=True)",
        "label.update(f'{name}')",
        "Hit(score, f'{name}', run)",
    ],
)
def test_the_raw_ways_are_seen(line: str) -> None:
    assert faults(line)


@pytest.mark.parametrize(
    "line", ["from textual.widgets import Input", "@on(Input.Changed)\ndef f(): ...", "rows.update(more)"]
)
def test_what_is_harmless_is_let_be(line: str) -> None:
    assert not faults(line)


def test_no_screen_takes_markup_from_data() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in sorted(CONSOLE.rglob("*.py"))
        if path not in MAKERS
        for fault in faults(path.read_text())
    ]
    assert not found, f"use widget/words.py: {found}"


WRITERS = {"output.py", "log_writer.py", "progress_line.py"}
"""The only files that write to our streams: the first cleans every line, the second has rules of its own, the third writes over a line."""


def test_every_line_of_the_command_line_goes_through_one_place() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted((CONSOLE / "cli").glob("*.py"))
        if path.name not in WRITERS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id == "print")
            or (isinstance(node.func, ast.Attribute) and node.func.attr == "write" and "std" in ast.unparse(node.func))
        )
    ]
    assert not found, f"use put, say or put_table: {found}"
