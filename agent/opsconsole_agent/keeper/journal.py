"""The exit log: one JSON line for every start, end, freeze and forgotten exit, so that a later keeper knows them.

Lines are the very lines that the agent is sent, written before they are sent. Nothing is synced: the log outlives any
process, not the host. A disk that is full loses no line while the keeper lives: what couldn't be written is kept and
tried again.
"""

# The keeper doesn't import pathlib.
# ruff: noqa: PTH104

import os
from json import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

Record = dict[str, object]

COMPACT_BYTES = 4 << 20
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

    def __init__(self, folder: str = ".") -> None:
        self._path = f"{folder}/{_NAME}"
        self._file = -1
        self._lines: list[str] = []
        self._unwritten = b""
        self.size_bytes = 0

    def open(self) -> History:
        """Read what is there and open it for appending; a torn last line is cut off."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        content = b""
        while chunk := os.read(self._file, 1 << 20):
            content += chunk
        whole = content.rfind(b"\n") + 1
        history = History()
        for line in content[:whole].decode(errors="replace").split("\n")[:-1]:
            history.add(line)
        if whole < len(content):
            history.damaged += 1
            os.ftruncate(self._file, whole)
        self.size_bytes = whole
        return history

    def append(self, line: str) -> None:
        """Queue one line."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write what is queued in one call; what the disk doesn't take is kept for the next flush."""
        if not self._lines and not self._unwritten:
            return
        if self._lines:
            self._unwritten += ("\n".join(self._lines) + "\n").encode()
            self._lines.clear()
        try:
            written = os.write(self._file, self._unwritten)
        except OSError:
            return
        self.size_bytes += written
        self._unwritten = self._unwritten[written:]

    @property
    def behind(self) -> bool:
        """Whether lines wait for room on the disk."""
        return bool(self._unwritten)

    def replace(self, lines: "Iterable[str]") -> None:
        """Replace the whole log by these lines (what is still true) in one rename; raises OSError, old log intact."""
        content = "".join(f"{line}\n" for line in lines).encode()
        fresh = f"{self._path}.new"
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            written = 0
            while written < len(content):
                written += os.write(file, content[written:])
            os.rename(fresh, self._path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file = file
        self._lines.clear()
        self._unwritten = b""
        self.size_bytes = len(content)

    def clear(self, header: str) -> None:
        """Start again with one line, in place: nothing that was written is true any more."""
        os.ftruncate(self._file, 0)
        self._lines.clear()
        self._unwritten = b""
        self.size_bytes = 0
        self.append(header)
        self.flush()

    def close(self) -> None:
        """Close the file; the log stays."""
        os.close(self._file)
