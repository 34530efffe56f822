"""What is in a file, told from its name and its first bytes. Pure."""

import codecs
from enum import Enum

HEAD_BYTES = 8 * 1024
"""How much of a file is looked at."""
_CONTROL_SHARE = 0.02
_INVALID_SHARE = 0.3
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TEXT_CONTROLS = b"\t\n\r\f\b\x1b"
_CONTROLS = bytes(set(range(32)) - set(_TEXT_CONTROLS)) + b"\x7f"


class ContentKind(Enum):
    """How a file is shown."""

    EMPTY = "empty"
    TEXT = "text"
    CSV = "CSV"
    TSV = "TSV"
    JSON = "JSON"
    JSON_LINES = "JSON lines"
    PARQUET = "Parquet"
    IMAGE = "image"
    BINARY = "binary"


_BY_ENDING = {
    "csv": ContentKind.CSV,
    "tsv": ContentKind.TSV,
    "tab": ContentKind.TSV,
    "json": ContentKind.JSON,
    "geojson": ContentKind.JSON,
    "ipynb": ContentKind.JSON,
    "jsonl": ContentKind.JSON_LINES,
    "ndjson": ContentKind.JSON_LINES,
}
"""Of files that are text."""


def kind_of(name: str, head: bytes) -> ContentKind:
    """Tell from a file's name and its beginning what it is; the name alone makes nothing of what isn't so inside."""
    head = head[:HEAD_BYTES]
    if not head:
        return ContentKind.EMPTY
    if head.startswith(b"PAR1"):
        return ContentKind.PARQUET
    if is_image(head):
        return ContentKind.IMAGE
    if not is_text(head):
        return ContentKind.BINARY
    return _BY_ENDING.get(name.rpartition(".")[2].lower(), ContentKind.TEXT) if "." in name else ContentKind.TEXT


_PROMISED = _BY_ENDING | {"parquet": ContentKind.PARQUET} | dict.fromkeys(
    ("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff"), ContentKind.IMAGE
)  # fmt: skip


def broken_promise(name: str, kind: ContentKind) -> str:
    """What a file isn't though its name says so, in a line; empty where it is, or its name says nothing."""
    promised = _PROMISED.get(name.rpartition(".")[2].lower()) if "." in name else None
    if promised is None or kind not in {ContentKind.TEXT, ContentKind.BINARY}:
        return ""
    return f"its name says {promised.value}, but what is in it isn't"


def is_image(head: bytes) -> bool:
    """Whether it begins as an image of a known format does."""
    is_riff_image = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    known = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
    return is_riff_image or head.startswith(known) or (head.startswith(b"BM") and head[6:10] == b"\0\0\0\0")


def is_text(head: bytes) -> bool:
    """Whether a person could read it: few control characters, and mostly UTF-8 or something that announces itself."""
    if any(head.startswith(mark) for mark, _ in _BOMS):
        return True
    if b"\0" in head:
        return False
    controls = len(head) - len(head.translate(None, _CONTROLS))
    invalid = _decoded(head, "utf-8").count("\ufffd")
    return controls <= len(head) * _CONTROL_SHARE and invalid <= len(head) * _INVALID_SHARE


def decode(data: bytes) -> str:
    """The text of bytes, by the mark at their beginning or as UTF-8. What can't be read is replaced; never raises.

    A character that is cut off at the end is left out.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    return _decoded(data, encoding)


def _decoded(data: bytes, encoding: str) -> str:
    return codecs.getincrementaldecoder(encoding)("replace").decode(data, final=False)
