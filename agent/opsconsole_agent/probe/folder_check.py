"""Whether the folders exist that jobs want to run in, also where a mount hangs."""

import os
import threading

from opsconsole_agent.probe.timed_call import TimedCall

_TIMEOUT_S = 5.0
_FOLDERS_MAX = 1_000


def expand_home(path: str, home: str | None = None) -> str:
    """Return the path with `~` replaced by `home`, by default the agent's user's. `~name` stays as it is."""
    if path != "~" and not path.startswith("~/"):
        return path
    return os.path.expanduser(path) if home is None else home + path[1:]  # noqa: PTH111


class FolderCheck:
    """Checks folders for any number of threads; a folder that hangs holds one of them."""

    def __init__(self) -> None:
        self._calls: dict[str, _LockedCall] = {}

    def exists(self, path: str) -> bool:
        """Whether there is a folder at `path`. Raises TimeoutError."""
        if len(self._calls) > _FOLDERS_MAX:
            self._calls.clear()
        return self._calls.setdefault(path, _LockedCall(path)).exists()


class _LockedCall:
    def __init__(self, folder: str) -> None:
        self._is_folder = TimedCall(lambda: os.path.isdir(folder), _TIMEOUT_S)  # noqa: PTH112
        self._lock = threading.Lock()

    def exists(self) -> bool:
        with self._lock:
            return self._is_folder.call()
