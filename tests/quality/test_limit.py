"""docs/limits.md names every limit, with the value that it has in the code."""

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "limits.md"
PACKAGES = {
    "protocol": "opsconsole_protocol",
    "coordinator": "opsconsole_coordinator",
    "agent": "opsconsole_agent",
    "client": "opsconsole",
    "console": "opsconsole_console",
}
# By the ending of the constant's name: what one of the page's units is in the constant's own.
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "d": 24 * 3600 * 1000, "": 1}
NO_LIMITS = {
    "agent.core.reactor.FORGOTTEN_MAX": "a cache",
    "coordinator.core.ending.BACKOFF_MAX_MS": "a time",
    "coordinator.core.estimate.KINDS_MAX": "a cache",
    "coordinator.core.fleet.INPUT_ANSWER_MS_MAX": "a time",
    "coordinator.core.gang_placement.PORT_ANSWER_MS_MAX": "a time",
    "coordinator.server.log_service.RETRY_AFTER_S_MAX": "a time",
    "coordinator.core.holder.HOLDER_NAME_CHARACTERS_MAX": "the rest of a name is one key away",
    "coordinator.core.schedule.TOLD_MAX": "those after these are told later",
    "coordinator.core.terms.SPLIT_BYTES_MAX": "says how a spec is kept in memory",
    "coordinator.core.story.SUBJECTS_MAX": "what an error of our own says beside it",
    "protocol.bound.PORT_MAX": "the highest port there is",
    "protocol.bound.TIME_MS_MAX": "the end of the calendar",
    "protocol.link.from_agent.AGAIN_MS_MAX": "a time",
    "protocol.spec.DURATION_MS_MAX": "a time",
    "protocol.api.request.WAIT_MS_MAX": "a time",
    "client.fleet_subscription.BACKOFF_MAX_S": "a time",
    "coordinator.core.templates.OLDER_MAX": "a cache",
    "client.sweep.SEED_MAX": "a number that anything fits",
    "protocol.session.frame.CHANNEL_MAX": "the highest number of a channel",
    "protocol.session.frame.SIGNAL_MAX": "the highest number of a signal",
    "protocol.session.frame.EXIT_CODE_MAX": "the highest exit code there is",
    "protocol.session.frame.TAKEN_MAX": "more than a window, which is what is told",
}
_ROW = re.compile(r"^\| [^|]+ \| (?P<limit>[^|]+) \| [^|]+ \| `(?P<name>[^`|]+)` \|$", re.MULTILINE)
_CONSTANT = re.compile(r"^([A-Z][A-Z_]*_MAX(?:_[A-Z]+)?)\b[^=\n]* = ", re.MULTILINE)


def rows() -> dict[str, str]:
    """The limits of the page by their names in the code."""
    return {row["name"]: row["limit"].strip() for row in _ROW.finditer(PAGE.read_text())}


def in_code(name: str) -> float:
    """The value of `package.module.NAME`, or of `package.module.Class.field` the default."""
    package, *path = name.split(".")
    depth = next(index for index, part in enumerate(path) if part[0].isupper())
    found: Any = importlib.import_module(".".join((PACKAGES[package], *path[:depth])))
    for part in path[depth:]:
        found = getattr(found() if isinstance(found, type) else found, part)
    assert isinstance(found, (int, float)), name
    return found


def on_page(limit: str, name: str) -> float:
    """`16 MiB`, `100,000`, `3660 d` as a number in the constant's unit."""
    number, _, unit = limit.partition(" ")
    whole = int(number.replace(",", "")) * UNITS[unit]
    return whole >> 20 if "_MB" in name else whole


def test_a_limit_has_the_value_that_the_page_gives() -> None:
    page = {name: on_page(limit, name) for name, limit in rows().items()}
    assert page == {name: in_code(name) for name in page}


def test_every_row_of_the_page_names_its_limit() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    heads = sum(line.startswith(("| what |", "| --- |")) for line in lines)
    assert len(rows()) == len(lines) - heads


def test_every_limit_of_the_code_is_on_the_page() -> None:
    found = {
        f"{folder}.{'.'.join(path.relative_to(ROOT / folder / package).with_suffix('').parts)}.{constant}"
        for folder, package in PACKAGES.items()
        if folder != "console"
        for path in (ROOT / folder / package).rglob("*.py")
        for constant in _CONSTANT.findall(path.read_text())
    }
    assert found - rows().keys() - NO_LIMITS.keys() == set(), "a new limit: give it a row in docs/limits.md"
    shared = [name for name, times in Counter(one.rpartition(".")[2] for one in found).items() if times > 1]
    assert not shared, "two limits have one name"
    assert found >= NO_LIMITS.keys(), "what isn't there any more needs no excuse"


def bare(tree: ast.AST) -> Iterator[int]:
    """Lines in which a limit is a number: in a `Meta(...)`, or where a length is compared with one."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Meta"), keywords=keywords):
                if any(_is_number(one.value, above=1) for one in keywords):
                    yield node.lineno
            case ast.Compare(left=left, comparators=others):
                sides = (left, *others)
                if any(map(_is_length, sides)) and any(_is_number(one, above=64) for one in sides):
                    yield node.lineno
            case _:
                pass


def _is_number(node: ast.expr, *, above: int) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value > above


def _is_length(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"


def test_a_limit_is_a_constant_with_a_name() -> None:
    places = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder, package in PACKAGES.items()
        for path in sorted((ROOT / folder / package).rglob("*.py"))
        for line in bare(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert places == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("Annotated[str, Meta(max_length=200)]", True),
        ("if len(worker_id) > 100: pass", True),
        ("if not 1 <= len(name) <= 1000: pass", True),
        ("Meta(ge=0, le=SLOTS_MAX)", False),
        ("len(words) == 2", False),
        ("width < 120", False),
    ],
)
def test_what_counts_as_a_bare_number(text: str, is_found: bool) -> None:
    assert bool(list(bare(ast.parse(text)))) == is_found
