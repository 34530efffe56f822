"""Ships the logs of all attempts of one agent, in fair turns and in bounded memory.

Nothing is buffered here. Bytes stay in their files until there is room for them among those that the coordinator hasn't
acknowledged, the window; they are read again when it asks. So a slow or absent coordinator takes no memory and slows no
task.

Files are polled, as a report of each write by the kernel would slow a busy writer several times more. A file that grows is
checked every `poll_ms`, a quiet one ever more rarely, up to `idle_poll_ms`.

The owner calls `poll` from its loop at `next_poll_ms`, and sooner after an acknowledgement. Nothing here sleeps or starts
a thread.
"""

import os
from collections import deque
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from opsconsole_agent.log.follower import LogFollower, NoteFollower, StrPath
from opsconsole_protocol.link import ATTEMPT_LOG_BYTES, PAYLOAD_BYTES_MAX, LogChunk
from opsconsole_protocol.log import Source
from opsconsole_protocol.report import REPORT_BYTES_MAX

_MIB = 1024 * 1024
WINDOW_BYTES = 8 * _MIB
FILE_WINDOW_BYTES = 2 * _MIB
_NOTES_NAME = "error"
KEPT_DAYS = 7.0
"""How many days a log that was cut stays on the worker, unless the agent is configured otherwise."""
_SMALLEST_PIECE = 16 * 1024
"""Less room than this isn't filled, as many small chunks cost both sides more than they carry."""


class SettledLog(msgspec.Struct, frozen=True):
    """The coordinator has all of a finished attempt's log that can be shipped; `sizes` in bytes."""

    attempt_id: str
    sizes: dict[Source, int]


@dataclass(slots=True, eq=False)
class _File:
    """One source of one attempt. `follower.offset` is the end of what was sent, `acknowledged` of what has arrived."""

    attempt: "_Attempt"
    follower: LogFollower
    acknowledged: int
    pause: int = 0
    due_ms: int = 0
    ready: bool = False
    scheduled: bool = False
    end: int | None = None
    size_at_finish: int | None = None
    noted: set[str] = field(default_factory=set)

    @property
    def in_flight(self) -> int:
        return self.follower.offset - self.acknowledged

    @property
    def unread(self) -> int:
        size = self.follower.size if self.end is None else min(self.follower.size, self.end)
        return max(0, size - self.follower.offset)


@dataclass(slots=True, eq=False)
class _Attempt:
    attempt_id: str
    notes: NoteFollower | None = None
    files: dict[Source, _File] = field(default_factory=dict)
    finished: bool = False
    settled: bool = False
    cut: bool = False

    def like(self, source: Source) -> list[_File]:
        """The files that count against the same limit as those of this source."""
        return [
            file
            for other, file in self.files.items()
            if other is not Source.ERROR and _is_log(other) == _is_log(source)
        ]


