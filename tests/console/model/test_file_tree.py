"""JSON laid out, whatever state it is in."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.model import file_tree
from opsconsole_console.model.file_tree import json_fault, json_lines


def shown(text: str) -> list[str]:
    return ["".join(part for part, _ in line) for line in json_lines(text)[0]]


def test_a_tree() -> None:
    assert shown('{"a": [1, -2.5e3, true], "b": {}, "c": {"d": "x, y: z"}, "e": []}') == [
        "{",
        '  "a": [',
        "    1,",
        "    -2.5e3,",
        "    true",
        "  ],",
        '  "b": {},',
        '  "c": {',
        '    "d": "x, y: z"',
        "  },",
        '  "e": []',
        "}",
    ]


def test_what_each_part_is() -> None:
    [_, line, _], _ = json_lines('{"a": [1, "b", null]}')[0][:3], None
    assert list(line) == [("  ", ""), ('"a"', "key"), (": ", ""), ("[", "")]
    words = [span for line in json_lines('[1, "b", null]')[0] for span in line if span[1]]
    assert words == [("1", "number"), ('"b"', "string"), ("null", "word")]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("7", ["7"]),
        ("[]", ["[]"]),
        ("{}\n{}", ["{}", "{}"]),
        ('{"a": [1, 2', ["{", '  "a": [', "    1,", "    2"]),
        ('{"a": "unclosed', ["{", '  "a": "unclosed']),
        ('["a\\"b"]', ["[", '  "a\\"b"', "]"]),
        ("]]]}", ["]", "]", "]", "}"]),
        ("not json at all", ["notjsonatall"]),
    ],
)
def test_as_far_as_it_goes(text: str, lines: list[str]) -> None:
    assert shown(text) == lines


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=30,
    )
)
def test_what_is_laid_out_says_the_same(value: object) -> None:
    assert json.loads("\n".join(shown(json.dumps(value)))) == value


@given(st.text(alphabet='{}[]",:\\a1 \n', max_size=100))
def test_nothing_is_too_odd(text: str) -> None:
    json_lines(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 500_000, "]" * 500_000, '"' + '\\"' * 500_000 + "\\", '"' * 500_001, "{" * 250_000 + "}" * 250_000, "[1," * 300_000],
    ids=["deep", "closed", "quotes", "strings", "pairs", "numbers"],
)  # fmt: skip
def test_hostile_text_takes_no_time(text: str) -> None:
    began = time.process_time()
    lines, _ = json_lines(text)
    assert len(lines) <= file_tree.LINES_MAX
    assert time.process_time() - began < 5


def test_a_long_file_ends_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_tree, "LINES_MAX", 10)
    lines, more = json_lines(json.dumps(list(range(100))))
    assert (len(lines), more) == (10, True)


def test_a_long_string_is_cut() -> None:
    [[(text, what)]] = json_lines('"' + "x" * 10_000 + '"')[0]
    assert (len(text), text[-1], what) == (file_tree.STRING_CHARACTERS_MAX, "…", "string")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1,\n "b": }', "this JSON is broken at line 2, character 7"),
        ("{}\n{}", "this JSON is broken at line 2, character 1"),
        ('{"a": 1', "this JSON is broken: it ends before it is complete"),
        ("\ufeff[NaN]", ""),
        ("[" * 100_000, ""),
        ("1" * 5_000, ""),
    ],
    ids=("no value", "two values", "cut", "sound", "deep", "a long number"),
)
def test_what_is_wrong_with_json_is_said(text: str, fault: str) -> None:
    assert json_fault(text) == fault
