"""Numbers as people read them: durations, ages, sizes, shares, clocks. Pure; every unit is in the argument's name."""

from datetime import datetime, tzinfo

NOTHING = "–"
"""Stands where a value isn't known."""

_SECOND_MS = 1_000
_MINUTE_MS = 60 * _SECOND_MS
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def duration(duration_ms: float | None) -> str:
    """One short figure, rounded down: `0.4s`, `41s`, `18m`, `2h`, `3d`; `–` for None, a leading minus for the past."""
    if duration_ms is None:
        return NOTHING
    if duration_ms < 0:
        return f"-{duration(-duration_ms)}"
    if duration_ms < _SECOND_MS:
        return f"{duration_ms / _SECOND_MS:.1f}s" if duration_ms >= 50 else "0s"
    if duration_ms < _MINUTE_MS:
        return f"{int(duration_ms // _SECOND_MS)}s"
    if duration_ms < _HOUR_MS:
        return f"{int(duration_ms // _MINUTE_MS)}m"
    if duration_ms < 2 * _DAY_MS:
        return f"{int(duration_ms // _HOUR_MS)}h"
    return f"{int(duration_ms // _DAY_MS)}d"


def duration_exact(duration_ms: float | None) -> str:
    """Two figures, rounded down: `41s`, `18m 05s`, `2h 05m`, `3d 04h`; `–` for None."""
    if duration_ms is None:
        return NOTHING
    if duration_ms < 0:
        return f"-{duration_exact(-duration_ms)}"
    seconds = int(duration_ms // _SECOND_MS)
    if seconds < 60:
        return duration(duration_ms)
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m {seconds:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02}h"


def age(since_ms: float | None, now_ms: float) -> str:
    """How long ago `since_ms` was, as `duration`; a clock that runs ahead of ours shows `0s`."""
    return NOTHING if since_ms is None else duration(max(0.0, now_ms - since_ms))


def size(size_bytes: float | None) -> str:
    """Bytes in decimal units with at most three figures: `0 B`, `999 B`, `3.2 GB`, `41 GB`."""
    if size_bytes is None:
        return NOTHING
    if size_bytes < 0:
        return f"-{size(-size_bytes)}"
    value = float(size_bytes)
    for unit in _SIZE_UNITS:
        if value < 999.5 or unit == _SIZE_UNITS[-1]:
            decimals = 1 if unit != "B" and value < 9.95 else 0
            return f"{value:.{decimals}f} {unit}"
        value /= 1_000
    raise AssertionError("the last unit takes everything")


def rate(bytes_per_s: float | None) -> str:
    """A speed: `9.5 MB/s`."""
    return NOTHING if bytes_per_s is None else f"{size(bytes_per_s)}/s"


def gibibytes(memory_mb: float | None) -> str:
    """Mebibytes (what GPUs report as MB) as whole gibibytes, one decimal below ten: `80`, `1.5`, `0`."""
    if memory_mb is None:
        return NOTHING
    value = memory_mb / 1_024
    if value >= 9.95 or value < 0.05:
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0")


def memory(used_mb: float | None, total_mb: float | None) -> str:
    """Used of total in gibibytes, from mebibytes: `61/80G`."""
    if total_mb is None:
        return NOTHING
    return f"{gibibytes(used_mb)}/{gibibytes(total_mb)}G"


def percent(fraction: float | None) -> str:
    """A share, cut off at 0 and 1: `41 %`. 100 % only when all is done, 0 % only when nothing is."""
    if fraction is None:
        return NOTHING
    value = round(max(0.0, min(1.0, fraction)) * 100)
    if value >= 100 and fraction < 1:
        value = 99
    if value <= 0 and fraction > 0:
        value = 1
    return f"{value} %"


def count(number: int | None) -> str:
    """A whole number with separators: `12,034`."""
    return NOTHING if number is None else f"{number:,}"


def plural(number: int, word: str, words: str = "") -> str:
    """`1 job`, `12,034 jobs`; `words` is the plural where an s is not enough."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def clock(at_ms: float, zone: tzinfo | None = None) -> str:
    """Unix milliseconds as `HH:MM:SS` in `zone` (None: this machine's)."""
    return datetime.fromtimestamp(at_ms / 1_000, zone).strftime("%H:%M:%S")


def delta(delta_ms: float) -> str:
    """Time since the line before, eight cells at most: `+0.012s`, `+12.3s`, `+18m`."""
    if delta_ms < 0:
        return f"-{delta(-delta_ms)[1:]}"
    if delta_ms < 10 * _SECOND_MS:
        return f"+{delta_ms / _SECOND_MS:.3f}s"
    if delta_ms < 10 * _MINUTE_MS:
        return f"+{delta_ms / _SECOND_MS:.1f}s"
    return f"+{duration(delta_ms)}"
