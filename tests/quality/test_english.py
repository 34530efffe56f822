"""What a docstring says is a sentence: two mistakes that a program can tell."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRAGMENT = re.compile(r"; (how many|their rows?|what happened|what was done|what it (?:changed|returns))\b")
"""After a verb, the value without one. Write `…, and return …`, or a sentence of its own: `Returns …`."""
POINTER = re.compile(r"\bso (?:long|many|much)\b(?! (?:that|as|longer|later|of)\b)", re.IGNORECASE)
"""There is nothing that it points at. Write `how long …`, `how many …`."""


def mistakes(text: str) -> Iterator[tuple[int, str]]:
    """Line and words of each mistake in the docstrings of a module, and in the texts below its constants and fields."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(said))):
                words = " ".join(said.split())
                for found in (*FRAGMENT.finditer(words), *POINTER.finditer(words)):
                    yield node.lineno, found[0]
            case _:
                pass


@pytest.mark.parametrize("folder", ["agent", "bench", "client", "console", "coordinator", "protocol"])
def test_docstrings_are_sentences(folder: str) -> None:
    found = [
        (f"{path.relative_to(ROOT)}:{line}", words)
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, words in mistakes(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("Change a priority; what happened, in one line.", True),
        ("Count all failures as seen; how many of them were new.", True),
        ("Give a person another name; their row afterwards.", True),
        ("Take in an update; what it changed.", True),
        ("An answer counts for so long.", True),
        ("At most so many jobs.", True),
        ("Change a priority, and return in one line what happened.", False),
        ("Let go of the file; the next append opens it again.", False),
        ("It took so long that nobody waited.", False),
        ("How many jobs at most.", False),
    ],
)
def test_what_is_a_mistake(text: str, is_found: bool) -> None:
    assert bool(list(mistakes(f'"""{text}"""'))) == is_found
