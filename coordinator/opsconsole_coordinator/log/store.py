"""All logs of a coordinator: one file an attempt under `{folder}/{job_id}/{task_index}.{attempt}.log`.

Made for threads, not for an event loop: one thread appends and syncs, any may read. What `append_many` has returned
survives the death of the process; what `sync` or `seal` has returned survives that of the host.
"""

import os
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path

from opsconsole_coordinator.log.log_file import LogFile, Snapshot
from opsconsole_coordinator.log.page import LogReadError, read_bytes, read_page
from opsconsole_coordinator.log.record import CODES, SOURCES
from opsconsole_protocol.link import LogChunk
from opsconsole_protocol.log import LogPage, LogQuery, Source

_PROBE_BYTES = 1 << 20
"""As much as comes in one go: a disk with less room would be full again at once."""
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class LogKey:
    """Which log. `attempt_id` tells two attempts apart that have the same number after a restored backup."""

    job_id: str
    task_index: int
    attempt: int
    attempt_id: str


class Outcome(StrEnum):
    """What became of a chunk."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    GAP = "gap"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AppendResult:
    """`durable_offset`: how far the chunk's source has come, to be acknowledged.

    After a GAP (bytes before the chunk are missing) and after FAILED (the disk; `error` says what) the agent has to
    send again from there. `first_line` is the number of the line in which new bytes begin, `lines` how many lines
    began in them.
    """

    key: LogKey
    source: Source
    outcome: Outcome
    durable_offset: int
    first_line: int = 0
    lines: int = 0
    error: str = ""


class LogStore:
    """See the module. At most `open_files_max` descriptors are kept, and facts on `known_logs_max` logs."""

    def __init__(self, folder: Path, *, open_files_max: int = 128, known_logs_max: int = 16_384) -> None:
        self._folder = folder
        self._open_files_max = open_files_max
        self._known_logs_max = known_logs_max
        self._lock = threading.Lock()
        self._logs: OrderedDict[LogKey, LogFile] = OrderedDict()
        self._opened: OrderedDict[LogKey, LogFile] = OrderedDict()

    # --- writing -----------------------------------------------------------------------------------------------

    def append(self, key: LogKey, chunk: LogChunk) -> AppendResult:
        """Add one chunk; see `append_many`."""
        return self.append_many([(key, chunk)])[0]

    def append_many(self, items: Sequence[tuple[LogKey, LogChunk]]) -> list[AppendResult]:
        """Add chunks in order, with one write a log, and return one result each. Never raises for what a disk or an agent does."""
        by_key: dict[LogKey, list[int]] = {}
        for place, (key, _) in enumerate(items):
            by_key.setdefault(key, []).append(place)
        results: dict[int, AppendResult] = {}
        for key, places in by_key.items():
            with self._held(key) as log:
                results.update(zip(places, _append(log, key, [items[place][1] for place in places]), strict=True))
            self._count_open(key, log)
        return [results[place] for place in range(len(items))]

    def offsets(self, key: LogKey) -> dict[Source, int]:
        """How far each source of a log has come (those that have begun); for the agent to go on from. Raises LogReadError."""
        reached = self._snapshot(key).tally.offsets
        return {source: reached[code] for code, source in enumerate(SOURCES) if reached[code]}

    def seal(self, key: LogKey) -> None:
        """The attempt's log is complete: make it durable and let go of its file. Raises OSError."""
        with self._held(key) as log:
            _sync(log, log.descriptor_to_sync())
            log.close()
            with self._lock:
                self._opened.pop(key, None)

    def sync(self) -> None:
        """Make all that was appended durable. Raises OSError, after having tried every log."""
        with self._lock:
            dirty = [key for key, log in self._logs.items() if log.dirty]
        failed: OSError | None = None
        for key in dirty:
            with self._held(key) as log:
                descriptor = log.descriptor_to_sync()
            try:
                # Without the lock: a slow disk must hold up no reader.
                _sync(log, descriptor)
            except OSError as error:
                log.dirty = True
                failed = error
        if failed is not None:
            raise failed

    def probe(self) -> None:
        """Write a little, and remove it. Raises OSError where the disk takes nothing."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / ".probe"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(bytes(_PROBE_BYTES))
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()

    def delete(self, job_id: str) -> None:
        """Delete all logs of a job. Raises OSError."""
        folder = self._job_folder(job_id)
        with self._lock:
            keys = [key for key in self._logs if key.job_id == job_id]
        for key in keys:
            with self._held(key) as log:
                log.forget()
                with self._lock:
                    self._opened.pop(key, None)
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)

    def close(self) -> None:
        """Make everything durable, close all files. Raises OSError."""
        try:
            self.sync()
        finally:
            with self._lock:
                logs = list(self._logs.values())
                self._logs.clear()
                self._opened.clear()
            for log in logs:
                with log.lock:
                    log.close()

    # --- reading -----------------------------------------------------------------------------------------------

    def read(self, key: LogKey, query: LogQuery, *, ended: bool = False) -> LogPage:
        """A page of lines. `ended`: the attempt is over and its log complete. LogQueryError, LogReadError.

        At the end of a log the page is empty and the cursor stays the same until more comes.
        """
        return read_page(self._snapshot(key), query, ended=ended)

    def read_bytes(self, key: LogKey, source: Source, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes of a source from `offset`, exactly as written; empty at its end. Raises LogReadError."""
        return read_bytes(self._snapshot(key), source, offset, limit)

    def usage(self) -> dict[str, int]:
        """Bytes on disk by job."""
        sizes: dict[str, int] = {}
        with suppress(FileNotFoundError), os.scandir(self._folder) as jobs:
            for job in jobs:
                with suppress(FileNotFoundError, NotADirectoryError), os.scandir(job) as files:
                    sizes[job.name] = sum(file.stat(follow_symlinks=False).st_size for file in files)
        return sizes

    # --- logs in memory ----------------------------------------------------------------------------------------

    @contextmanager
    def _pinned(self, key: LogKey) -> Iterator[LogFile]:
        """The log, not to be forgotten meanwhile."""
        with self._lock:
            log = self._logs.get(key)
            if log is None:
                log = self._logs[key] = LogFile(self._path(key), key.attempt_id)
            self._logs.move_to_end(key)
            log.pins += 1
        try:
            yield log
        finally:
            with self._lock:
                log.pins -= 1
                self._forget_old()

    def _snapshot(self, key: LogKey) -> Snapshot:
        with self._pinned(key) as log:
            try:
                return log.snapshot()
            except OSError as error:
                raise LogReadError(f"the log file {log.path} can't be read: {error.strerror}") from None

    @contextmanager
    def _held(self, key: LogKey) -> Iterator[LogFile]:
        """The log, for this thread alone."""
        with self._pinned(key) as log, log.lock:
            yield log

    def _forget_old(self) -> None:
        surplus = max(0, len(self._logs) - self._known_logs_max)
        for key in list(islice(self._logs, surplus)):
            log = self._logs[key]
            if log.pins == 0 and not log.dirty and not log.is_open:
                del self._logs[key]

    def _count_open(self, key: LogKey, log: LogFile) -> None:
        """Count `log` as used, and close those unused for longest."""
        with self._lock:
            if log.is_open:
                self._opened[key] = log
                self._opened.move_to_end(key)
            surplus = [self._opened.popitem(last=False)[1] for _ in range(len(self._opened) - self._open_files_max)]
        for other in surplus:
            with other.lock:
                other.close()

    def _job_folder(self, job_id: str) -> Path:
        if _JOB_ID.fullmatch(job_id) is None:
            raise ValueError(f"{job_id[:80]!r} can't be the name of a folder")
        return self._folder / job_id

    def _path(self, key: LogKey) -> Path:
        return self._job_folder(key.job_id) / f"{key.task_index:d}.{key.attempt:d}.log"


