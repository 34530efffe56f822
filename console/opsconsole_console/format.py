"""Numbers as people read them: durations, ages, sizes, shares, clocks. Pure; every unit is in the argument's name."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Literal

from opsconsole_protocol.quantity import size_words, spell_size

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from opsconsole_protocol.spec import Resources

NOTHING = "–"
"""Stands where a value isn't known."""

_SECOND_MS = 1_000
_MINUTE_MS = 60 * _SECOND_MS
_MEBIBYTES_BELOW = 512


_METRICS_TOLD = 6


def metrics(values: Mapping[str, float], recognised: Collection[str] = ()) -> str:
    """The first few of these values in four figures: `loss 0.3127, lr 0.0003`.

    Those that were recognised in the output are marked, or all are at the end.
    """
    are_all = bool(values) and all(name in recognised for name in values)
    told = [
        f"{name} {value:.4g}{' (printed)' if name in recognised and not are_all else ''}"
        for name, value in list(values.items())[:_METRICS_TOLD]
    ]
    more = len(values) - len(told)
    return ", ".join(told) + (f" and {more} more" if more > 0 else "") + (" (as printed)" if are_all else "")


def duration(duration_ms: float | None, *, figures: Literal[1, 2] = 1) -> str:
    """One figure or two, rounded down: `0.4s`, `41s`, `18m` or `18m 05s`, `2h` or `2h 05m`, `3d` or `3d 04h`.

    `–` for None, a leading minus for the past. One figure says hours up to two days.
    """
    if duration_ms is None:
        return NOTHING
    if duration_ms < 0:
        return f"-{duration(-duration_ms, figures=figures)}"
    if duration_ms < _SECOND_MS:
        return f"{duration_ms / _SECOND_MS:.1f}s" if duration_ms >= 50 else "0s"
    minutes, seconds = divmod(int(duration_ms // _SECOND_MS), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if figures == 1 and days == 1:
        days, hours = 0, 24 + hours
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    first = next(place for place, (number, _) in enumerate(parts) if number)
    shown = parts[first : first + figures]
    return " ".join(f"{number:02}{unit}" if place else f"{number}{unit}" for place, (number, unit) in enumerate(shown))


def age(since_ms: float | None, now_ms: float) -> str:
    """How long ago `since_ms` was, as `duration`; a clock that runs ahead of ours shows `0s`."""
    return NOTHING if since_ms is None else duration(max(0.0, now_ms - since_ms))


def size(size_bytes: float | None) -> str:
    """Bytes in decimal units: `3.2 GB`."""
    return NOTHING if size_bytes is None else size_words(size_bytes)


def gibibytes(memory_mb: float | None) -> str:
    """Mebibytes (what GPUs report as MB) as whole gibibytes, one decimal below ten: `80`, `1.5`, `0`."""
    if memory_mb is None:
        return NOTHING
    value = memory_mb / 1_024
    if value >= 9.95 or value < 0.05:
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0")


def used_memory(memory_mb: int) -> str:
    """Mebibytes in use in a few cells: `17G`, `0.5G`, `40M`."""
    return f"{memory_mb}M" if memory_mb < _MEBIBYTES_BELOW else f"{gibibytes(memory_mb)}G"


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


def state_word(state: str) -> str:
    """A state of a job, task or attempt as people read it: `worker failed`."""
    return state.replace("_", " ")


def resources(wanted: Resources) -> str:
    """What each task of a job needs: `1 GPU with 40G, 8 CPUs, 32G memory`, `6G of a GPU, shared`; empty where it needs nothing."""
    parts: list[str] = []
    gpu_memory = spell_size(wanted.gpu_memory_mb << 20) if wanted.gpu_memory_mb else ""
    if wanted.share:
        parts.append(
            f"{gpu_memory} of {plural(wanted.gpus_asked, 'GPU') if wanted.gpus_asked > 1 else 'a GPU'}, shared"
        )
    elif wanted.gpus_asked:
        parts.append(plural(wanted.gpus_asked, "GPU") + (f" with {gpu_memory}" if gpu_memory else ""))
    if wanted.cpus:
        parts.append(f"{wanted.cpus:g} CPU{'' if wanted.cpus == 1 else 's'}")
    if wanted.memory_mb:
        parts.append(f"{spell_size(wanted.memory_mb << 20)} memory")
    return ", ".join(parts)


def clock(at_ms: float, zone: tzinfo | None = None) -> str:
    """Unix milliseconds as `HH:MM:SS` in `zone` (None: this machine's)."""
    return datetime.fromtimestamp(at_ms / 1_000, zone).strftime("%H:%M:%S")


def stamp(at_ms: float, zone: tzinfo | None = None) -> str:
    """Unix milliseconds as `YYYY-MM-DD HH:MM:SS` in `zone` (None: this machine's)."""
    return datetime.fromtimestamp(at_ms / 1_000, zone).strftime("%Y-%m-%d %H:%M:%S")


def delta(delta_ms: float) -> str:
    """Time since the line before, eight cells at most: `+0.012s`, `+12.3s`, `+18m`."""
    if delta_ms < 0:
        return f"-{delta(-delta_ms)[1:]}"
    if delta_ms < 10 * _SECOND_MS:
        return f"+{delta_ms / _SECOND_MS:.3f}s"
    if delta_ms < 10 * _MINUTE_MS:
        return f"+{delta_ms / _SECOND_MS:.1f}s"
    return f"+{duration(delta_ms)}"
