"""Hex dumps."""

from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.model.file_hex import hex_lines


def test_lines() -> None:
    assert list(hex_lines(b"Hello, world!\n\x00\xff~\x7f", 32)) == [
        ("0000000020", "48 65 6c 6c 6f 2c 20 77  6f 72 6c 64 21 0a 00 ff", "Hello, world!···"),
        ("0000000030", "7e 7f" + " " * 43, "~·"),
    ]
    assert list(hex_lines(b"")) == []


@given(st.binary(max_size=100))
def test_every_byte_is_there_and_none_acts_on_a_terminal(data: bytes) -> None:
    lines = list(hex_lines(data))
    assert bytes.fromhex("".join(groups for _, groups, _ in lines)) == data
    assert all(text.isprintable() for _, _, text in lines)
    assert {len(groups) for _, groups, _ in lines} <= {48}
