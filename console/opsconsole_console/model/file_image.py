"""What an image's first bytes say of it, and its pixels as half blocks. Pure; nothing is decoded here."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

UPPER_HALF = "▀"


@dataclass(frozen=True)
class ImageFacts:
    """Format, width and height in pixels; both are 0 where the head doesn't tell."""

    format: str
    width: int = 0
    height: int = 0


def image_facts(head: bytes) -> ImageFacts | None:
    """Read an image's head; None where it is no image that is known. Never raises."""
    try:
        return _facts(head)
    except (struct.error, IndexError):
        return None


def _facts(head: bytes) -> ImageFacts | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFacts("PNG", *(struct.unpack(">II", head[16:24]) if head[12:16] == b"IHDR" else ()))
    if head.startswith((b"GIF87a", b"GIF89a")):
        return ImageFacts("GIF", *struct.unpack("<HH", head[6:10]))
    if head.startswith(b"\xff\xd8\xff"):
        return ImageFacts("JPEG", *_jpeg_size(head))
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ImageFacts("WebP", *_webp_size(head))
    if head.startswith(b"BM") and len(head) >= 26:
        width, height = struct.unpack("<ii", head[18:26])
        return ImageFacts("BMP", abs(width), abs(height))
    if head.startswith((b"II*\0", b"MM\0*")):
        return ImageFacts("TIFF")
    return None


def _jpeg_size(head: bytes) -> tuple[int, int]:
    """Width and height from the frame's marker; zeros where it isn't within the head."""
    place = 2
    while place + 9 <= len(head):
        if head[place] != 0xFF:
            return 0, 0
        marker = head[place + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8:
            place += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return width, height
        length = struct.unpack(">H", head[place + 2 : place + 4])[0]
        if length < 2:
            return 0, 0
        place += 2 + length
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and head[20:21] == b"\x2f":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 0, 0


def fitting_size(width: int, height: int, cells: int, lines: int) -> tuple[int, int]:
    """The largest size in pixels, of the same shape, that `cells` by `lines` half blocks can show; 0, 0 where none can."""
    if min(width, height, cells, lines) <= 0:
        return 0, 0
    scale = min(cells / width, 2 * lines / height, 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def half_blocks(pixels: bytes, width: int, height: int) -> Iterator[Sequence[tuple[str, str]]]:
    """RGB pixels as lines of text with tones (`#rrggbb on #rrggbb`), two rows of pixels a line, equal neighbours as one."""
    row_bytes = 3 * width
    if width <= 0 or len(pixels) < row_bytes * height:
        return
    for top in range(0, height, 2):
        upper = pixels[top * row_bytes : (top + 1) * row_bytes]
        lower = pixels[(top + 1) * row_bytes : (top + 2) * row_bytes] if top + 1 < height else b""
        spans: list[tuple[str, str]] = []
        for column in range(0, row_bytes, 3):
            tone = f"#{upper[column : column + 3].hex()}"
            if lower:
                tone += f" on #{lower[column : column + 3].hex()}"
            if spans and spans[-1][1] == tone:
                spans[-1] = (spans[-1][0] + UPPER_HALF, tone)
            else:
                spans.append((UPPER_HALF, tone))
        yield spans
