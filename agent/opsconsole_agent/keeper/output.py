"""What a task writes: a pipe in its hands, a file in ours.

A task that opens /dev/stdout anew (`> /dev/stdout`, `tee /dev/stderr`) opens whatever its output is, and may cut it to
nothing. A file would lose what it holds; a pipe can't. So a program writes into a pipe, and what comes is moved to its
file without passing through us, some milliseconds later. That is faster for the program than writing the file.

- Programs hold the pipe for reading and writing: if we are killed, they aren't sent SIGPIPE. They go on until the pipe
  is full, and the next keeper finds the pipe again by its number, among what the attempt's processes have open.
- The file has a second name in our own folder from its first byte on, so that a task which removes or renames the first
  one loses nothing.
- Bytes go to where the file ended for us: one that a task cut short gets what follows at its right place.
- Where there are no descriptors left for a pipe, a program gets the plain file.
- A full disk stops no task. The pipe is left as it is for a while; then what comes is dropped, and the file says how much.
"""

# The keeper doesn't import pathlib.
# ruff: noqa: PTH115, PTH208

import errno
import fcntl
import os
import select
import time

from opsconsole_agent.keeper import state_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KEPT_FOLDER = "logs"
TURN_S = 0.005
_QUIET_TURNS = 4
PIPE_BYTES = 1 << 20
_WIDEN_FROM_BYTES = 1 << 14
_TURN_BYTES_MAX = 8 << 20
_WAIT_FOR_ROOM_S = 2.0
_RETRY_S = 0.05
_ONE_NAME_ONLY = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)
"""The file lies on another filesystem, or on one without hard links."""