class LogShipper:
    """Ships logs as the module says. All sizes are in bytes; of one attempt at most `attempt_bytes_max` are shipped."""

    def __init__(
        self,
        *,
        window_bytes: int = WINDOW_BYTES,
        file_window_bytes: int = FILE_WINDOW_BYTES,
        block_bytes: int = PAYLOAD_BYTES_MAX,
        poll_ms: int = 50,
        idle_poll_ms: int = 500,
        attempt_bytes_max: int = ATTEMPT_LOG_BYTES,
        kept_days: float = KEPT_DAYS,
    ) -> None:
        self._kept_days = kept_days
        if not 1 <= block_bytes <= PAYLOAD_BYTES_MAX:
            raise ValueError(f"block_bytes is 1 to {PAYLOAD_BYTES_MAX}, not {block_bytes}")
        self._window_bytes = window_bytes
        self._file_window_bytes = file_window_bytes
        self._block_bytes = block_bytes
        self.attempt_bytes_max = attempt_bytes_max
        """This may be changed at any time; what was sent already stays sent."""
        self._attempts: dict[str, _Attempt] = {}
        self._ready: deque[_File] = deque()
        self._pauses_ms = _pauses(poll_ms, idle_poll_ms)
        # One queue for each pause. Files join at the back with the latest due time, so each queue is sorted without work.
        self._queues: list[deque[_File]] = [deque() for _ in self._pauses_ms]
        self._now_ms = 0
        self._in_flight = 0
        self._settled: dict[str, _Attempt] = {}

    # --- what to follow ----------------------------------------------------------------------------------------

    def watch(
        self, attempt_id: str, source: Source, path: StrPath, from_offset: int = 0, hard_link: StrPath = ""
    ) -> None:
        """Follow `path` as `source` of an attempt, from the first byte that the coordinator doesn't have.

        The file need not exist yet. The agent's own lines go to the file `error` beside it, unless the source `error` was
        watched before. Watching a source again only moves the offset. `hard_link`: a second name of the file.
        """
        attempt = self._attempts.setdefault(attempt_id, _Attempt(attempt_id))
        if source in attempt.files:
            self.rewind(attempt_id, source, from_offset)
            return
        if source is Source.ERROR:
            self._watch_notes(attempt, path, from_offset)
        else:
            self._add(attempt, source, LogFollower(source, path, from_offset, hard_link))
            notes = _notes_path(path)
            if attempt.notes is None and os.path.lexists(notes):
                # The agent added lines before it was restarted.
                self._watch_notes(attempt, notes, 0)

    def note(self, attempt_id: str, text: str) -> None:
        """Add one line to the source `error` of a watched attempt, unless it has that line already."""
        attempt = self._attempts.get(attempt_id)
        if attempt is None or not attempt.files:
            return
        if attempt.notes is None:
            self._watch_notes(attempt, _notes_path(next(iter(attempt.files.values())).follower.path), 0)
        if attempt.notes is not None:
            attempt.notes.add(text)
            file = attempt.files[Source.ERROR]
            file.end = file.follower.size if attempt.finished else None
            self._make_ready(file)
            self._settle(attempt)

    def finish(self, attempt_id: str) -> dict[Source, int]:
        """Ship the files of an ended attempt up to their present end and return their sizes in bytes.

        What is written later, by a process that is left, isn't shipped. The sizes are of what will be shipped: a file
        that can't be read ends where reading stopped.
        """
        attempt = self._attempts.get(attempt_id)
        if attempt is None:
            return {}
        if not attempt.finished:
            attempt.finished = True
            for file in list(attempt.files.values()):
                self._check(file)
            for file in list(attempt.files.values()):
                self._set_end(file)
            self._settle(attempt)
        return self.final_sizes(attempt_id)

    def final_sizes(self, attempt_id: str) -> dict[Source, int]:
        """Return the sizes of a finished attempt's sources, in bytes; a note or a lost file may still change them."""
        attempt = self._attempts.get(attempt_id)
        if attempt is None:
            return {}
        sizes = {source: file.end for source, file in attempt.files.items() if file.end is not None}
        return {source: size for source, size in sizes.items() if size or _is_log(source)}

    def take_settled(self) -> list[SettledLog]:
        """Return the finished attempts whose last byte has been acknowledged since the last call."""
        taken, self._settled = self._settled, {}
        return [SettledLog(attempt_id, self.final_sizes(attempt_id)) for attempt_id in taken]

    def is_cut(self, attempt_id: str) -> bool:
        """Whether the end of this attempt's log isn't shipped because the log is too long."""
        attempt = self._attempts.get(attempt_id)
        return attempt is not None and attempt.cut

    def drop(self, attempt_id: str) -> None:
        """Stop following the files of this attempt, also where something is unread."""
        attempt = self._attempts.pop(attempt_id, None)
        if attempt is None:
            return
        self._settled.pop(attempt_id, None)
        for file in attempt.files.values():
            self._in_flight -= file.in_flight
            file.end = file.acknowledged = file.follower.offset
        attempt.files.clear()

    # --- what the coordinator says -----------------------------------------------------------------------------

    def acknowledge(self, attempt_id: str, source: Source, offset: int) -> None:
        """The coordinator has this source up to `offset`. Sources that aren't followed are ignored."""
        file = self._file(attempt_id, source)
        if file is None or offset == file.acknowledged:
            return
        if not file.acknowledged < offset <= file.follower.offset:
            # It has more than we have sent, from before the agent's restart, or it has lost some.
            self._seek(file, offset)
        else:
            self._in_flight -= offset - file.acknowledged
            file.acknowledged = offset
            self._make_ready(file)
        self._settle(file.attempt)

    def rewind(self, attempt_id: str, source: Source, offset: int) -> None:
        """Send this source from `offset` on, as the coordinator refused a gap, or came back with less or more than before."""
        file = self._file(attempt_id, source)
        if file is not None:
            self._seek(file, offset)
            self._settle(file.attempt)

    def rewind_all(self) -> None:
        """The connection is lost, so what wasn't acknowledged has to be sent again."""
        for attempt in self._attempts.values():
            for file in attempt.files.values():
                self._seek(file, file.acknowledged)

    # --- what to send ------------------------------------------------------------------------------------------

    @property
    def next_poll_ms(self) -> int | None:
        """When `poll` may find something even without an acknowledgement, in Unix ms, or None when nothing is followed."""
        if self._ready and self._window_bytes - self._in_flight >= min(_SMALLEST_PIECE, self._window_bytes):
            return self._now_ms
        return min((queue[0].due_ms for queue in self._queues if queue), default=None)

    def poll(self, now_ms: int) -> list[LogChunk]:
        """Return what can be sent now, in order: one block of each file in turn, as far as the window has room.

        `now_ms`: Unix time, also the chunks' time stamp.
        """
        if now_ms < self._now_ms:
            # The clock was set back: all files are due, as none would be checked until the clock has caught up.
            for file in chain.from_iterable(self._queues):
                file.due_ms = now_ms
        self._now_ms = now_ms
        self._check_due(now_ms)
        chunks: list[LogChunk] = []
        while self._ready:
            file = self._ready[0]
            room = min(self._window_bytes - self._in_flight, self._block_bytes)
            if room < min(_SMALLEST_PIECE, file.unread, self._window_bytes, self._block_bytes):
                break
            self._ready.popleft()
            file.ready = False
            chunk = self._read_chunk(file, room)
            if chunk is not None:
                chunks.append(chunk)
                self._in_flight += len(chunk.data)
            self._make_ready(file)
        return chunks

    def _check_due(self, now_ms: int) -> None:
        longest = len(self._queues) - 1
        for queue in self._queues:
            # Files that come back into the same queue are not checked twice.
            for _ in range(len(queue)):
                if queue[0].due_ms > now_ms:
                    break
                file = queue.popleft()
                file.scheduled = False
                if file.end is not None:
                    continue  # Its end is known; a rewind makes it ready again.
                if file.ready:
                    file.pause = 0
                elif file.follower.check():
                    file.pause = 0
                    self._make_ready(file)
                else:
                    file.pause = min(file.pause + 1, longest)
                if file.follower.trouble:
                    self._note_trouble(file)
                self._schedule(file)

    def _check(self, file: _File) -> None:
        file.follower.check()
        self._note_trouble(file)

    def _read_chunk(self, file: _File, room: int) -> LogChunk | None:
        follower = file.follower
        room = min(room, file.unread, self._file_window_bytes - file.in_flight)
        if follower.source is not Source.ERROR:
            sent = sum(one.follower.offset for one in file.attempt.like(follower.source))
            room = min(room, self._limit(follower.source) - sent)
            if room <= 0 < file.unread:
                self._note_limit(file)
                self._settle(file.attempt)
        if room <= 0:
            return None
        offset = follower.offset
        data = follower.read(room)
        self._note_trouble(file)
        if data is None:
            if file.end is not None:
                file.end = offset
                self._settle(file.attempt)
            return None
        return LogChunk(file.attempt.attempt_id, follower.source, offset, self._now_ms, data)

    # --- what goes wrong ---------------------------------------------------------------------------------------

    def _note_trouble(self, file: _File) -> None:
        trouble = file.follower.trouble
        if trouble and trouble not in file.noted:
            file.noted.add(trouble)
            source, path = file.follower.source, file.follower.path
            self.note(
                file.attempt.attempt_id,
                f"opsconsole: the {source} file of this task {trouble}; what is missing here can't be shown ({path})",
            )

    def _limit(self, source: Source) -> int:
        return self.attempt_bytes_max if _is_log(source) else REPORT_BYTES_MAX

    def _note_limit(self, file: _File) -> None:
        file.end = file.follower.offset
        if not _is_log(file.follower.source):
            self.note(
                file.attempt.attempt_id,
                f"opsconsole: report cut, it has reached its limit of {REPORT_BYTES_MAX} bytes: report more rarely",
            )
            return
        self.note(
            file.attempt.attempt_id,
            f"opsconsole: log cut, it has reached its limit of {self.attempt_bytes_max} bytes (max_task_log_mb); "
            f"the rest of {file.follower.source} stays on the worker for {self._kept_days:g} days: {file.follower.path}",
        )
        file.attempt.cut = True

    # --- bookkeeping -------------------------------------------------------------------------------------------

    def _file(self, attempt_id: str, source: Source) -> _File | None:
        attempt = self._attempts.get(attempt_id)
        return None if attempt is None else attempt.files.get(source)

    def _watch_notes(self, attempt: _Attempt, path: StrPath, from_offset: int) -> None:
        attempt.notes = NoteFollower(path, from_offset)
        self._add(attempt, Source.ERROR, attempt.notes)

    def _add(self, attempt: _Attempt, source: Source, follower: LogFollower) -> None:
        file = _File(attempt, follower, follower.offset)
        attempt.files[source] = file
        attempt.settled = False
        if attempt.finished:
            follower.check()
            self._set_end(file)
        else:
            self._check(file)
            self._make_ready(file)
            self._schedule(file)

    def _set_end(self, file: _File) -> None:
        """Set where the file of a finished attempt ends."""
        if file.size_at_finish is None and file.follower.source is not Source.ERROR:
            file.size_at_finish = file.follower.size
        size = file.follower.size if file.size_at_finish is None else min(file.follower.size, file.size_at_finish)
        size = max(size, file.follower.offset)
        others = [one for one in file.attempt.like(file.follower.source) if one is not file]
        room = self._limit(file.follower.source) - sum(
            one.follower.offset if one.end is None else one.end for one in others
        )
        if file.follower.source is Source.ERROR or size <= room:
            file.end = size
        else:
            self._note_limit(file)
            file.end = max(room, file.follower.offset)
        self._make_ready(file)

    def _schedule(self, file: _File) -> None:
        if not file.scheduled:
            file.scheduled = True
            file.due_ms = self._now_ms + self._pauses_ms[file.pause]
            self._queues[file.pause].append(file)

    def _make_ready(self, file: _File) -> None:
        unread, room = file.unread, self._file_window_bytes - file.in_flight
        if not file.ready and unread > 0 and room >= min(_SMALLEST_PIECE, unread, self._file_window_bytes):
            file.ready = True
            self._ready.append(file)

    def _seek(self, file: _File, offset: int) -> None:
        self._in_flight -= file.in_flight
        file.follower.seek(offset)
        file.acknowledged = offset
        self._check(file)
        if file.attempt.finished:
            self._set_end(file)
        else:
            file.end = None
            self._make_ready(file)
            self._schedule(file)

    def _settle(self, attempt: _Attempt) -> None:
        """Note whether all of a finished attempt's log has arrived, each time that this becomes true."""
        if not attempt.finished:
            return
        settled = all(file.end is not None and file.acknowledged >= file.end for file in attempt.files.values())
        if settled and not attempt.settled:
            self._settled[attempt.attempt_id] = attempt
        elif not settled:
            self._settled.pop(attempt.attempt_id, None)
        attempt.settled = settled


def _is_log(source: Source) -> bool:
    return source is not Source.REPORT


def _notes_path(beside: StrPath) -> str:
    """Return the file for the agent's own lines, in the folder of another file."""
    return os.path.join(os.path.dirname(beside), _NOTES_NAME)  # noqa: PTH118, PTH120  (pathlib takes 10 µs of every task)


def _pauses(shortest_ms: int, longest_ms: int) -> list[int]:
    """Return pauses that double from the shortest up to the longest."""
    pauses = [shortest_ms]
    while pauses[-1] < longest_ms:
        pauses.append(min(2 * pauses[-1], longest_ms))
    return pauses
