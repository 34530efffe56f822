"""One file that a task writes to, read from an offset.

The offset of a byte in the file is always its offset in the log, so nothing has to be remembered to send a byte again
after a lost connection or a restart of the agent. A task may do anything to its files. What can't be read any more is
described in `trouble`; a file that was truncated is followed again once it has grown past the offset.

No descriptor stays open between reads, as a thousand quiet tasks would need two thousand. So that a task can't make the
agent read something else, only a plain file is read, never through a link, and only the one that was there first.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from opsconsole_protocol.log import Source

_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_APPEND_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
NOTES_BYTES_MAX = 256 * 1024

StrPath = str | os.PathLike[str]
T = TypeVar("T")


class LogFollower:
    """Reads one source of one attempt. `offset` is the next byte to read, `size` the file's size at the last check.

    `trouble` is empty, or says in a few words why nothing can be read ("was removed"). The words have no numbers, so that
    one trouble always has the same words.
    """

    __slots__ = ("_hard_link", "_identity", "offset", "path", "size", "source", "trouble")

    def __init__(self, source: Source, path: StrPath, offset: int = 0, hard_link: StrPath = "") -> None:
        """`hard_link`: a second name of the file, if it may have one, which is read instead where it exists."""
        self.source = source
        self.offset = offset
        self.size = 0
        self.trouble = ""
        self.path = os.fspath(path)
        self._hard_link = os.fspath(hard_link)
        self._identity: tuple[int, int] | None = None

    @property
    def at_end(self) -> bool:
        """Whether all that was there at the last check has been read."""
        return self.size <= self.offset

    def check(self) -> bool:
        """Read the file's size without opening it and return whether there is something to read."""
        try:
            self._note_stat(self._with_existing_name(os.lstat))
        except OSError as error:
            self._note_error(error)
        return self.size > self.offset

    def read(self, limit_bytes: int) -> bytes | None:
        """Return the next bytes, at most `limit_bytes`, or None when there are none or they can't be read."""
        try:
            descriptor = self._with_existing_name(_open)
        except OSError as error:
            self._note_error(error)
            return None
        try:
            self._note_stat(os.fstat(descriptor))
            if self.size <= self.offset:
                return None
            data = os.pread(descriptor, min(limit_bytes, self.size - self.offset), self.offset)
        except OSError as error:
            self._note_error(error)
            return None
        finally:
            os.close(descriptor)
        self.offset += len(data)
        return data or None

    def seek(self, offset: int) -> None:
        """Go on reading at `offset`."""
        self.offset = offset

    def _with_existing_name(self, do: Callable[[str], T]) -> T:
        """Call `do` with the hard link, or with the first name where there is none. Raises OSError."""
        if self._hard_link:
            with suppress(FileNotFoundError):
                return do(self._hard_link)
        return do(self.path)

    def _note_stat(self, found: os.stat_result) -> None:
        identity = (found.st_dev, found.st_ino)
        self.trouble = ""
        if not stat.S_ISREG(found.st_mode):
            self.trouble = "is no plain file any more"
        elif self._identity is not None and self._identity != identity:
            self.trouble = "was replaced by another file"
        elif found.st_size < self.offset:
            self.trouble = "was cut short"
        if not self.trouble:
            self._identity = identity
        self.size = self.offset if self.trouble else found.st_size

    def _note_error(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.trouble = f"can't be read ({error.strerror})"
        elif self._identity is not None or self.offset > 0:
            self.trouble = "was removed"
        # Else nothing has been written to it yet, which is no trouble.
        self.size = self.offset


class NoteFollower(LogFollower):
    """Follows the source `error`, a file to which the agent itself adds lines with `add`.

    If that file can't be used, the lines are in memory instead, from the offset that was reached.
    """

    __slots__ = ("_memory", "_memory_start")

    def __init__(self, path: StrPath, offset: int = 0) -> None:
        super().__init__(Source.ERROR, path, offset)
        self._memory = b""
        self._memory_start: int | None = None

    def add(self, line: str) -> None:
        """Add one line, unless the file has it already, as an agent that was started anew may add it again."""
        data = line.replace("\n", " ").encode(errors="replace") + b"\n"
        if self._memory_start is None:
            try:
                self._add_to_file(data)
            except OSError:
                self._fall_back()
        fits = len(self._memory) + len(data) <= NOTES_BYTES_MAX
        if self._memory_start is not None and fits and data not in self._memory:
            self._memory += data
        self.check()

    def check(self) -> bool:
        if self._memory_start is None:
            super().check()
            if self.trouble:
                self._fall_back()
        if self._memory_start is not None:
            self.trouble = ""
            self.size = max(self.offset, self._memory_start + len(self._memory))
        return self.size > self.offset

    def read(self, limit_bytes: int) -> bytes | None:
        if self._memory_start is None:
            data = super().read(limit_bytes)
            if data is not None or not self.trouble:
                return data
        if not self.check() or self._memory_start is None:
            return None
        # The offset may be one that only the lost file had: what is in memory follows there.
        self._memory_start = min(self._memory_start, self.offset)
        place = self.offset - self._memory_start
        data = self._memory[place : place + limit_bytes]
        self.offset += len(data)
        return data or None

    def _fall_back(self) -> None:
        self._memory_start = self.offset

    def _add_to_file(self, data: bytes) -> None:
        with suppress(FileNotFoundError):
            known = _read_small(self.path)
            if b"\n" + data in b"\n" + known or len(known) + len(data) > NOTES_BYTES_MAX:
                return
        descriptor = os.open(self.path, _APPEND_FLAGS, 0o644)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(f"{self.path} is not a plain file")
            if os.write(descriptor, data) != len(data):
                raise OSError(f"{self.path} took only part of a line")
        finally:
            os.close(descriptor)


def _open(path: str) -> int:
    return os.open(path, _READ_FLAGS)


def _read_small(path: str) -> bytes:
    descriptor = os.open(path, _READ_FLAGS)
    try:
        return os.pread(descriptor, NOTES_BYTES_MAX, 0)
    finally:
        os.close(descriptor)
