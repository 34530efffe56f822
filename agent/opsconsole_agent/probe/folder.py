"""Whether folders are there that jobs want to run in. One on a mount that hangs is given up on."""

import os
import threading

from opsconsole_agent.probe.timed_call import Patience

_PATIENCE_S = 5.0
_FOLDERS_MAX = 1_000


def at_home(path: str, home: str | None = None) -> str:
    """The path with `~` replaced by `home`, else by the home of the agent's user. `~name` isn't meant."""
    if path != "~" and not path.startswith("~/"):
        return path
    return os.path.expanduser(path) if home is None else home + path[1:]  # noqa: PTH111


class Folders:
    """Asked by any number of threads; a folder that hangs costs one."""

    def __init__(self) -> None:
        self._checks: dict[str, _Check] = {}

    def is_there(self, path: str) -> bool:
        """Whether it is a folder; raises TimeoutError where that can't be told in time."""
        if len(self._checks) > _FOLDERS_MAX:
            self._checks.clear()
        return self._checks.setdefault(path, _Check(path)).is_there()


class _Check:
    def __init__(self, folder: str) -> None:
        self._patience = Patience(lambda: os.path.isdir(folder), _PATIENCE_S)  # noqa: PTH112
        self._lock = threading.Lock()

    def is_there(self) -> bool:
        with self._lock:
            return self._patience.call()
