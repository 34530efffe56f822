"""The lines of a text file, one at a time, with their numbers, whatever it is compressed with."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

from opsconsole_agent.dataset.fault import Broken
from opsconsole_agent.dataset.limit import DATASET_LINE_BYTES_MAX
from opsconsole_agent.dataset.remote import INSTALL
from opsconsole_agent.dataset.source import NotInstalled

COMPRESSIONS = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}
SUFFIXES = {"gz": "gz", "gzip": "gz", "bz2": "bz2", "xz": "xz", "zst": "zst", "zstd": "zst"}
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_MARK = b"\xef\xbb\xbf"
_PIECE_BYTES = 256 * 1024


def compression_of(head: bytes) -> str:
    """What a file is compressed with, by its first bytes; empty for none."""
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), "")


class Plain:
    """The plain bytes of a stream. Raises Broken, from `read` as well, where what is compressed is damaged or cut off."""

    def __init__(self, stream: IO[bytes], compression: str) -> None:
        self._raw = stream
        self._compression = compression
        self._stream = _decompressed(stream, compression)

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        try:
            return bytes(self._stream.read(size))
        except EOFError:
            raise Broken(f"is cut off: its {self._compression} data ends too early") from None
        except (OSError, zlib.error, lzma.LZMAError, ValueError) as error:
            if not self._compression:
                raise
            if "runcated" in str(error):  # as Arrow says it of zst
                raise Broken(f"is cut off: its {self._compression} data ends too early") from None
            raise Broken(f"is damaged: its {self._compression} data can't be unpacked") from None

    def close(self) -> None:
        """Close it and the file."""
        if self._stream is not self._raw:
            self._stream.close()
        self._raw.close()


def _decompressed(stream: IO[bytes], compression: str) -> Any:
    if compression == "gz":
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if compression == "bz2":
        return bz2.BZ2File(stream)
    if compression == "xz":
        return lzma.LZMAFile(stream)
    if compression == "zst":
        try:
            import pyarrow as pa
        except ImportError:
            raise NotInstalled("invalid", f"to read what zst has compressed, {INSTALL}") from None
        return pa.CompressedInputStream(pa.PythonFile(cast("Any", stream), mode="r"), "zstd")
    return stream


class Lines:
    """Lines with their ends, as text. `number`: of the line that came last, from 1.

    Raises Broken where a line isn't UTF-8, holds a NUL, or is too long.
    """

    def __init__(self, stream: Plain) -> None:
        self.number = 0
        self._stream = stream

    def __iter__(self) -> Iterator[str]:
        rest = b""
        while piece := self._stream.read(_PIECE_BYTES):
            whole, newline, rest_ = piece.rpartition(b"\n")
            if not newline:
                rest += piece
                if len(rest) > DATASET_LINE_BYTES_MAX:
                    raise Broken(f"is longer than {DATASET_LINE_BYTES_MAX >> 20} MiB", self.number + 1)
                continue
            for line in (rest + whole).split(b"\n"):
                yield self._text(line + b"\n")
            rest = rest_
        if rest:
            yield self._text(rest)

    def _text(self, line: bytes) -> str:
        self.number += 1
        if self.number == 1:
            if line.startswith(_WIDE):
                raise Broken("is UTF-16, not UTF-8: write it again, for example with iconv -f UTF-16 -t UTF-8", 1)
            line = line.removeprefix(_MARK)
        if len(line) > DATASET_LINE_BYTES_MAX:
            raise Broken(f"is longer than {DATASET_LINE_BYTES_MAX >> 20} MiB", self.number)
        if b"\0" in line:
            raise Broken(f"has a NUL at byte {line.index(0) + 1}: this is no text", self.number)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Broken(
                f"has byte 0x{line[error.start]:02X} at place {error.start + 1}, which is not UTF-8 (is it Latin-1? Then iconv -f LATIN1 -t UTF-8)",
                self.number,
            ) from None
