"""What a task writes: the task has a pipe, and the keeper moves what comes out of it to a file.

A task that opens /dev/stdout anew (`> /dev/stdout`, `tee /dev/stderr`) opens whatever its output is, and may truncate it.
A file would lose its content then; a pipe can't. So a program writes into a pipe, and some milliseconds later its bytes
are moved to the file by the kernel (splice). For the program that is faster than writing to the file.

- Programs hold the pipe for reading and writing, so they aren't sent SIGPIPE when the keeper is killed. They go on until
  the pipe is full. The next keeper finds the pipe by its inode, among the open files of the attempt's processes.
- The file gets a second hard link in the keeper's folder before its first byte, so a task that removes or renames the
  first one loses nothing.
- Bytes are written at the offset where the keeper's last ones ended, also when the task truncated the file meanwhile.
- Where there are no descriptors left for a pipe, a program gets the plain file.
- A full disk stops no task. The pipe is left alone for a while; then what comes is dropped, and the file says how much.
"""

# The keeper doesn't import pathlib.
# ruff: noqa: PTH115, PTH208

import errno
import fcntl
import os
import select
import time
from collections.abc import Callable, Iterable

from opsconsole_agent.keeper import state_file

HARD_LINK_FOLDER = "logs"
TURN_S = 0.005
"""How often a busy pipe is emptied."""
_QUIET_TURNS = 4
PIPE_BYTES = 1 << 20
_WIDEN_FROM_BYTES = 1 << 14
_TURN_BYTES_MAX = 8 << 20
_WAIT_FOR_SPACE_S = 2.0
_NO_SECOND_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)
"""What a link to a file fails with that is on another filesystem, or on one without hard links."""


