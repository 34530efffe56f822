"""What an image's head says, and pixels as half blocks."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.model.file_image import ImageFacts, fitting_size, half_blocks, image_facts

JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF"
    + bytes(10)
    + b"\xff\xc4\x00\x04ab\xff\xc2\x00\x11\x08"
    + struct.pack(">HH", 480, 640)
)


@pytest.mark.parametrize(
    ("head", "facts"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480), ImageFacts("PNG", 640, 480)),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rXXXX" + struct.pack(">II", 640, 480), ImageFacts("PNG")),
        (b"GIF89a" + struct.pack("<HH", 640, 480), ImageFacts("GIF", 640, 480)),
        (JPEG, ImageFacts("JPEG", 640, 480)),
        (JPEG[:30], ImageFacts("JPEG")),
        (b"\xff\xd8\xff\xe0\x00\x00" + bytes(20), ImageFacts("JPEG")),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x7f\x02\0\xdf\x01\0", ImageFacts("WebP", 640, 480)),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(7) + b"\x9d\x01\x2a" + struct.pack("<HH", 640, 480), ImageFacts("WebP", 640, 480)),
        (b"RIFF\0\0\0\0WEBPVP8L" + bytes(4) + b"\x2f" + (639 | 479 << 14).to_bytes(4, "little"), ImageFacts("WebP", 640, 480)),
        (b"BM" + bytes(16) + struct.pack("<ii", 640, -480), ImageFacts("BMP", 640, 480)),
        (b"II*\0", ImageFacts("TIFF")),
        (b"no image", None),
        (b"GIF89a", None),
        (b"", None),
    ],
)  # fmt: skip
def test_heads(head: bytes, facts: ImageFacts | None) -> None:
    assert image_facts(head) == facts


@given(st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"BM", b"II*\0"]),
       st.binary(max_size=60))  # fmt: skip
def test_nothing_is_too_odd(start: bytes, rest: bytes) -> None:
    image_facts(start + rest)


@pytest.mark.parametrize(
    ("size", "room", "fitting"),
    [
        ((640, 480), (80, 20), (53, 40)),
        ((10, 10), (80, 20), (10, 10)),
        ((1_000_000, 1), (80, 20), (80, 1)),
        ((0, 10), (80, 20), (0, 0)),
        ((10, 10), (0, 20), (0, 0)),
    ],
)
def test_the_size_that_fits(size: tuple[int, int], room: tuple[int, int], fitting: tuple[int, int]) -> None:
    assert fitting_size(*size, *room) == fitting


def test_half_blocks() -> None:
    red, blue = b"\xff\0\0", b"\0\0\xff"
    assert list(half_blocks(red + red + blue + blue + blue + red, 2, 3)) == [
        [("▀▀", "#ff0000 on #0000ff")],
        [("▀", "#0000ff"), ("▀", "#ff0000")],
    ]
    assert list(half_blocks(b"", 2, 2)) == []
    assert list(half_blocks(b"abc", 0, 0)) == []
