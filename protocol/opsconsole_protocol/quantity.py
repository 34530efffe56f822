"""Durations and sizes as people write and read them.

What was typed is read by `duration_ms` and `size_bytes` and written back, unchanged, by `spell_duration` and
`spell_size`: in powers of 1,024, as `8G`. What was measured is rounded: `size_words` gives decimal units, as `3.2 GB`.
GPU memory is told in powers of 1,024 in any case (`memory_words`), as cards are named.
"""

import re
from datetime import datetime, timedelta

from opsconsole_protocol.error import InvalidRequest

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_MAX = float(1 << 60)
"""What fits 64 bits on the wire and in the store."""
_SIZE_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


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
    """A size in whole MiB, rounded up. Raises InvalidRequest."""
    return -(-size_bytes(text) // (1 << 20))


def spell_duration(duration: int) -> str:
    """Milliseconds as `duration_ms` reads them back: `1h30m`, `5s`, `1.5s`, `250ms`, `0s`."""
    if 0 < duration < _DURATION_MS["s"]:
        return f"{duration}ms"
    rest, parts = duration, list[str]()
    for unit in ("d", "h", "m"):
        number, rest = divmod(rest, _DURATION_MS[unit])
        if number:
            parts.append(f"{number}{unit}")
    if rest or not parts:
        parts.append(f"{rest / _DURATION_MS['s']:g}s")
    return "".join(parts)


def spell_moment(at_ms: int) -> str:
    """A time in Unix milliseconds to the minute, the same for everybody: `2026-12-01 09:00 UTC`."""
    return (datetime(1970, 1, 1) + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%d %H:%M UTC")  # noqa: DTZ001 - it is UTC


def spell_second(at_ms: int) -> str:
    """A time of this day in Unix milliseconds, the same for everybody: `09:00:07 UTC`."""
    return (datetime(1970, 1, 1) + timedelta(milliseconds=at_ms)).strftime("%H:%M:%S UTC")  # noqa: DTZ001 - it is UTC


def spell_size(size: int) -> str:
    """Bytes as `size_bytes` reads them back, in the largest unit without a fraction: `32G`, `512M`, `1536M`, `0`."""
    unit = next(unit for unit in ("T", "G", "M", "K", "") if size % _SIZE_BYTES[unit] == 0) if size else ""
    return f"{size // _SIZE_BYTES[unit]}{unit}"


def size_words(size: float) -> str:
    """Bytes in decimal units with at most three figures: `0 B`, `999 B`, `3.2 GB`, `41 GB`; a minus for less than none."""
    if size < 0:
        return f"-{size_words(-size)}"
    value = float(size)
    for unit in _SIZE_UNITS:
        if value < 999.5 or unit == _SIZE_UNITS[-1]:
            decimals = 1 if unit != "B" and value < 9.95 else 0
            return f"{value:.{decimals}f} {unit}"
        value /= 1_000
    raise AssertionError("the last unit takes everything")


def memory_words(memory_mb: float) -> str:
    """Mebibytes of GPU memory as cards are named and as it is asked for, in powers of 1,024: `24G`, `7.3G`, `512M`."""
    if memory_mb < 1_024:
        return f"{memory_mb:.0f}M"
    return f"{memory_mb / 1_024:.1f}".removesuffix(".0") + "G"


def _whole(value: float, text: str) -> int:
    if value > _MAX:
        raise InvalidRequest(f"{text[:40]!r} is too much: nothing here is that long or that large")
    return round(value)