class Output:
    """One pipe and its file. `number` names the pipe on this host; `writer` is for the program, -1 once it has it."""

    __slots__ = (
        "_kept", "_lost", "_position", "_refused_at_s", "_secured", "_wide", "ended", "file", "number", "path", "quiet",
        "reader", "writer",
    )  # fmt: skip

    def __init__(self, path: str, kept: str, reader: int, file: int, number: int) -> None:
        self.path = path
        self.reader = reader
        self.writer = -1
        self.file = file
        self.number = number
        self.quiet = 0
        self.ended = False
        self._kept = kept
        self._position = os.fstat(file).st_size
        self._secured = False
        self._wide = False
        self._lost = 0
        self._refused_at_s = 0.0

    @classmethod
    def make(cls, attempt_id: str, path: str) -> "Output":
        """A new pipe to the end of the file at `path`. Raises OSError, ValueError."""
        file, _ = state_file.open_or_renew(path, os.O_WRONLY)
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            os.close(file)
            raise
        try:
            output = cls(path, kept_name(attempt_id, path), reader, file, os.fstat(reader).st_ino)
            # Not the writer itself: that one doesn't block.
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
        """No pipe, only the file, which the program appends to itself. Raises OSError."""
        file, _ = state_file.open_or_renew(path, os.O_WRONLY | os.O_APPEND)
        output = cls(path, "", -1, file, 0)
        output.writer, output.file = file, -1
        output.ended = True
        return output

    @classmethod
    def find(cls, attempt_id: str, path: str, number: int, pids: "Iterable[int]") -> "Output | None":
        """The pipe that an earlier keeper made, in the hands of one of these processes."""
        reader = next(filter(None, (_open_pipe(pid, number) for pid in pids)), 0)
        if not reader:
            return None
        kept = kept_name(attempt_id, path)
        try:
            try:
                file = state_file.open_file(kept, os.O_WRONLY)
            except OSError:
                file, _ = state_file.open_or_renew(path, os.O_WRONLY)
        except OSError:
            os.close(reader)
            return None
        return cls(path, kept, reader, file, number)

    @classmethod
    def find_standard(cls, attempt_id: str, path: str, pid: int, descriptor: int) -> "Output | None":
        """The pipe that a process has as its stdout (1) or stderr (2), where no log knows its number."""
        try:
            name = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            return None
        if not name.startswith("pipe:["):
            return None
        return cls.find(attempt_id, path, int(name[6:-1]), [pid])

    def hand_over(self) -> None:
        """The program has its end of the pipe."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def move(self) -> bool:
        """Move what is in the pipe to the file; whether there is more already."""
        moved = 0
        while moved < _TURN_BYTES_MAX:
            try:
                count = self._move_some()
            except BlockingIOError:
                break
            except OSError:
                return self._refused()
            if count == 0:
                self.ended = True
                break
            moved += count
        self.quiet = 0 if moved else self.quiet + 1
        if moved >= _WIDEN_FROM_BYTES and not self._wide:
            self._widen()
        return moved >= _TURN_BYTES_MAX

    def finish(self) -> None:
        """Nobody of the attempt writes any more: take the rest, and let go."""
        if self.reader >= 0:
            while self.move():
                pass
            if self._refused_at_s:
                self._drop()
        self.close()

    def close(self) -> None:
        """Let go of everything."""
        self.hand_over()
        if self.reader >= 0:
            os.close(self.reader)
            os.close(self.file)
            self.reader = self.file = -1

    def _move_some(self) -> int:
        if self._lost:
            self._tell_lost()
        if not self._secured:
            waiting = _waiting(self.reader)
            if not waiting & select.POLLIN:
                if waiting:
                    return 0
                raise BlockingIOError
            self._secure()
        count = os.splice(self.reader, self.file, PIPE_BYTES, offset_dst=self._position)
        self._position += count
        self._refused_at_s = 0.0
        return count

    def _secure(self) -> None:
        """Before the first byte: see that the file keeps a name whatever becomes of its path. Raises OSError."""
        self._secured = True
        state_file.make_folder(KEPT_FOLDER)
        if os.fstat(self.file).st_nlink == 0:
            fresh, _ = state_file.open_or_renew(self._kept, os.O_WRONLY)
            os.dup2(fresh, self.file, inheritable=False)
            os.close(fresh)
            return
        try:
            os.link(f"/proc/self/fd/{self.file}", self._kept, src_dir_fd=self.file)
        except FileExistsError:
            return  # an earlier keeper was here
        except OSError as error:
            if error.errno not in _ONE_NAME_ONLY:
                self._secured = False
                raise

    def _refused(self) -> bool:
        """The disk takes nothing: wait for room for a while, then go on without these bytes."""
        now_s = time.monotonic()
        self.quiet = 0
        self._refused_at_s = self._refused_at_s or now_s
        if now_s - self._refused_at_s < _WAIT_FOR_ROOM_S:
            return False
        self._drop()
        return False

    def _drop(self) -> None:
        null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        try:
            while count := os.splice(self.reader, null, PIPE_BYTES):
                self._lost += count
        except BlockingIOError:
            return
        finally:
            os.close(null)

    def _tell_lost(self) -> None:
        """There may be room again; where bytes are missing, the log says so. Raises OSError."""
        text = f"\nopsconsole: {self._lost} bytes are missing here: the disk of this worker was full\n".encode()
        if os.pwrite(self.file, text, self._position) == len(text):
            self._position += len(text)
            self._lost = 0

    def _widen(self) -> None:
        self._wide = True
        try:
            fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            return  # this user has many wide pipes already: a narrow one does, with more turns


class Pump:
    """All outputs. Those that are busy are looked at every few milliseconds, which is cheaper for those who write than
    being woken for each line; for quiet ones the kernel calls.
    """

    def __init__(self, watch: "Callable[[int], None]", unwatch: "Callable[[int], None]") -> None:
        self._watch = watch
        self._unwatch = unwatch
        self._busy: dict[Output, None] = {}
        self._quiet: dict[int, Output] = {}
        self.due_s: float | None = None

    def add(self, output: Output) -> None:
        """Take care of one more."""
        if output.ended:
            return
        self._busy[output] = None
        self._plan(TURN_S)

    def readable(self, fd: int) -> bool:
        """Something has come; False when this is none of ours."""
        output = self._quiet.pop(fd, None)
        if output is None:
            return False
        self._unwatch(fd)
        self._busy[output] = None
        self._turn(output)
        self._plan(TURN_S)
        return True

    def tick(self, now_s: float) -> None:
        """A turn for each busy one, if it is time."""
        if self.due_s is None or now_s < self.due_s:
            return
        self.due_s = None
        more = False
        for output in list(self._busy):
            more = self._turn(output) or more
        if self._busy:
            self._plan(0.0 if more else TURN_S)

    def finish(self, outputs: "Iterable[Output]") -> None:
        """The attempt has ended: everything that was written is in its files when this returns."""
        for output in outputs:
            self._busy.pop(output, None)
            if self._quiet.pop(output.reader, None) is not None:
                self._unwatch(output.reader)
            output.finish()

    def _turn(self, output: Output) -> bool:
        more = output.move()
        if output.ended:
            self._busy.pop(output, None)
        elif output.quiet >= _QUIET_TURNS:
            self._busy.pop(output, None)
            self._quiet[output.reader] = output
            self._watch(output.reader)
        return more

    def _plan(self, pause_s: float) -> None:
        due_s = time.monotonic() + pause_s
        self.due_s = due_s if self.due_s is None else min(self.due_s, due_s)


def kept_name(attempt_id: str, path: str) -> str:
    """The second name of a file, from the keeper's folder."""
    return f"{KEPT_FOLDER}/{attempt_id}.{path.rpartition('/')[2]}"


def _open_pipe(pid: int, number: int) -> int:
    """Our end of a pipe that a process has open, or 0."""
    folder, wanted = f"/proc/{pid}/fd", f"pipe:[{number}]"
    try:
        for name in os.listdir(folder):
            if os.readlink(f"{folder}/{name}") == wanted:
                return os.open(f"/proc/{pid}/fd/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0  # it has ended, or isn't ours to look into
    return 0


def _waiting(reader: int) -> int:
    """What poll says of a pipe: POLLIN for bytes in it, POLLHUP alone for its end, 0 for neither."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    return next((events for _, events in poll.poll(0)), 0)
