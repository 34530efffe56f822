"""Durations and sizes as people write them."""

import re

from opsconsole_protocol.error import InvalidRequest

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_MAX = float(1 << 60)
"""Fits 64 bits on the wire and in the store."""
_SIZE_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def duration_ms(text: str) -> int:
    """Milliseconds of `90`, `90s`, `1h30m`, `500ms`; a bare number means seconds. Raises InvalidRequest."""
    rest, total, place = text.strip().lower(), 0.0, 0
    while place < len(rest):
        match = _DURATION.match(rest, place)
        if match is None or (match[2] is None and (place or match.end() != len(rest))):
            break
        total += float(match[1]) * _DURATION_MS[match[2] or "s"]
        place = match.end()
    if not rest or place != len(rest):
        raise InvalidRequest(f"{text[:40]!r} is not a duration: write 30s, 5m, 2h or 1h30m")
    return _whole(total, text)


def size_bytes(text: str) -> int:
    """Bytes of `512M`, `8G`, `8GiB`, `1.5g`, in powers of 1,024; a bare number means bytes. Raises InvalidRequest."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidRequest(f"{text[:40]!r} is not a size: write 512M, 8G or 1.5T")
    return _whole(float(match[1]) * _SIZE_BYTES[match[2].upper()], text)


def size_mb(text: str) -> int:
    """Whole MiB of a size, rounded up."""
    return -(-size_bytes(text) // (1 << 20))


def size_words(bytes_: int) -> str:
    """`512 B`, `1.2 GB`, in powers of 1,024."""
    size = float(bytes_)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def _whole(value: float, text: str) -> int:
    if value > _MAX:
        raise InvalidRequest(f"{text[:40]!r} is too much: nothing here is that long or that large")
    return round(value)
