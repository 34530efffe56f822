"""No decision is made by reading prose: what a program has to know travels as a field or a code beside the sentence.

Found are tests on the text of what is made for people to read: its start, its parts, its words, patterns in it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROSE = frozenset({"error", "reason", "detail", "text", "message", "note", "words", "why", "attention", "input"})
"""What attributes with sentences are called. Of plain variables only those names count that mean nothing else."""
_VARIABLES = frozenset({"error", "reason", "detail", "message", "note"})
_VAGUE = frozenset({"text", "words", "said", "told"})
"""Names of variables for any text, also one that a program reads. They count where they are made of prose in the same
function, or are held against a sentence: two words at least."""
_LOOKING = frozenset(
    {"startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition", "split", "rsplit", "find",
     "rfind", "index", "rindex", "count", "replace"}
)  # fmt: skip
_TWO_WORDS = re.compile(r"[A-Za-z]{3,}.* .*[A-Za-z]{2,}")
_MATCHING = frozenset({"match", "search", "fullmatch", "findall", "finditer", "sub"})

ALLOWED = {
    "agent/opsconsole_agent/dataset/arrow.py: in": "Arrow says in its sentence only whether a file is damaged or cut off",
    "agent/opsconsole_agent/dataset/delimited.py: in": "the reader of CSV says in its sentence only what is wrong",
    "agent/opsconsole_agent/dataset/text.py: in": "Arrow says in its sentence only that zst is cut off",
    "console/opsconsole_console/app/palette.py: re.match": "a fuzzy search for what somebody typed; its matcher says how well",
    "console/opsconsole_console/boot/config.py: partition": "msgspec says the place in its sentence only",
    "console/opsconsole_console/boot/config.py: re.fullmatch": "the parser of TOML says the line in its sentence only",
    "console/opsconsole_console/cli/parser.py: re.match": "argparse words its errors, and has no codes",
    "console/opsconsole_console/cli/pipeline_file.py: removeprefix": "argparse words its errors; only what it puts first is left out",
    "console/opsconsole_console/model/draft.py: in": "shlex raises ValueError for whatever it is",
    "coordinator/opsconsole_coordinator/http/gate.py: in": "a message of ASGI is a dictionary, no sentence",
    "coordinator/opsconsole_coordinator/http/gate.py: removesuffix": "a message of ASGI is a dictionary, no sentence",
    "coordinator/opsconsole_coordinator/http/web.py: ==": "a message of ASGI is a dictionary, no sentence",
    "coordinator/opsconsole_coordinator/log/grep.py: re.finditer": "a search pattern that somebody typed",
    "coordinator/opsconsole_coordinator/server/outbox.py: ==": "a message of ASGI is a dictionary, no sentence",
    "coordinator/opsconsole_coordinator/trust/certificate.py: ==": "the reason of an SSLError is a code",
    "protocol/opsconsole_protocol/codec.py: split": "nothing is decided: spaces and line ends become single spaces",
    "protocol/opsconsole_protocol/host/dial.py: re.search": "asyncio packs the failures of several addresses into one sentence",
    "protocol/opsconsole_protocol/pattern.py: ==": "RE2 words its errors, and has no codes",
    "protocol/opsconsole_protocol/pattern.py: in": "RE2 words its errors, and has no codes",
    "protocol/opsconsole_protocol/pattern.py: startswith": "RE2 words its errors, and has no codes",
    "protocol/opsconsole_protocol/validation_error.py: re.fullmatch": "msgspec words what is wrong, and has no codes",
    "protocol/opsconsole_protocol/validation_error.py: re.search": "msgspec says the place in its sentence only",
    "protocol/opsconsole_protocol/validation_error.py: split": "nothing is decided: spaces and line ends become single spaces",
}
"""File and kind of what looks into a sentence that isn't ours, with the reason why."""


