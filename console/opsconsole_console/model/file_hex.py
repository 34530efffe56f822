"""Bytes as a hex dump. Pure."""

from collections.abc import Iterator

BYTES_A_LINE = 16


def hex_lines(data: bytes, offset: int = 0) -> Iterator[tuple[str, str, str]]:
    """For each 16 bytes: their offset, the bytes in two groups of eight, and those that are printable ASCII as text."""
    for start in range(0, len(data), BYTES_A_LINE):
        piece = data[start : start + BYTES_A_LINE]
        groups = "  ".join(group.hex(" ") for group in (piece[:8], piece[8:]) if group)
        text = "".join(chr(one) if 32 <= one < 127 else "·" for one in piece)
        yield f"{offset + start:010x}", f"{groups:<48}", text
