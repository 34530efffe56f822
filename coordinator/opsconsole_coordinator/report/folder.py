"""The reports of all attempts: `{folder}/{job_id}/{attempt_id}.lines`, as they came, and `.points`, the metrics in them.

Lines are appended as they arrive, and acknowledged by offset as logs are. Each REPORT_BLOCK_BYTES of them become one block of
points; once an attempt's report is complete the rest does, and the lines go. So a run takes about six bytes a point
however its task writes it, and after a crash only the lines after the last block are read again.

What was recognised in an attempt's output is kept beside what the attempt reported itself, under names of its own (`_RECOGNISED`),
and is there for readers where nothing was reported under that name, whichever came first. What was measured of its GPUs is kept
there too (`_MEASURED`): points whose step is their time.

Made for threads, not for an event loop: one thread appends, any may read.
"""

import os
import shutil
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from opsconsole_coordinator.report.block import add_points, add_summaries, encode_block, read_blocks
from opsconsole_coordinator.report.series import Series, Summary
from opsconsole_protocol.ids import AttemptId, split_attempt_id
from opsconsole_protocol.report import (
    GPU_METRICS,
    REPORT_LINE_BYTES_MAX,
    Metrics,
    Report,
    Reported,
    ReportError,
    parse_line,
)

T = TypeVar("T")

REPORT_BLOCK_BYTES = 256 * 1024
METRICS_OF_ATTEMPT_MAX = 1_000
_OPEN_MAX = 4_096
"""Attempts of which a little is held in memory; of others it is read from their files when something comes."""
_FAULTS_TOLD_MAX = 5
NOTES_OF_ATTEMPT_MAX = 1_000
_RECOGNISED = "\x1f"
"""The last character of the name of a recognised metric; no name that a task gives can have it."""
_MEASURED = "\x1e"
"""The same of what was measured of the attempt's GPUs."""


@dataclass(slots=True, eq=False)
class _Open:
    """One attempt's report. `size` is how many bytes of it are stored, `pending` the points after the last block."""

    size: int = 0
    read_to: int = 0
    """Up to here whole lines were read."""
    block_from: int = 0
    rest: bytes = b""
    line: int = 0
    faults: int = 0
    notes: int = 0
    names: set[str] = field(default_factory=set)
    pending: dict[str, Series] = field(default_factory=dict)
    reported: Reported = field(default_factory=Reported)
    is_skipping: bool = False
    """Within a line that is too long."""


_NOWHERE = -1
"""Where the blocks end of which one is damaged: what follows can't be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where the points of a metric were read: in the blocks up to `end`, and `taken` after them; `count` in all."""

    key: str = ""
    end: int = 0
    taken: int = 0
    count: int = 0


