"""How the console was left, kept from one start to the next in a small file for each coordinator.

It is a convenience: where the file can't be read or written, the console works as if it were new, and says so once.
"""

import hashlib
import re
from pathlib import Path

import msgspec

from opsconsole_console.model.failure import Seen
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.private_file import read_private, write_private

_LOGS_MAX = 9


class TableState(msgspec.Struct, frozen=True):
    """A table's filter and order."""

    filter: str = ""
    inverted: bool = False
    sorted_by: str | None = None
    reverse: bool = False


class LogState(msgspec.Struct, frozen=True):
    """A log pane that is open."""

    job_id: str
    name: str
    num_tasks: int = 1
    task_index: int | None = None
    attempt: int | None = None


class ConsoleState(msgspec.Struct, frozen=True):
    """All that is kept. `theme_over` is the theme that was configured when `theme` was chosen over it."""

    theme: str | None = None
    theme_over: str | None = None
    jobs: TableState | None = None
    workers: TableState | None = None
    pane: int = 2
    zoomed: bool = False
    logs: tuple[LogState, ...] = ()
    seen: Seen = Seen()


def state_path(coordinator: str) -> Path:
    """The file for one coordinator, which is told from others by its data folder or its address."""
    import platformdirs

    folder = Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / "console"
    words = re.sub(r"[^A-Za-z0-9.-]+", "-", coordinator).strip("-")[-40:]
    return folder / f"{words}.{hashlib.sha256(coordinator.encode()).hexdigest()[:12]}.json"


class StateFile:
    """`state` is how the console was left last time; where that can't be told, `problem` says why."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problem = ""
        self.state = self._read()
        self._written = self.state
        self._is_given_up = False

    def _read(self) -> ConsoleState:
        try:
            text = read_private(self._path)
            return ConsoleState() if text is None else msgspec.json.decode(text, type=ConsoleState)
        except (OpsconsoleError, msgspec.DecodeError, RecursionError):
            self.problem = self._set_aside()
            return ConsoleState()

    def _set_aside(self) -> str:
        aside = self._path.with_suffix(".damaged")
        try:
            self._path.replace(aside)
        except OSError as error:
            return f"what the console remembered is damaged, and can't be put aside ({error.strerror}): {self._path}"
        return f"what the console remembered was damaged and is now {aside}: it starts as new"

    def differs(self, state: ConsoleState) -> bool:
        """Whether this isn't what is on disk yet, and can be written."""
        return state != self._written and not self._is_given_up

    def write(self, state: ConsoleState) -> None:
        """Write this, whole or not at all. Blocks. Raises PrivateFileError the first time; after that nothing differs."""
        self._written = self.state = msgspec.structs.replace(state, logs=state.logs[:_LOGS_MAX])
        try:
            write_private(self._path, msgspec.json.encode(self._written).decode())
        except OpsconsoleError:
            self._is_given_up = True
            raise
