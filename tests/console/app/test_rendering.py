"""Images and Parquet files as a terminal shows them, and what hostile ones do: nothing."""

import io
import os
import struct
import zlib
from pathlib import Path

import pytest

from opsconsole_console.service import render_child, rendering
from opsconsole_console.service.rendering import parquet_head, pixels_of
from opsconsole_console.widget.line_body import LineBody
from opsconsole_protocol.error import InvalidRequest
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage
from tests.console.app.test_file import view

Image = pytest.importorskip("PIL.Image")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def png(width: int, height: int, colour: tuple[int, ...] = (255, 0, 0)) -> bytes:
    """An image in one colour."""
    out = io.BytesIO()
    Image.new("RGB" if len(colour) == 3 else "RGBA", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def table_file(rows: int = 3) -> bytes:
    """A Parquet file."""
    out = io.BytesIO()
    columns = {"name": [f"point-{number}" for number in range(rows)], "loss": [number / 4 for number in range(rows)]}
    parquet.write_table(pyarrow.table({**columns, "tags": [["a", None]] * rows}), out)
    return out.getvalue()


async def test_an_image_is_made_to_fit() -> None:
    found = await pixels_of(png(640, 480), 80, 40)
    assert (found.width, found.height) == (53, 40)
    assert found.data == b"\xff\0\0" * 53 * 40
    small = await pixels_of(png(4, 2, (255, 255, 255, 0)), 80, 40)
    assert (small.width, small.height, small.data) == (4, 2, bytes(24))


def bomb() -> bytes:
    """A PNG of a few bytes that says it has a terapixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1_000_000, 1_000_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1_000))) + chunk(b"IEND", b"")
    )


DAMAGED = "is damaged or cut off: it can't be shown"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", DAMAGED),
        (b"no image", DAMAGED),
        (png(99, 99)[:45], DAMAGED),
        (bomb(), "is too large to be shown: get it, and look at it here"),
    ],
    ids=["empty", "text", "cut", "bomb"],
)
async def test_images_that_cant_be_shown(data: bytes, said: str) -> None:
    """What the library said of it was shown: `UnidentifiedImageError: cannot identify image file <_io.BytesIO …>`."""
    with pytest.raises(InvalidRequest) as raised:
        await pixels_of(data, 80, 40)
    assert raised.value.message == f"this picture {said}"


async def test_parquet() -> None:
    data = table_file()
    head = await parquet_head(data, len(data))
    assert (head.num_rows, head.num_columns, head.has_rows, head.table.is_cut) == (3, 3, True, False)
    assert head.table.columns == ("name (string)", "loss (double)", "tags (list<element: string>)")
    assert head.table.rows[1] == ("point-1", "0.25", "['a', None]")
    assert head.table.numeric == (False, True, False)


async def test_of_a_large_parquet_file_the_end_says_what_is_in_it() -> None:
    data = table_file(300_000)
    head = await parquet_head(data[-100_000:], len(data))
    assert (head.num_rows, head.has_rows) == (300_000, False)
    assert head.table.rows[0] == ("name", "string")
    with pytest.raises(InvalidRequest, match="has so many columns that its end doesn't say"):
        await parquet_head(data[-20:], len(data))


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"PAR1" + os.urandom(1_000) + b"PAR1", table_file()[:-9] + b"\xff\xff\xff\x7fPAR1"],
    ids=("empty", "a mark", "noise", "a wrong length"),
)
async def test_parquet_that_cant_be_read(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await parquet_head(data, len(data))
    assert raised.value.message == f"this Parquet file {DAMAGED}"


async def test_a_reader_that_dies_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "reader.py"
    monkeypatch.setattr(rendering, "_PROGRAM", program)
    program.write_text("import os; os.abort()")
    with pytest.raises(InvalidRequest, match=r"its reader died of it \(exit code -6\): it is damaged, or hostile"):
        await pixels_of(b"x", 1, 1)
    program.write_text("import sys; sys.stdin.buffer.read()\nwhile True: pass")
    monkeypatch.setattr(rendering, "_TIMEOUT_S", 0.3)
    with pytest.raises(InvalidRequest, match="takes too long to be shown"):
        await pixels_of(b"x", 1, 1)


def test_the_end_of_a_file_as_a_file() -> None:
    part = render_child._Part(b"defgh", 8)
    assert part.seek(-2, io.SEEK_END) == 6
    assert part.read() == b"gh"
    part.seek(3)
    assert (part.read(2), part.tell(), part.seek(1, io.SEEK_CUR)) == (b"de", 5, 6)
    part.seek(2)
    with pytest.raises(OSError, match="isn't here"):
        part.read(1)


async def test_in_the_console(source: RecordedSource) -> None:
    source.files.mounts["input"] = {b"frame.png": png(64, 32), b"points.parquet": table_file(), b"bomb.png": bomb()}
    async with stage(source) as there:
        body = await view(there, "frame.png")
        await there.until(lambda: "▀" * 54 in there.text())
        assert "PNG, 64 × 32 pixels" in there.text()
        await there.press("escape", "q")
        body = await view(there, "points.parquet")
        await there.until(lambda: "loss (double)" in there.text())
        assert "Parquet  3 rows  3 columns" in there.text()
        assert isinstance(body, LineBody)
        await there.press("escape", "q")
        await view(there, "bomb.png")
        await there.until(lambda: "this picture is too large to be shown: get it" in there.text())


async def test_without_the_libraries(source: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    source.files.mounts["input"] = {b"frame.png": png(64, 32), b"points.parquet": table_file()}
    monkeypatch.setattr(rendering, "find_spec", lambda _: None)
    async with stage(source) as there:
        await view(there, "frame.png")
        await there.until(lambda: "to see it here: pip install 'opsconsole[view]'" in there.text())
        await there.press("escape", "q")
        await view(there, "points.parquet")
        await there.until(lambda: "to see what is in it: pip install 'opsconsole[view]'" in there.text())
