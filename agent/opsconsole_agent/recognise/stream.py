"""One stream of a task's output, as bytes in any pieces: its progress, steps and metrics. Pure, and of bounded memory.

Lines end with a line feed or a carriage return. What a bar counts starts over with each epoch and each inner loop; steps go on
from where they were, also where its label counts the epochs. A bar that is drawn inside another one moves that one's progress.
"""

import math
import re
from collections.abc import Mapping
from copy import copy
from typing import NamedTuple

import msgspec

from opsconsole_agent.recognise.line import PRINTED_LINE_BYTES_MAX, Count, Said, recognise
from opsconsole_protocol.pattern import Pattern

_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_BARS_MAX = 4
_MISSED_MAX = 2
"""A bar that wasn't drawn while an inner one started over more often than this isn't around it: it was left unfinished."""
_NUMBER = re.compile(
    r"(?<![^\W_])[-+]?(?:nan|inf)(?![^\W_])|(?:(?<!\w)[-+])?\d{1,40}(?:\.\d{0,40})?(?:e[-+]?\d{1,9})?", re.IGNORECASE
)
"""In a bar's label: that of an epoch, or a value that is written there anew each time."""
_LINE_END = re.compile(rb"[\r\n]")


class Bar(msgspec.Struct, array_like=True):
    """A bar that was seen. `base`: what it counted before it started over. `missed`: how often others did since it was drawn."""

    label: str
    total: float
    done: float
    base: float = 0
    missed: int = 0


class Mark(msgspec.Struct, omit_defaults=True):
    """Where a stream was left, and all that is needed to go on there: `to` is the offset after the last line that ended.

    `bars`: in the order in which they came. `before`: the count at the beginning of a line that may be rewritten. `last`: the
    last step with its values.
    """

    to: int = 0
    bars: tuple[Bar, ...] = ()
    epoch: tuple[float, float] | None = None
    before: tuple[float, float] | None = None
    last: tuple[float, dict[str, float | str | None]] | None = None


def worded(values: Mapping[str, float]) -> dict[str, float | str | None]:
    """The values as JSON can tell them: NaN and infinities are words, as in what a task reports."""
    return {name: value if math.isfinite(value) else _WORDS[str(value)] for name, value in values.items()}


class Finding(NamedTuple):
    """What one line says: `progress` of a whole, and values at a step, where it counts one."""

    progress: Count | None
    step: float | None
    values: dict[str, float]


class Stream:
    """See the module. `mark` is where it is."""

    def __init__(self, pattern: Pattern | None = None, mark: Mark | None = None) -> None:
        self.mark = mark if mark is not None else Mark()
        self._pattern = pattern
        self._rest = b""
        self._is_skipping = False

    @property
    def offset(self) -> int:
        """The next byte to feed."""
        return self.mark.to + len(self._rest)

    def feed(self, data: bytes) -> list[Finding]:
        """What the lines say that end in these bytes."""
        found: list[Finding] = []
        data = self._rest + data
        start = 0
        for end in _LINE_END.finditer(data):
            line, start = data[start : end.start()], end.end()
            self.mark.to += len(line) + 1
            is_skipped, self._is_skipping = self._is_skipping or len(line) > PRINTED_LINE_BYTES_MAX, False
            said = None if is_skipped else recognise(line, self._pattern)
            if said is not None and (finding := self._place(said)) is not None:
                found.append(finding)
            if end[0] == b"\n":
                self.mark.before = None
        self._rest = data[start:]
        if len(self._rest) > PRINTED_LINE_BYTES_MAX or self._is_skipping:
            self.mark.to += len(self._rest)
            self._rest, self._is_skipping = b"", True
        return found

    def unfinished(self) -> Count | None:
        """The progress in a line that hasn't ended: a bar stands there until it is drawn anew. Nothing is taken of it."""
        said = recognise(self._rest, self._pattern)
        if said is None:
            return None
        kept = self.mark
        self.mark = msgspec.structs.replace(kept, bars=tuple(map(copy, kept.bars)))
        try:
            finding = self._place(said)
        finally:
            self.mark = kept
        return None if finding is None else finding.progress

    def finish(self) -> list[Finding]:
        """The stream has ended: what its last line says, also where that has no end."""
        end = self.offset
        found = self.feed(b"\n") if self._rest else []
        self.mark.to = end
        return found

    def skip_to(self, offset: int) -> None:
        """Leave out what is before that byte, and the line that it is in."""
        self.mark.to, self._rest, self._is_skipping, self.mark.before = offset, b"", True, None

    # --- what a line means here --------------------------------------------------------------------------------

    def _place(self, said: Said) -> Finding | None:
        mark = self.mark
        if said.epoch is not None:
            mark.epoch = (said.epoch.done, said.epoch.total)
        bar = said.bar or self._rewritten(said.leading)
        progress, step = None, None
        if bar is not None:
            progress, step = self._draw(bar, is_inner=said.is_inner)
        elif said.epoch is not None:
            # Where bars are drawn, a line without values is the head of an epoch that now begins.
            is_head = bool(mark.bars) and not said.values
            progress = Count(max(0.0, said.epoch.done - 1) if is_head else said.epoch.done, said.epoch.total)
            step = max((one.base + one.done for one in mark.bars), default=said.epoch.done)
        if said.step is not None:
            step = said.step
        values = said.values
        if values and step is not None:
            last = (step, worded(values))
            values = {} if mark.last == last else values
            mark.last = last
        return Finding(progress, step if values else None, values) if values or progress is not None else None

    def _rewritten(self, now: Count | None) -> Count | None:
        """The count of a line that is written over and over and begins with one that grows."""
        before, self.mark.before = self.mark.before, None if now is None else (now.done, now.total)
        if now is None or before is None or before[1] != now.total or before[0] >= now.done:
            return None
        return now

    def _draw(self, now: Count, *, is_inner: bool) -> tuple[Count, float]:
        """Progress and step by a bar: it starts over where it counts less than before."""
        bars = self.mark.bars
        shape = _shape(now.label)
        bar = next((one for one in bars if one.total == now.total and _shape(one.label) == shape), None)
        if bar is None:
            bar = Bar(now.label, now.total, now.done)
            self.mark.bars = bars = (*bars, bar)[-_BARS_MAX:]
        elif now.done < (bar.done if now.label == bar.label else bar.done / 2):
            # Bars of the same shape that are drawn side by side (`GPU 0`, `GPU 1`) count about the same, and start nothing over.
            bar.base += bar.total
            for one in bars:
                one.missed += 1
        bar.label, bar.done, bar.missed = now.label, now.done, 0
        return self._whole(bar, now, is_inner=is_inner), bar.base + now.done

    def _whole(self, bar: Bar, now: Count, *, is_inner: bool) -> Count:
        """The progress of all, of which a bar is the innermost part."""
        if self.mark.epoch is not None:
            done, total = self.mark.epoch
            # A full bar is the last of its epoch; the next epoch begins at 0.
            return Count(max(0.0, min(total, done - 1 + now.part)), total)
        whole = now
        for outer in reversed(self.mark.bars[: self.mark.bars.index(bar)]):
            is_around = is_inner or "epoch" in outer.label.lower()
            if is_around and outer.done < outer.total and outer.missed <= _MISSED_MAX:
                whole = Count(min(outer.total, outer.done + whole.part), outer.total)
        return whole


def _shape(label: str) -> str:
    """A bar's label whatever its numbers are: `Epoch 9` and `Epoch 10` are one bar that starts over."""
    return "".join(_NUMBER.sub("0", label).split())