class Output:
    """One pipe and its file. `inode` is the pipe's, 0 without a pipe; `writer` is the program's end until it has it."""

    __slots__ = (
        "_hard_link", "_is_link_tried", "_is_wide", "_lost_bytes", "_position", "_refused_at_s", "ended", "file", "inode",
        "path", "quiet_turns", "reader", "writer",
    )  # fmt: skip

    def __init__(self, path: str, hard_link: str, reader: int, file: int, inode: int) -> None:
        self.path = path
        self.reader = reader
        self.writer = -1
        self.file = file
        self.inode = inode
        self.quiet_turns = 0
        self.ended = False
        self._hard_link = hard_link
        self._position = os.fstat(file).st_size
        self._is_link_tried = False
        self._is_wide = False
        self._lost_bytes = 0
        self._refused_at_s = 0.0

    @classmethod
    def make(cls, attempt_id: str, path: str) -> "Output":
        """Make a pipe to the end of the file at `path`. Raises OSError, ValueError."""
        file, _ = state_file.open_or_renew(path, os.O_WRONLY)
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            os.close(file)
            raise
        try:
            output = cls(path, hard_link_path(attempt_id, path), reader, file, os.fstat(reader).st_ino)
            # Opened anew, as the program's end has to block.
            output.writer = os.open(f"/proc/self/fd/{writer}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            os.close(file)
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return output

    @classmethod
    def make_plain(cls, path: str) -> "Output":
        """Make no pipe: the program itself appends to the file. Raises OSError."""
        file, _ = state_file.open_or_renew(path, os.O_WRONLY | os.O_APPEND)
        output = cls(path, "", -1, file, 0)
        output.writer, output.file = file, -1
        output.ended = True
        return output

    @classmethod
    def find(cls, attempt_id: str, path: str, inode: int, pids: Iterable[int]) -> "Output | None":
        """Return the output whose pipe an earlier keeper made, and which one of these processes has open."""
        reader = next(filter(None, (_open_pipe(pid, inode) for pid in pids)), 0)
        if not reader:
            return None
        hard_link = hard_link_path(attempt_id, path)
        try:
            try:
                file = state_file.open_file(hard_link, os.O_WRONLY)
            except OSError:
                file, _ = state_file.open_or_renew(path, os.O_WRONLY)
        except OSError:
            os.close(reader)
            return None
        return cls(path, hard_link, reader, file, inode)

    @classmethod
    def find_standard(cls, attempt_id: str, path: str, pid: int, descriptor: int) -> "Output | None":
        """Return the output that a process has as its stdout (1) or stderr (2), where no log knows the pipe's inode."""
        try:
            name = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            return None
        if not name.startswith("pipe:["):
            return None
        return cls.find(attempt_id, path, int(name[6:-1]), [pid])

    def close_writer(self) -> None:
        """Close our copy of the program's end, once the program has it."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def move(self) -> bool:
        """Move what is in the pipe to the file and return whether there is more already."""
        moved = 0
        while moved < _TURN_BYTES_MAX:
            try:
                count = self._move_some()
            except BlockingIOError:
                break
            except OSError:
                self._wait_for_space()
                return False
            if count == 0:
                self.ended = True
                break
            moved += count
        self.quiet_turns = 0 if moved else self.quiet_turns + 1
        if moved >= _WIDEN_FROM_BYTES and not self._is_wide:
            self._enlarge_pipe()
        return moved >= _TURN_BYTES_MAX

    def finish(self) -> None:
        """Move the rest, as no process of the attempt writes any more, and close all."""
        if self.reader >= 0:
            while self.move():
                pass
            if self._refused_at_s:
                self._discard()
        self.close()

    def close(self) -> None:
        """Close all descriptors."""
        self.close_writer()
        if self.reader >= 0:
            os.close(self.reader)
            os.close(self.file)
            self.reader = self.file = -1

    def _move_some(self) -> int:
        if self._lost_bytes:
            self._write_gap_notice()
        if not self._is_link_tried:
            events = _poll(self.reader)
            if not events & select.POLLIN:
                if events:
                    return 0
                raise BlockingIOError
            self._make_hard_link()
        count = os.splice(self.reader, self.file, PIPE_BYTES, offset_dst=self._position)
        self._position += count
        self._refused_at_s = 0.0
        return count

    def _make_hard_link(self) -> None:
        """Make the second hard link, before the first byte is written. Raises OSError."""
        self._is_link_tried = True
        state_file.make_folder(HARD_LINK_FOLDER)
        if os.fstat(self.file).st_nlink == 0:
            new_file, _ = state_file.open_or_renew(self._hard_link, os.O_WRONLY)
            os.dup2(new_file, self.file, inheritable=False)
            os.close(new_file)
            return
        try:
            os.link(f"/proc/self/fd/{self.file}", self._hard_link, src_dir_fd=self.file)
        except FileExistsError:
            return  # an earlier keeper made it
        except OSError as error:
            if error.errno not in _NO_SECOND_LINK:
                self._is_link_tried = False
                raise

    def _wait_for_space(self) -> None:
        """Leave the bytes in the pipe, as the disk takes none; drop them when that has been so for a while."""
        now_s = time.monotonic()
        self.quiet_turns = 0
        self._refused_at_s = self._refused_at_s or now_s
        if now_s - self._refused_at_s >= _WAIT_FOR_SPACE_S:
            self._discard()

    def _discard(self) -> None:
        null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        try:
            while count := os.splice(self.reader, null, PIPE_BYTES):
                self._lost_bytes += count
        except BlockingIOError:
            return
        finally:
            os.close(null)

    def _write_gap_notice(self) -> None:
        """Say in the file where bytes are missing, once there may be space again. Raises OSError."""
        text = f"\nopsconsole: {self._lost_bytes} bytes are missing here: the disk of this worker was full\n".encode()
        if os.pwrite(self.file, text, self._position) == len(text):
            self._position += len(text)
            self._lost_bytes = 0

    def _enlarge_pipe(self) -> None:
        self._is_wide = True
        try:
            fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            return  # this user has too many large pipes already; a small one will do, with more turns


class Pump:
    """Moves all outputs. Busy pipes are emptied every few milliseconds, quiet ones when the kernel reports new bytes.

    Each report wakes us, which costs the writer more than our looking by ourselves.
    """

    def __init__(self, watch: Callable[[int], None], unwatch: Callable[[int], None]) -> None:
        """`watch`: have `readable` called when a descriptor is readable, until `unwatch`."""
        self._watch = watch
        self._unwatch = unwatch
        self._busy: dict[Output, None] = {}
        self._quiet: dict[int, Output] = {}
        self.due_s: float | None = None
        """When `tick` has something to do, on the monotonic clock, or None for never."""

    def add(self, output: Output) -> None:
        """Move one more output from now on."""
        if output.ended:
            return
        self._busy[output] = None
        self._schedule(TURN_S)

    def readable(self, fd: int) -> bool:
        """Take note that a descriptor is readable. Return False when it is none of our pipes."""
        output = self._quiet.pop(fd, None)
        if output is None:
            return False
        self._unwatch(fd)
        self._busy[output] = None
        self._empty_pipe(output)
        self._schedule(TURN_S)
        return True

    def tick(self, now_s: float) -> None:
        """Empty all busy pipes, if it is time."""
        if self.due_s is None or now_s < self.due_s:
            return
        self.due_s = None
        more = False
        for output in list(self._busy):
            more = self._empty_pipe(output) or more
        if self._busy:
            self._schedule(0.0 if more else TURN_S)

    def finish(self, outputs: Iterable[Output]) -> None:
        """Move all that an ended attempt has written; it is in the files when this returns."""
        for output in outputs:
            self._busy.pop(output, None)
            if self._quiet.pop(output.reader, None) is not None:
                self._unwatch(output.reader)
            output.finish()

    def _empty_pipe(self, output: Output) -> bool:
        more = output.move()
        if output.ended:
            self._busy.pop(output, None)
        elif output.quiet_turns >= _QUIET_TURNS:
            self._busy.pop(output, None)
            self._quiet[output.reader] = output
            self._watch(output.reader)
        return more

    def _schedule(self, pause_s: float) -> None:
        due_s = time.monotonic() + pause_s
        self.due_s = due_s if self.due_s is None else min(self.due_s, due_s)


def hard_link_path(attempt_id: str, path: str) -> str:
    """Return the second hard link of an output file, relative to the keeper's folder."""
    return f"{HARD_LINK_FOLDER}/{attempt_id}.{path.rpartition('/')[2]}"


def _open_pipe(pid: int, inode: int) -> int:
    """Open the reading end of a pipe that a process has open; 0 when it has no such pipe."""
    folder, wanted = f"/proc/{pid}/fd", f"pipe:[{inode}]"
    try:
        for name in os.listdir(folder):
            if os.readlink(f"{folder}/{name}") == wanted:
                return os.open(f"/proc/{pid}/fd/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0  # it has ended, or we may not look into it
    return 0


def _poll(reader: int) -> int:
    """Return what poll says of a pipe: POLLIN for bytes in it, POLLHUP alone for its end, 0 for neither."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    return next((events for _, events in poll.poll(0)), 0)
