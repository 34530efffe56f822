"""Which format a file has: by what it begins with, and where that says nothing by its name."""

import re

from opsconsole_agent.dataset.arrow import FILE_MAGIC, STREAM_MAGIC
from opsconsole_agent.dataset.delimited import DELIMITERS
from opsconsole_agent.dataset.fault import Broken
from opsconsole_agent.dataset.reader import Kind
from opsconsole_agent.dataset.source import Source
from opsconsole_agent.dataset.text import SUFFIXES, Plain, compression_of
from opsconsole_protocol.dataset import DatasetFormat as Format

HEAD_BYTES = 64 * 1024
FORMATS = {
    "csv": Format.CSV, "tsv": Format.TSV, "tab": Format.TSV, "json": Format.JSON, "jsonl": Format.JSON_LINES,
    "ndjson": Format.JSON_LINES, "jsonlines": Format.JSON_LINES, "parquet": Format.PARQUET, "pq": Format.PARQUET,
    "arrow": Format.ARROW, "feather": Format.ARROW, "ipc": Format.ARROW,
}  # fmt: skip
_OTHERS = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself: run git lfs pull"),
    (b"PK\x03\x04", "is a zip archive: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it"),
    (b"FEA1", "is Feather version 1: write it again as version 2"),
    (b"\x89HDF", "is HDF5: write it as Parquet"),
    (b"\x93NUMPY", "is a NumPy array, not rows with columns: write it as Parquet"),
    (b"SQLite format 3", "is an SQLite database: write the table as Parquet or CSV"),
)
_PAGE = re.compile(rb"\s*<(!doctype html|html|\?xml)", re.IGNORECASE)
_BINARY = {Format.PARQUET, Format.ARROW}


def suffix_of(name: str) -> str:
    """The ending that says the format, without that of a compression; in lower case."""
    parts = name.rpartition("/")[2].lower().split(".")
    if len(parts) > 2 and parts[-1] in SUFFIXES:
        parts.pop()
    return parts[-1] if len(parts) > 1 else ""


def has_known_name(name: str) -> bool:
    """Whether the name says that this is a file with rows."""
    return suffix_of(name) in FORMATS


def recognise(source: Source) -> Kind:
    """What a file is. Raises Broken where it is nothing of ours; OSError."""
    with source.open_stream() as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise Broken("is empty")
    compression = compression_of(head)
    if compression:
        plain = Plain(source.open_stream(), compression)
        try:
            head = plain.read(HEAD_BYTES)
        finally:
            plain.close()
        if not head:
            raise Broken("is empty, once it is unpacked")
    return _of(head, suffix_of(source.name), compression)


def _of(head: bytes, suffix: str, compression: str) -> Kind:
    named = FORMATS.get(suffix)
    for magic, reason in _OTHERS:
        if head.startswith(magic):
            raise Broken(reason)
    binary = _binary(head, compression)
    if binary is not None:
        return binary
    if head[257:262] == b"ustar":
        raise Broken("is a tar archive: unpack it")
    if named in _BINARY:
        raise Broken(f"is no {Kind(named).words}, as it doesn't begin so: it is damaged, or its name is wrong")
    if _PAGE.match(head):
        raise Broken("is a web page or XML, not a dataset: does the address need a login?")
    text = head.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise Broken("is empty, but for white space")
    if named in {None, Format.JSON} and text.lstrip()[:1] in {b"{", b"["}:
        return Kind(_of_json(text.lstrip()), compression)
    if named in {Format.JSON, Format.JSON_LINES}:
        return Kind(named, compression)
    return _delimited(text, named, compression)


def _binary(head: bytes, compression: str) -> Kind | None:
    if head.startswith(STREAM_MAGIC):
        return Kind(Format.ARROW, compression, "stream")
    for magic, kind in ((b"PAR1", Kind(Format.PARQUET)), (FILE_MAGIC, Kind(Format.ARROW, "", "file"))):
        if head.startswith(magic):
            if compression:
                raise Broken(f"is {kind.words}, compressed as a whole once more: unpack it, or compress its columns")
            return kind
    return None


def _of_json(text: bytes) -> Format:
    """An object whose first line ends with it is one of many."""
    if text.startswith(b"["):
        return Format.JSON
    first = text.split(b"\n", 1)[0].strip()
    return Format.JSON_LINES if first.endswith(b"}") or len(first) >= HEAD_BYTES - 1 else Format.JSON


def _delimited(text: bytes, named: Format | None, compression: str) -> Kind:
    lines = text.decode("utf-8", "replace").splitlines()
    first = next(line for line in lines if line.strip()) if any(line.strip() for line in lines) else ""
    best = max(DELIMITERS, key=first.count)
    if named is Format.TSV:
        return Kind(Format.TSV, compression, "\t")
    if named is Format.CSV:
        return Kind(Format.CSV, compression, best if best in first else ",")
    if best in first and b"\0" not in text and len(lines) > 1 and lines[1].count(best) == first.count(best):
        return Kind(Format.TSV if best == "\t" else Format.CSV, compression, best)
    raise Broken(
        "is nothing that is known here: CSV, TSV, JSON, JSON Lines, Parquet, Arrow, or a folder of datasets.save_to_disk"
    )
