"""What is in a file, told from its name and its first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.model.file_kind import ContentKind, broken_promise, decode, is_text, kind_of

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.csv", b"", ContentKind.EMPTY),
        ("a.csv", b"a,b\n1,2\n", ContentKind.CSV),
        ("A.CSV", b"a,b\n", ContentKind.CSV),
        ("a.tsv", b"a\tb\n", ContentKind.TSV),
        ("a.json", b"{}", ContentKind.JSON),
        ("a.jsonl", b"{}\n", ContentKind.JSON_LINES),
        ("train.log", b"epoch 1\r\n", ContentKind.TEXT),
        ("csv", b"a,b\n", ContentKind.TEXT),
        ("", b"a", ContentKind.TEXT),
        ("a.csv", PNG, ContentKind.IMAGE),
        ("a.png", b"no image", ContentKind.TEXT),
        ("a", b"\xff\xd8\xff\xe0", ContentKind.IMAGE),
        ("a", b"RIFF\0\0\0\0WEBPVP8 ", ContentKind.IMAGE),
        ("a.wav", b"RIFF\0\0\0\0WAVEfmt ", ContentKind.BINARY),
        ("a", b"BM\0\0\0\0\0\0\0\0", ContentKind.IMAGE),
        ("a", b"BMW is a car", ContentKind.TEXT),
        ("a.csv", b"PAR1\x15\0", ContentKind.PARQUET),
        ("a.csv", b"a,b\n\0", ContentKind.BINARY),
        ("a.bin", bytes(range(256)), ContentKind.BINARY),
        ("a.txt", "naïve – 日本語".encode(), ContentKind.TEXT),
        ("a.txt", "日本語".encode()[:-1], ContentKind.TEXT),
        ("a.txt", "naïve café".encode("latin-1"), ContentKind.TEXT),
        ("a.txt", "words".encode("utf-16"), ContentKind.TEXT),
        ("a.log", b"\x1b[31mred\x1b[0m\n", ContentKind.TEXT),
        ("a.log", b"\x01\x02\x03\x04 some", ContentKind.BINARY),
    ],
)
def test_kinds(name: str, head: bytes, kind: ContentKind) -> None:
    assert kind_of(name, head) is kind


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        (b"\xef\xbb\xbfa", "a"),
        ("é".encode("utf-16"), "é"),
        ("é".encode("utf-32"), "é"),
        ("aé".encode()[:-1], "a"),
        (b"a\xffb", "a\ufffdb"),
        (b"a\0b", "a\0b"),
    ],
)
def test_texts(data: bytes, text: str) -> None:
    assert decode(data) == text


@given(st.binary(max_size=300), st.text(max_size=20))
def test_nothing_is_too_odd_to_be_told(data: bytes, name: str) -> None:
    kind_of(name, data)
    is_text(data)
    decode(data)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("a.parquet", ContentKind.BINARY, "its name says Parquet, but what is in it isn't"),
        ("A.PNG", ContentKind.TEXT, "its name says image, but what is in it isn't"),
        ("a.json", ContentKind.BINARY, "its name says JSON, but what is in it isn't"),
        ("a.parquet", ContentKind.PARQUET, ""),
        ("a.csv", ContentKind.IMAGE, ""),
        ("a.bin", ContentKind.BINARY, ""),
        ("png", ContentKind.TEXT, ""),
    ],
)
def test_a_name_that_says_what_isnt_so(name: str, kind: ContentKind, said: str) -> None:
    assert broken_promise(name, kind) == said
