"""What of others' text a person may see (hard use 1, 2, 4, 65): nothing that acts on a terminal, hides or reorders."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.visible import MARKS_MAX, clean, escape_json, is_clean, signs


def test_clean_leaves_printable_text_alone() -> None:
    for text in ("loss 0.1934 – größer 数 ▶", "👩\u200d🔬 lab", "e\u0301te\u0301", "שלום", "[/]"):
        assert clean(text) is text
        assert is_clean(text)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\tb", "a       b"),
        ("a\nb", "a b"),
        ("a\r\nb", "a b"),
        ("\x1b[31mred", "�[31mred"),
        ("bell\x07", "bell�"),
        ("c1\x9b2J", "c1�2J"),
        ("\u202eevil", "�evil"),
        ("zero\u200bwidth", "zero�width"),
        ("half \ud83d", "half �"),
        ("tag\U000e0041", "tag�"),
        ("soft\u00adhyphen", "soft�hyphen"),
        ("filler\u3164", "filler�"),
        ("a" + "\u0301" * 500, "a" + "\u0301" * MARKS_MAX + "�"),
    ],
)
def test_clean_replaces_what_could_move_or_hide(raw: str, text: str) -> None:
    assert clean(raw) == text
    assert not is_clean(raw)


@given(st.text(alphabet=st.characters()))
def test_clean_text_has_no_controls_and_can_be_encoded(raw: str) -> None:
    text = clean(raw)
    assert not [c for c in text if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    text.encode()
    assert clean(text) == text


@given(st.text(alphabet=st.characters()))
def test_signs_keep_the_number_of_characters(raw: str) -> None:
    assert len(signs(raw)) == len(raw)
    assert not [c for c in signs(raw) if unicodedata.category(c) in {"Cc", "Cs"}]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "iso-8859-1", "ascii"])
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_json_reads_back_as_it_was_and_holds_nothing_that_acts(encoding: str, text: str) -> None:
    line = escape_json(json.dumps({"a": text}, ensure_ascii=False), encoding)
    assert json.loads(line) == {"a": text}
    assert not [c for c in line if unicodedata.category(c) == "Cc" or c in "\u202e\u200f\u2066\u2028"]
    line.encode(encoding)