class ReportFolder:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[AttemptId, _Open] = OrderedDict()

    # --- writing -----------------------------------------------------------------------------------------------

    def append(self, attempt_id: AttemptId, offset: int, data: bytes, at_ms: int) -> tuple[int, Reported]:
        """Store the bytes of a report from `offset` on, as far as they are new. Raises OSError.

        Returns how far it is stored, and what it says. After a gap (bytes before `offset` are missing) nothing is stored.
        """
        with self._lock:
            one = self._opened(attempt_id, at_ms)
            new = data[one.size - offset :] if offset <= one.size else b""
            if new:
                self._write(self._lines(attempt_id), new, one.size)
                one.size += len(new)
                self._read(one, new, at_ms)
                if one.read_to - one.block_from >= REPORT_BLOCK_BYTES:
                    self._close_block(attempt_id, one)
            return one.size, one.reported.take()

    def size(self, attempt_id: AttemptId) -> int:
        """How many bytes of a report are stored. Raises OSError."""
        with self._lock:
            return self._opened(attempt_id, 0).size if self._lines(attempt_id).exists() else 0

    def seal(self, attempt_id: AttemptId) -> Reported | None:
        """The report is complete: keep its points and let the lines go. Raises OSError.

        Returns what it says in the end; None where that was done before.
        """
        with self._lock:
            lines = self._lines(attempt_id)
            if not lines.exists():
                return None
            one = self._opened(attempt_id, 0)
            if one.rest and not one.is_skipping:
                self._take_line(one, one.rest, 0)
                one.rest = b""
            if one.pending:
                self._close_block(attempt_id, one)
            self._open.pop(attempt_id, None)
            with suppress(FileNotFoundError):
                _sync(self._points(attempt_id))
            lines.unlink()
            one.reported.faults_left_out = max(0, one.faults - _FAULTS_TOLD_MAX)
            return one.reported.take()

    def sync(self) -> None:
        """Make all that was appended durable. Raises OSError."""
        with self._lock:
            attempt_ids = list(self._open)
        for attempt_id in attempt_ids:
            with suppress(FileNotFoundError):
                _sync(self._lines(attempt_id))

    def delete(self, job_id: str) -> None:
        """Delete all reports of a job. Raises OSError."""
        with self._lock:
            for attempt_id in [one for one in self._open if split_attempt_id(one).job_id == job_id]:
                del self._open[attempt_id]
            with suppress(FileNotFoundError):
                shutil.rmtree(self._folder / job_id)

    # --- reading -----------------------------------------------------------------------------------------------

    def usage(self) -> dict[str, int]:
        """Bytes on disk by job."""
        sizes: dict[str, int] = {}
        with suppress(FileNotFoundError):
            for job in self._folder.iterdir():
                sizes[job.name] = sum(one.stat().st_size for one in job.iterdir())
        return sizes

    def unsealed(self) -> list[AttemptId]:
        """The attempts whose lines are still here."""
        return [AttemptId(path.name.removesuffix(".lines")) for path in self._folder.glob("*/*.lines")]

    def series(self, attempt_id: AttemptId, names: frozenset[str] | None = None) -> dict[str, Series]:
        """The points of an attempt by metric; of `names` only, where given. Raises OSError."""
        keys = None if names is None else names | {name + _RECOGNISED for name in names}
        return _shown(self._series(attempt_id, keys)[0])[0]

    def gpu_series(self, attempt_id: AttemptId) -> dict[str, Series]:
        """What was measured of an attempt's GPUs, by names of GPU_METRICS; steps are Unix milliseconds. Raises OSError."""
        found, *_ = self._series(attempt_id, frozenset(name + _MEASURED for name in GPU_METRICS))
        return {key.removesuffix(_MEASURED): one for key, one in found.items()}

    def points_since(self, attempt_id: AttemptId, name: str, place: Place | None = None) -> tuple[Series, Place] | None:
        """The points of a metric that came after `place`, all where that is None, and the place behind them. Raises OSError.

        None where it can't be gone on from there: the metric is reported now and was only recognised then, or what was read has gone.
        """
        before = Place() if place is None else place
        keys = frozenset((name, name + _RECOGNISED))
        found, pending, end = self._series(attempt_id, keys, before.end)
        key = name if name in found or before.key == name else name + _RECOGNISED
        if before.end == _NOWHERE or (before.end and end == _NOWHERE) or (before.count and key != before.key):
            return None
        points = found.get(key, Series())
        if len(points) < before.taken:
            return None
        here = Place(key, end, pending.get(key, 0), before.count + len(points) - before.taken)
        return points if not before.taken else points.behind(before.taken), here

    def _series(
        self, attempt_id: AttemptId, names: frozenset[str] | None, start: int = 0
    ) -> tuple[dict[str, Series], dict[str, int], int]:
        """The points by the names under which they are kept, how many of them are in no block yet, and where the blocks end.

        `start`: where a block ends, from which on it is read.
        """
        found: dict[str, Series] = {}
        with self._lock:
            pending = self._opened(attempt_id, 0).pending if self._lines(attempt_id).exists() else {}
            last = {name: one.copy() for name, one in pending.items() if names is None or name in names}
            size = _size_of(self._points(attempt_id))
        read_to = start
        if start < size:
            with suppress(FileNotFoundError), self._points(attempt_id).open("rb") as file:
                for head, payloads, end in read_blocks(file, start):
                    if end > size:
                        break
                    read_to = end
                    add_points(found, head, payloads, names)
        for name, one in last.items():
            found.setdefault(name, Series()).extend(one.steps, one.at_ms, one.values)
        return found, {name: len(one) for name, one in last.items()}, read_to if read_to == size else _NOWHERE

    def summaries(self, attempt_id: AttemptId) -> tuple[dict[str, Summary], frozenset[str]]:
        """What there is of each metric of an attempt, and the names of those that were recognised. Raises OSError."""
        found: dict[str, Summary] = {}
        with self._lock:
            pending = self._opened(attempt_id, 0).pending if self._lines(attempt_id).exists() else {}
            last = {name: one.summary for name, one in pending.items()}
            size = _size_of(self._points(attempt_id))
        with suppress(FileNotFoundError), self._points(attempt_id).open("rb") as file:
            for head, _, end in read_blocks(file):
                if end > size:
                    break
                add_summaries(found, head)
        for name, one in last.items():
            found[name] = found[name].followed_by(one) if name in found else one
        return _shown(found)

    # --- one report --------------------------------------------------------------------------------------------

    def _lines(self, attempt_id: AttemptId) -> Path:
        return self._folder / split_attempt_id(attempt_id).job_id / f"{attempt_id}.lines"

    def _points(self, attempt_id: AttemptId) -> Path:
        return self._folder / split_attempt_id(attempt_id).job_id / f"{attempt_id}.points"

    def _opened(self, attempt_id: AttemptId, at_ms: int) -> _Open:
        one = self._open.get(attempt_id)
        if one is None:
            one = self._open[attempt_id] = self._load(attempt_id, at_ms)
            while len(self._open) > _OPEN_MAX:
                self._open.popitem(last=False)
        self._open.move_to_end(attempt_id)
        return one

    def _load(self, attempt_id: AttemptId, at_ms: int) -> _Open:
        """What is in its files. Half a block at the end, left by a crash, is cut off."""
        one = _Open()
        points = self._points(attempt_id)
        end = 0
        with suppress(FileNotFoundError), points.open("rb") as file:
            for head, _, whole_to in read_blocks(file):
                end, one.block_from = whole_to, head.raw_end
                one.names |= {part.name for part in head.parts if part.name[-1:] != _MEASURED}
        if end < _size_of(points):
            os.truncate(points, end)
        with suppress(FileNotFoundError), self._lines(attempt_id).open("rb") as file:
            # What was said before the last block is read for what it says, not for its points.
            one.read_to = 0
            blocks_to, one.block_from = one.block_from, 0
            while data := file.read(REPORT_BLOCK_BYTES):
                one.size += len(data)
                self._read(one, data, at_ms, points_from=blocks_to)
            one.block_from = blocks_to
        one.reported.take()
        return one

    def _write(self, path: Path, data: bytes, at: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, flags, 0o600)
        try:
            rest = memoryview(data)
            while rest:
                written = os.pwrite(descriptor, rest, at)
                rest, at = rest[written:], at + written
        finally:
            os.close(descriptor)

    def _close_block(self, attempt_id: AttemptId, one: _Open) -> None:
        points = self._points(attempt_id)
        self._write(points, encode_block(one.read_to, one.pending), _size_of(points))
        one.block_from = one.read_to
        one.pending = {}

    # --- lines -------------------------------------------------------------------------------------------------

    def _read(self, one: _Open, data: bytes, at_ms: int, points_from: int = 0) -> None:
        lines = (one.rest + data).split(b"\n")
        one.rest = lines.pop()
        for line in lines:
            one.read_to += len(line) + 1
            if one.is_skipping:
                one.is_skipping = False
            elif one.read_to > points_from:
                self._take_line(one, line, at_ms)
            else:
                self._take_line(one, line, at_ms, has_points=False)
        if len(one.rest) > REPORT_LINE_BYTES_MAX:
            if not one.is_skipping:
                one.line += 1
                _note_fault(one, f"a line is longer than {REPORT_LINE_BYTES_MAX} bytes")
            one.is_skipping = True
            one.read_to += len(one.rest)
            one.rest = b""

    def _take_line(self, one: _Open, line: bytes, at_ms: int, *, has_points: bool = True) -> None:
        one.line += 1
        if not line.strip():
            return
        try:
            report = parse_line(line, at_ms)
        except ReportError as error:
            _note_fault(one, error.message)
            return
        said = one.reported
        if report.gpu_sample is not None and has_points:
            for name, value in report.gpu_sample.items():
                _pending(one, name + _MEASURED).add(report.at_ms, report.at_ms, value)
        if report.metrics is not None:
            _take_metrics(one, report, report.metrics, has_points=has_points)
        if report.progress is not None and not (report.is_recognised and said.is_told):
            said.progress, said.progress_at_ms = report.progress, report.at_ms
            said.is_told = not report.is_recognised
        if report.checkpoint is not None:
            said.checkpoint = report.checkpoint
        one.notes += bool(report.note)
        if report.note and one.notes <= NOTES_OF_ATTEMPT_MAX:
            said.notes.append((report.at_ms, report.note))


