"""Images and Parquet made into what a terminal shows, by a process of its own: no file may harm the console."""

import asyncio
import base64
import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opsconsole_console.model.file_table import ShownTable, make_table
from opsconsole_console.service import render_child
from opsconsole_protocol.error import InvalidRequest

RENDERED_BYTES_MAX = 32 << 20
"""A larger file isn't fetched for being looked at."""
TAIL_BYTES = 1 << 20
"""How much of a larger Parquet file is fetched: what it has, and not its rows, stands at its end."""
_TIMEOUT_S = 30.0
_ANSWER_BYTES_MAX = 16 << 20
_FAULTS = {
    "damaged": "is damaged or cut off: it can't be shown",
    "too large": "is too large to be shown: get it, and look at it here",
    "not here": "has so many columns that its end doesn't say what is in it: get it, and look at it here",
    "unknown": "is written in a way that its reader doesn't know: get it, and look at it here",
}
_PROGRAM = Path(render_child.__file__)


def can_show_images() -> bool:
    """Whether Pillow is installed."""
    return find_spec("PIL") is not None


def can_read_parquet() -> bool:
    """Whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


@dataclass(frozen=True)
class Pixels:
    """RGB pixels of an image that was made to fit."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True)
class ParquetHead:
    """`table` has the first rows, or the columns with their types where the file is too large to be fetched."""

    table: ShownTable
    num_rows: int
    num_columns: int
    has_rows: bool


async def pixels_of(data: bytes, width: int, height: int) -> Pixels:
    """An image's pixels, made to fit. Raises InvalidRequest for what can't be read."""
    answer = await _rendered("picture", {"function": "image", "width": width, "height": height}, data)
    return Pixels(base64.b64decode(answer["pixels"]), answer["width"], answer["height"])


async def parquet_head(data: bytes, size: int) -> ParquetHead:
    """What a Parquet file of `size` bytes has. `data` is all of it, or its end. Raises InvalidRequest for what can't be read."""
    answer = await _rendered("Parquet file", {"function": "parquet", "size": size}, data)
    has_rows = len(data) == size
    columns = [(str(name), str(kind)) for name, kind in answer["columns"]]
    if has_rows:
        names = [f"{name} ({kind})" for name, kind in columns]
        table = make_table(names, answer["rows"], is_cut=answer["num_rows"] > len(answer["rows"]))
    else:
        table = make_table(["column", "type"], columns, is_cut=answer["all_columns"] > len(columns))
    return ParquetHead(table, answer["num_rows"], answer["all_columns"], has_rows)


async def _rendered(what: str, request: dict[str, Any], data: bytes) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(_PROGRAM),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            out, _ = await process.communicate(json.dumps(request).encode() + b"\n" + data)
    except TimeoutError:
        raise InvalidRequest("it takes too long to be shown: get it, and look at it here") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        answer = json.loads(out[:_ANSWER_BYTES_MAX])
    except ValueError:
        raise InvalidRequest(
            f"its reader died of it (exit code {process.returncode}): it is damaged, or hostile"
        ) from None
    if "fault" in answer:
        raise InvalidRequest(f"this {what} {_FAULTS[answer['fault']]}")
    return dict(answer)
