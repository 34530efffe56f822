"""Patterns that people and peers write run on RE2 alone (hard use 3, 53): `re` compiles only what stands in our code.

A pattern is ours where it is a literal, or an f-string of our own constants. Everything else has to go through
`opsconsole_protocol/pattern.py`.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("protocol", "coordinator", "agent", "client", "console")
_COMPILING = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}


def offences(source: str) -> list[int]:
    """Lines that give `re` a pattern which isn't ours."""
    tree = ast.parse(source)
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name in {"re", "re2"}
    }
    taken = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module in {"re", "re2"}
    ]
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
    return taken + [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and getattr(call.func.value, "id", "") in modules
        and call.func.attr in _COMPILING
        and not (call.args and _is_ours(call.args[0]))
    ]


def _is_ours(pattern: ast.expr) -> bool:
    match pattern:
        case ast.Constant():
            return True
        case ast.JoinedStr(values=values):
            return all(_is_constant(one.value) for one in values if isinstance(one, ast.FormattedValue))
        case _:
            return _is_constant(pattern)


def _is_constant(value: ast.expr) -> bool:
    """A module's constant, alone or in a sum of lengths: `KEY`, `ERROR.pattern`, `3 + len(SOURCES)`."""
    names = [node.id for node in ast.walk(value) if isinstance(node, ast.Name)]
    return bool(names) and all(name.isupper() or name == "len" for name in names)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_gives_re_a_pattern_from_outside(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "pattern.py"
        for line in offences(path.read_text())
    }
    assert not found, "patterns from outside go through opsconsole_protocol/pattern.py"


@pytest.mark.parametrize(
    ("line", "is_offence"),
    [
        ("re.compile('a')", False),
        ("re.compile(rf'{_KEY}+')", False),
        ("re.compile(rf'{key}+')", True),
        ("re.search(args.grep, line)", True),
        ("re.compile(text if regex else re.escape(text))", True),
        ("re.fullmatch(_KEY, key)", False),
        ("from re import compile", True),
    ],
)
def test_an_offence_is_seen(line: str, is_offence: bool) -> None:
    assert bool(offences(f"import re\n{line}\n")) is is_offence