def _take_metrics(one: _Open, report: Report, metrics: Metrics, *, has_points: bool) -> None:
    said = one.reported
    said.step = metrics.step if metrics.step is not None else said.step
    for name, value in metrics.values.items():
        key = name + _RECOGNISED if report.is_recognised else name
        if key not in one.names:
            if len(one.names) >= METRICS_OF_ATTEMPT_MAX:
                _note_fault(one, f"more than {METRICS_OF_ATTEMPT_MAX} metrics: {name[:40]!r} is left out")
                continue
            one.names.add(key)
        if not report.is_recognised:
            said.recognised.discard(name)
        elif name not in one.names:
            said.recognised.add(name)
        if not report.is_recognised or name not in one.names:
            said.metrics[name] = value
        if has_points:
            _pending(one, key).add(metrics.step, report.at_ms, value)


def _pending(one: _Open, key: str) -> Series:
    series = one.pending.get(key)
    if series is None:
        series = one.pending[key] = Series()
    return series


def _shown(found: dict[str, T]) -> tuple[dict[str, T], frozenset[str]]:
    """What there is by the names that readers know, and which of it was recognised."""
    recognised = {name: name.removesuffix(_RECOGNISED) for name in found if name.endswith(_RECOGNISED)}
    recognised = {key: name for key, name in recognised.items() if name not in found}
    kept_apart = (_RECOGNISED, _MEASURED)
    shown = {
        recognised.get(key, key): one for key, one in found.items() if key in recognised or key[-1:] not in kept_apart
    }
    return shown, frozenset(recognised.values())


def _note_fault(one: _Open, why: str) -> None:
    one.faults += 1
    if one.faults <= _FAULTS_TOLD_MAX:
        more = "; further ones are told by their number, once it is complete" if one.faults == _FAULTS_TOLD_MAX else ""
        one.reported.faults.append(f"line {one.line}: {why}{more}")


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
