"""A state is named by its enum. A state's name written out as text is a typo that nobody notices, and no search finds."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_protocol.state import AttemptState, TaskState, WorkerStatus

ROOT = Path(__file__).resolve().parents[2]
STATES = frozenset({*map(str, TaskState), *map(str, AttemptState), *map(str, WorkerStatus)})


def places(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every constant that is used as a state.

    It is compared with, looked up, matched, a default, an argument called `state`, or one of several states side by side.
    A word alone may mean something else: a project is paused, too, and `held` is a field of a job's spec.
    """
    for node in ast.walk(tree):
        for constant in _used_as_state(node):
            if isinstance(constant, ast.Constant) and constant.value in STATES:
                yield constant.lineno, constant.value


def _used_as_state(node: ast.AST) -> list[ast.expr | None]:
    match node:
        case ast.Compare(left=left, comparators=others):
            return [one for side in (left, *others) for one in (*_elements(side), side)]
        case ast.Set(elts=elements) | ast.Tuple(elts=elements) | ast.List(elts=elements) if _are_states(elements):
            return list(elements)
        case ast.Dict(keys=keys) if _are_states([key for key in keys if key is not None]):
            return list(keys)
        case ast.MatchValue(value=value):
            return [value]
        case ast.arguments(defaults=defaults, kw_defaults=keyword_defaults):
            return [*defaults, *keyword_defaults]
        case ast.AnnAssign(value=value):
            return [value]
        case ast.keyword(arg="state" | "attempt_state", value=value):
            return [value]
        case ast.Subscript(slice=key):
            return [key]
        case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[key, *_]):
            return [key]
        case _:
            return []


def _elements(side: ast.expr) -> list[ast.expr]:
    return side.elts if isinstance(side, (ast.Set, ast.Tuple, ast.List)) else []


def _are_states(elements: list[ast.expr]) -> bool:
    """Whether two or more states stand side by side."""
    return sum(isinstance(one, ast.Constant) and one.value in STATES for one in elements) > 1


def found() -> dict[str, list[tuple[int, str]]]:
    """By file of the product."""
    files = {
        path.relative_to(ROOT).as_posix(): sorted(set(places(ast.parse(path.read_text()))))
        for folder in ("protocol", "coordinator", "agent", "client", "console")
        for path in (ROOT / folder).rglob("*.py")
    }
    return {path: here for path, here in files.items() if here}


def test_states_are_named_by_their_enum() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    "line",
    [
        "row.state == 'running'",
        "'held' != row.state",
        "row.state in ('pending', other)",
        "LIVE = {'running', 'paused'}",
        "SIGNS = {'running': 1, 'paused': 2}",
        "counts['running']",
        "counts.get('failed', 0)",
        "def show(state='pending'): ...",
        "state: str = 'pending'",
        "make(state='failed')",
        "match state:\n    case 'killed' | 'failed': ...",
    ],
)
def test_a_state_that_is_written_out_is_found(line: str) -> None:
    assert list(places(ast.parse(line)))


@pytest.mark.parametrize(
    "line", ["say('running')", "STATUS = ('active', 'paused')", "{'held': spec.held}", "x = 'failed'"]
)
def test_the_same_word_in_another_sense_is_not(line: str) -> None:
    assert not list(places(ast.parse(line)))
