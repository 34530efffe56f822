"""The exit log: one JSON line for every start, end, freeze, thaw and forgotten exit, so that a later keeper knows them.

The lines are those that the agent is sent, each with its authentication code, and are written before they are sent.
Nothing is synced: the log outlives any process, but not the host. No line is lost to a full disk while the keeper lives:
what couldn't be written stays in memory until it can be.
"""

import os
from collections.abc import Iterable
from json import loads

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.mac_chain import MacChain, new_key, without_mac

Record = dict[str, object]

COMPACT_BYTES = 4 << 20
READ_BYTES_MAX = 256 << 20
"""A larger file is none of ours, as a log is compacted when it has doubled: it is set aside."""
_LINE_BYTES_MAX = 1 << 20
_CHUNK_BYTES = 1 << 20
_NAME = "exit.log"


class History:
    """What earlier keepers left in the log: starts without an end, and exits that aren't forgotten, by attempt id."""

    def __init__(self) -> None:
        self.boot_id = ""
        self.started: dict[str, Record] = {}
        self.outputs: dict[str, list[tuple[str, int]]] = {}
        self.frozen: dict[str, Record] = {}
        self.exits: dict[str, str] = {}
        self.damaged = 0
        self.forged = 0
        self.notes: list[str] = []
        """What was set aside, a sentence each."""

    def add(self, line: str) -> None:
        """Take in one line; one that is no record is counted as damaged and left out."""
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


def _outputs(value: object) -> list[tuple[str, int]]:
    """Return the paths and inodes of pipes; a keeper of before there were pipes wrote none."""
    return [(str(path), int(inode)) for path, inode in value] if isinstance(value, list) else []


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


class Journal:
    """The open log. Lines are appended, then flushed together before the agent hears of any."""

    def __init__(self, folder: str = ".", key: bytes | None = None) -> None:
        """`key`: the key of earlier keepers, where it is known; then lines without a valid code are left out."""
        self._path = f"{folder}/{_NAME}"
        self._file = -1
        self._lines: list[str] = []
        self._unwritten = b""
        self.is_authenticated = key is not None
        """Whether all that is in the log carries codes made with `key`."""
        self.key = key or new_key()
        self._chain = MacChain(self.key)
        self.size_bytes = 0

    def open(self) -> History:
        """Read the log and open it for appending; a torn last line is cut off. Raises OSError.

        A file that can't be our log, or has lines that no keeper wrote, is set aside. A log that was believed without
        its codes has to be written anew with `replace`.
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
            self._chain.restart()
        elif whole < os.fstat(self._file).st_size:
            history.damaged += 1
            os.ftruncate(self._file, whole)
        self.size_bytes = whole
        return history

    def _read(self, history: History) -> int:
        """Take in every whole line and return the offset behind the last one."""
        at = whole = 0
        rest = b""
        while chunk := os.pread(self._file, _CHUNK_BYTES, at):
            at += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                whole += len(line) + 1
                self._fold(history, line)
            if len(rest) > _LINE_BYTES_MAX:
                break  # no line of ours is longer, so nothing of ours is behind it
        return whole

    def _fold(self, history: History, line: bytes) -> None:
        text = line.decode(errors="replace")
        record = self._chain.verify(text) if self.is_authenticated else without_mac(text)
        if record is None:
            history.forged += 1
        else:
            history.add(record)

    @property
    def is_in_place(self) -> bool:
        """Whether the next keeper will find this very file, at its full length."""
        try:
            found, ours = os.lstat(self._path), os.fstat(self._file)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino) and ours.st_size >= self.size_bytes

    def append(self, line: str) -> None:
        """Queue one line for the next flush."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write what is queued in one call; what the disk doesn't take waits for the next flush."""
        if not self._lines and not self._unwritten:
            return
        if self._lines:
            self._unwritten += ("\n".join([self._chain.sign(line) for line in self._lines]) + "\n").encode()
            self._lines.clear()
        try:
            written = os.write(self._file, self._unwritten)
        except OSError:
            return
        self.size_bytes += written
        self._unwritten = self._unwritten[written:]

    @property
    def behind(self) -> bool:
        """Whether lines wait for space on the disk."""
        return bool(self._unwritten)

    def replace(self, lines: Iterable[str]) -> None:
        """Replace the whole log by these lines in one rename. On OSError the old log stays."""
        chain = MacChain(self.key)
        content = "".join(f"{chain.sign(line)}\n" for line in lines).encode()
        new_path = f"{self._path}.new"
        state_file.clear(new_path)
        file = state_file.open_file(new_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        try:
            written = 0
            while written < len(content):
                written += os.write(file, content[written:])
            state_file.put_in_place(new_path, self._path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file = file
        self._chain = chain
        self.is_authenticated = True
        self._lines.clear()
        self._unwritten = b""
        self.size_bytes = len(content)

    def clear(self, header: str) -> None:
        """Cut the log down to one line, in place."""
        os.ftruncate(self._file, 0)
        self._chain.restart()
        self.is_authenticated = True
        self._lines.clear()
        self._unwritten = b""
        self.size_bytes = 0
        self.append(header)
        self.flush()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
