"""Reads images and Parquet, for a console that must not be harmed by what is in them. A program of its own.

It takes a line of JSON and then the file's bytes on stdin, and prints JSON. It is given little time and memory; if it dies of
a file, the console says so. Pillow and pyarrow are extras: without them it isn't started.
"""

import base64
import contextlib
import io
import json
import resource
import sys
from collections.abc import Callable
from typing import Any

CPU_S = 15
MEMORY_BYTES_MAX = 8 << 30
PIXELS_MAX = 200_000_000
ROWS = 500
COLUMNS = 100
_CELL_CHARACTERS = 500


class _NotHere(OSError):
    """What is wanted is before the part of the file that was fetched."""


class _Part(io.RawIOBase):
    """The last bytes of a larger file: whatever is before them can't be read."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._start = size - len(data)
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        if self._place < self._start:
            raise _NotHere("this part of the file isn't here")
        begin = self._place - self._start
        found = self._data[begin:] if size < 0 else self._data[begin : begin + size]
        self._place += len(found)
        return found


def image(data: bytes, *, width: int, height: int, **_: Any) -> dict[str, Any]:
    """The image's pixels, RGB, made to fit `width` by `height` and no larger than it is."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = PIXELS_MAX
    with Image.open(io.BytesIO(data)) as opened:
        size = opened.size
        opened.draft("RGB", (width, height))
        opened.thumbnail((width, height))
        whole = opened.convert("RGBA")
        shown = Image.new("RGBA", whole.size, (0, 0, 0, 255))
        shown.alpha_composite(whole)
        pixels = shown.convert("RGB").tobytes()
    return {
        "pixels": base64.b64encode(pixels).decode(), "width": whole.size[0], "height": whole.size[1], "size": size,
    }  # fmt: skip


def parquet(data: bytes, *, size: int, **_: Any) -> dict[str, Any]:
    """The columns with their types, the number of rows, and where the whole file is here, its first rows."""
    from pyarrow import parquet as reader

    file = reader.ParquetFile(io.BytesIO(data) if len(data) == size else _Part(data, size))
    fields = list(file.schema_arrow)[:COLUMNS]
    rows: list[list[str]] = []
    if len(data) == size and file.metadata.num_rows:
        names = [field.name for field in fields]
        for batch in file.iter_batches(batch_size=ROWS, columns=names):
            rows = [[_spelled(record.get(name)) for name in names] for record in batch.slice(0, ROWS).to_pylist()]
            break
    return {
        "columns": [[field.name, str(field.type)[:_CELL_CHARACTERS]] for field in fields],
        "all_columns": len(file.schema_arrow),
        "num_rows": file.metadata.num_rows,
        "rows": rows,
    }


def _spelled(value: Any) -> str:
    return "" if value is None else str(value)[:_CELL_CHARACTERS]


_FUNCTIONS: dict[str, Callable[..., dict[str, Any]]] = {"image": image, "parquet": parquet}


def _fault(error: Exception) -> str:
    """What is wrong, as the console knows it: what libraries say of a file is for those who know them."""
    if isinstance(error, _NotHere):
        return "not here"
    if isinstance(error, MemoryError) or type(error).__name__ == "DecompressionBombError":
        return "too large"
    return "unknown" if isinstance(error, NotImplementedError) else "damaged"


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    asked = json.loads(sys.stdin.buffer.readline())
    try:
        answer = _FUNCTIONS[asked.pop("function")](sys.stdin.buffer.read(), **asked)
    except Exception as error:  # noqa: BLE001 – whatever a file makes of its reader
        answer = {"fault": _fault(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