def decisions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and kind of everything that looks into prose."""
    yield from sorted({*_decisions(tree), *_sentences(tree), *_of_variables(tree)})


def _of_variables(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What looks into a variable of a vague name that was made of prose in the same function."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            made = {
                target.id
                for node in ast.walk(function)
                if isinstance(node, ast.Assign)
                and any(isinstance(part, ast.expr) and _is_prose(part) for part in ast.walk(node.value))
                for target in node.targets
                if isinstance(target, ast.Name) and target.id in _VAGUE
            }
            yield from _decisions(function, frozenset(made))


def _sentences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What holds a variable of a vague name against a sentence."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=looked_at, attr=name), args=arguments) if (
                name in _LOOKING | _MATCHING
            ):
                values, kind = [looked_at, *arguments], f"re.{name}" if name in _MATCHING else name
            case ast.Compare(left=left, ops=[operator], comparators=[other]):
                values, kind = [left, other], "in" if isinstance(operator, ast.In | ast.NotIn) else "=="
            case _:
                continue
        if any(map(_is_vague, values)) and any(map(_is_sentence, values)):
            yield node.lineno, kind


def _is_vague(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in _VAGUE


def _is_sentence(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and _TWO_WORDS.search(node.value) is not None


def _decisions(tree: ast.AST, names: frozenset[str] = frozenset()) -> Iterator[tuple[int, str]]:
    """What looks into prose: into attributes and variables that are named for it, and into variables called `names`."""

    def is_prose(node: ast.expr) -> bool:
        return _is_prose(node, _VARIABLES | names)

    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=looked_at, attr=name), args=arguments):
                if name in _LOOKING and is_prose(looked_at):
                    yield node.lineno, name
                elif name in _MATCHING and any(map(is_prose, arguments)):
                    yield node.lineno, f"re.{name}"
            case ast.Compare(left=left, ops=operators, comparators=others):
                for before, operator, after in zip((left, *others), operators, others, strict=False):
                    if isinstance(operator, ast.In | ast.NotIn) and (
                        is_prose(after) or (is_prose(before) and _is_fixed(after))
                    ):
                        yield node.lineno, "in"
                    elif isinstance(operator, ast.Eq | ast.NotEq) and (
                        (is_prose(before) and _is_fixed(after)) or (is_prose(after) and _is_fixed(before))
                    ):
                        yield node.lineno, "=="
            case ast.Match(subject=subject, cases=cases) if is_prose(subject):
                if any(isinstance(case.pattern, ast.MatchValue) for case in cases):
                    yield node.lineno, "match"
            case _:
                pass


def _is_prose(node: ast.expr, names: frozenset[str] = _VARIABLES) -> bool:
    """Whether it is a sentence, or made of one without a look into it."""
    match node:
        case ast.Attribute(attr=name):
            return name in PROSE
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            return name in names
        case ast.Call(func=ast.Attribute(value=value)) | ast.Subscript(value=value):
            return _is_prose(value, names)
        case ast.BoolOp(values=values):
            return any(_is_prose(one, names) for one in values)
        case _:
            return False


def _is_fixed(node: ast.expr) -> bool:
    """Whether it is a sentence written down in code, or a constant's name; the empty one asks only whether there is any."""
    match node:
        case ast.Constant(value=str(value)):
            return bool(value)
        case ast.Tuple() | ast.List() | ast.Set():
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lstrip("_").isupper()
        case _:
            return False


def found() -> dict[str, list[int]]:
    """All of it in the product, by file and kind."""
    places: dict[str, list[int]] = {}
    for folder in ("agent", "client", "console", "coordinator", "protocol"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for line, kind in decisions(ast.parse(path.read_text(encoding="utf-8"))):
                places.setdefault(f"{path.relative_to(ROOT).as_posix()}: {kind}", []).append(line)
    return places


def test_nothing_is_decided_by_reading_prose() -> None:
    here = found()
    assert {place: lines for place, lines in here.items() if place not in ALLOWED} == {}
    assert ALLOWED.keys() <= here.keys(), "these are gone: take them out of the list"


@pytest.mark.parametrize(
    "text",
    [
        'row.reason.startswith("exit code")',
        '"lost" in event.text',
        '(event.text or event.kind).split(" ")',
        'answer.text.partition(": ")',
        "re.match(pattern, task.error)",
        "PATTERN.search(error.message)",
        'str(error).startswith("no")',
        "said.error == HOST_RESTARTED",
        'check.detail == "found"',
        "verdict.input not in reason",
        'row.reason.strip().lower() in ("a", "b")',
        'def explain(error):\n    text = str(error)\n    return "locked" in text',
        'def seen(row):\n    words = row.reason.strip()\n    return words.startswith("exit")',
        're.fullmatch(r"Expected `(.*)`, got `(.*)`", text)',
        'told.startswith("the disk is full")',
    ],
)
def test_what_is_found(text: str) -> None:
    assert list(decisions(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        'f"{row.reason}: {task.error}"',
        "if job.reason != reason: pass",
        'row.reason == ""',
        "if row.reason: pass",
        "task.cause == EndCause.LOST",
        'text.split(",")',
        'def read(text):\n    words = text.split()\n    return words[0] == "show"',
        'words[0] == "show"',
    ],
)
def test_what_is_not(text: str) -> None:
    assert not list(decisions(ast.parse(text)))