def _append(log: LogFile, key: LogKey, chunks: Sequence[LogChunk]) -> list[AppendResult]:
    try:
        log.prepare()
    except OSError as error:
        return [_failed(log, key, chunk, error) for chunk in chunks]
    results: list[AppendResult] = []
    pieces: list[tuple[int, int, bytes]] = []
    stored: list[int] = []
    tally = log.tally.copy()
    for chunk in chunks:
        code = CODES[chunk.source]
        known = tally.offsets[code]
        if chunk.offset > known or chunk.end <= known:
            outcome = Outcome.GAP if chunk.offset > known else Outcome.DUPLICATE
            results.append(AppendResult(key, chunk.source, outcome, known))
            continue
        data = chunk.data[known - chunk.offset :]
        pieces.append((code, chunk.at_ms, data))
        stored.append(len(results))
        results.append(AppendResult(key, chunk.source, Outcome.STORED, chunk.end))
        tally.offsets[code] = chunk.end
    if not pieces:
        return results
    try:
        counts = log.append(pieces)
    except OSError as error:
        return [_failed(log, key, chunk, error) for chunk in chunks]
    for place, (first_line, lines) in zip(stored, counts, strict=True):
        results[place] = replace(results[place], first_line=first_line, lines=lines)
    return results


def _failed(log: LogFile, key: LogKey, chunk: LogChunk, error: OSError) -> AppendResult:
    words = f"the log file {log.path} can't be written: {error.strerror}"
    return AppendResult(key, chunk.source, Outcome.FAILED, log.tally.offsets[CODES[chunk.source]], error=words)


def _sync(log: LogFile, descriptor: int | None) -> None:
    if descriptor is None:
        return
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    if log.is_new:
        log.is_new = False
        _sync_folder(log.path.parent)
        _sync_folder(log.path.parent.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
