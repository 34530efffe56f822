"""JSON laid out line by line, with what each part is. Pure.

For being shown it is read sign by sign and not parsed, so that the head of a large file, a file with a mistake in it and one that is nested
a million deep are shown as well, as far as they go.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice

LINES_MAX = 20_000
STRING_CHARACTERS_MAX = 2_000
_INDENT_DEPTH_MAX = 40
_WORD = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_OPENING, _CLOSING, _SIGNS = frozenset("{["), frozenset("}]"), frozenset("{}[],")

ShownSpan = tuple[str, str]
"""Text and what it is: `key`, `string`, `number`, `word`, or nothing special."""


def json_lines(text: str) -> tuple[list[Sequence[ShownSpan]], bool]:
    """The lines of a JSON text, and whether there would be more."""
    lines: list[Sequence[ShownSpan]] = []
    for line in _laid_out(text):
        if len(lines) == LINES_MAX:
            return lines, True
        lines.append(line)
    return lines, False


def json_fault(text: str) -> str:
    """What is wrong with a whole JSON text, in a line; empty where nothing is, or nobody can tell."""
    try:
        json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()):
            return "this JSON is broken: it ends before it is complete"
        return f"this JSON is broken at line {error.lineno:,}, character {error.colno:,}"
    except (ValueError, RecursionError):
        return ""
    return ""


def _laid_out(text: str) -> Iterator[list[ShownSpan]]:
    # A line has a few words: many times as many as lines needn't be looked at.
    words = [match[0] for match in islice(_WORD.finditer(text), LINES_MAX * 8)]
    depth = 0
    line: list[ShownSpan] = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word in _CLOSING and line and not _is_just_opened(line):
            yield _indented(line, depth)
            line = []
        depth -= word in _CLOSING and depth > 0
        line.append(_span(word, following))
        if _ends_line(word, following):
            yield _indented(line, depth)
            line = []
        depth += word in _OPENING
    if line:
        yield _indented(line, depth)


def _ends_line(word: str, following: str) -> bool:
    if word in _OPENING:
        return following not in _CLOSING
    return word == "," or (word in _CLOSING and following != ",")


def _is_just_opened(line: list[ShownSpan]) -> bool:
    return line[-1][0] in _OPENING


def _indented(line: list[ShownSpan], depth: int) -> list[ShownSpan]:
    return [("  " * min(depth, _INDENT_DEPTH_MAX), ""), *line] if depth else list(line)


def _span(word: str, following: str) -> ShownSpan:
    if word == ":":
        return ": ", ""
    if word in _SIGNS:
        return word, ""
    if word.startswith('"'):
        what = "key" if following == ":" else "string"
    else:
        what = "number" if word[0] in "-0123456789" else "word"
    return word if len(word) <= STRING_CHARACTERS_MAX else f"{word[: STRING_CHARACTERS_MAX - 1]}…", what
