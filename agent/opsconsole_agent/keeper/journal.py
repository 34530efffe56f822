"""The exit log: one JSON line for every start, end, freeze and forgotten exit, so that a later keeper knows them.

Lines are the very lines that the agent is sent, written before they are sent, each with its seal. Nothing is synced: the
log outlives any process, not the host. A disk that is full loses no line while the keeper lives: what couldn't be
written is kept and tried again.
"""

import os
from json import loads

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.seal import Seal, new_key, without_seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

Record = dict[str, object]

COMPACT_BYTES = 4 << 20
READ_BYTES_MAX = 256 << 20
"""More than this isn't a log of ours, which is compacted when it has doubled: such a file is set aside."""
_LINE_BYTES_MAX = 1 << 20
_CHUNK_BYTES = 1 << 20
_NAME = "exit.log"


class History:
    """What a log says that earlier keepers left: unended starts and unforgotten exits, by attempt id."""

    def __init__(self) -> None:
        self.boot_id = ""
        self.started: dict[str, Record] = {}
        self.outputs: dict[str, list[tuple[str, int]]] = {}
        self.frozen: dict[str, Record] = {}
        self.exits: dict[str, str] = {}
        self.damaged = 0
        self.forged = 0
        self.notes: list[str] = []
        """What was set aside, in words."""

    def add(self, line: str) -> None:
        """Fold one line in; what isn't a record is counted and left out."""
        try:
            record = loads(line)
            self._fold(record["kind"], record, line)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.damaged += 1

    def _fold(self, kind: object, record: Record, line: str) -> None:
        if kind == "keeper":
            self.boot_id = str(record["boot_id"])
            return
        if kind == "forgotten":
            for forgotten in _strings(record["attempt_ids"]):
                self.exits.pop(forgotten, None)
            return
        attempt_id = str(record["attempt_id"])
        if kind == "started":
            self.started[attempt_id] = {name: int(str(record[name])) for name in ("pid", "start_time", "at_ms")}
            if "limit" in record:
                self.started[attempt_id]["limit"] = int(str(record["limit"]))
            self.outputs[attempt_id] = _outputs(record.get("outputs"))
        elif kind == "frozen":
            self.frozen[attempt_id] = record
        elif kind == "thawed":
            self.frozen.pop(attempt_id, None)
        elif kind == "exited":
            self.started.pop(attempt_id, None)
            self.outputs.pop(attempt_id, None)
            self.frozen.pop(attempt_id, None)
            self.exits[attempt_id] = line


def _outputs(value: object) -> "list[tuple[str, int]]":
    """Paths and numbers of pipes; a keeper from before there were pipes wrote none."""
    return [(str(path), int(number)) for path, number in value] if isinstance(value, list) else []


def _strings(value: object) -> "Iterable[str]":
    return [str(item) for item in value] if isinstance(value, list) else []


class Journal:
    """The open log. Append lines, then `flush` once for all of them before anybody hears of one."""

    def __init__(self, folder: str = ".", key: bytes | None = None) -> None:
        """`key`: what earlier keepers sealed with, if anybody alive knows it; then what isn't sealed is left out."""
        self._path = f"{folder}/{_NAME}"
        self._file = -1
        self._lines: list[str] = []
        self._unwritten = b""
        self._is_known = key is not None
        self.key = key or new_key()
        self._seal = Seal(self.key)
        self.size_bytes = 0

    def open(self) -> History:
        """Read what is there and open it for appending; a torn last line is cut off.

        What can't be our log, or holds lines that no keeper wrote, is set aside. What was believed without a seal is to
        be written again by `replace`.
        """
        history = History()
        self._file, words = state_file.open_or_renew(self._path, os.O_RDWR | os.O_APPEND, most=READ_BYTES_MAX)
        if words:
            history.notes.append(words)
        whole = self._read(history)
        if history.forged:
            history.notes.append(
                f"{history.forged} lines of {_NAME} were written by no keeper and are left out: it was set aside as "
                f"{state_file.set_aside(self._path)}"
            )
            os.close(self._file)
            self._file, _ = state_file.open_or_renew(self._path, os.O_RDWR | os.O_APPEND)
            whole = 0
            self._seal.start_over()
        elif whole < os.fstat(self._file).st_size:
            history.damaged += 1
            os.ftruncate(self._file, whole)
        self.size_bytes = whole
        return history

    def _read(self, history: History) -> int:
        """Fold in every whole line; returns the offset behind the last one."""
        at = whole = 0
        rest = b""
        while chunk := os.pread(self._file, _CHUNK_BYTES, at):
            at += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                whole += len(line) + 1
                self._fold(history, line)
            if len(rest) > _LINE_BYTES_MAX:
                break  # no line of ours is so long, nor is anything of ours behind it
        return whole

    def _fold(self, history: History, line: bytes) -> None:
        text = line.decode(errors="replace")
        known = self._seal.check(text) if self._is_known else without_seal(text)
        if known is None:
            history.forged += 1
        else:
            history.add(known)

    @property
    def is_ours(self) -> bool:
        """Whether the log still lies where the next keeper will look for it."""
        try:
            found, ours = os.lstat(self._path), os.fstat(self._file)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino) and ours.st_size >= self.size_bytes

    def append(self, line: str) -> None:
        """Queue one line."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write what is queued in one call; what the disk doesn't take is kept for the next flush."""
        if not self._lines and not self._unwritten:
            return
        if self._lines:
            self._unwritten += ("\n".join([self._seal.add(line) for line in self._lines]) + "\n").encode()
            self._lines.clear()
        try:
            written = os.write(self._file, self._unwritten)
        except OSError:
            return
        self.size_bytes += written
        self._unwritten = self._unwritten[written:]

    @property
    def is_sealed(self) -> bool:
        """Whether all that is in the log carries the seal of `key`."""
        return self._is_known

    @property
    def behind(self) -> bool:
        """Whether lines wait for room on the disk."""
        return bool(self._unwritten)

    def replace(self, lines: "Iterable[str]") -> None:
        """Replace the whole log by these lines (what is still true) in one rename; raises OSError, old log intact."""
        seal = Seal(self.key)
        content = "".join(f"{seal.add(line)}\n" for line in lines).encode()
        fresh = f"{self._path}.new"
        state_file.clear(fresh)
        file = state_file.open_file(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        try:
            written = 0
            while written < len(content):
                written += os.write(file, content[written:])
            state_file.put_in_place(fresh, self._path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file = file
        self._seal = seal
        self._is_known = True
        self._lines.clear()
        self._unwritten = b""
        self.size_bytes = len(content)

    def clear(self, header: str) -> None:
        """Start again with one line, in place: nothing that was written is true any more."""
        os.ftruncate(self._file, 0)
        self._seal.start_over()
        self._is_known = True
        self._lines.clear()
        self._unwritten = b""
        self.size_bytes = 0
        self.append(header)
        self.flush()

    def close(self) -> None:
        """Close the file; the log stays."""
        os.close(self._file)
