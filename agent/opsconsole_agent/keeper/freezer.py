"""The cgroup freezer, version 2 or 1, where this user may make a cgroup. Elsewhere there is none, which is no error.

An attempt's cgroup is made below the keeper's own one when the attempt is first frozen, so starting an attempt costs
nothing for it. Processes that were put into another cgroup (a container's, say) are left there.
"""

# The keeper doesn't import pathlib.
# ruff: noqa: PTH102, PTH106, PTH110, PTH123

import os
import time

_PREFIX = "opsconsole-"
_SETTLE_S = 0.5
_POLL_S = 0.001
_RETRY_FIRST_S = 0.005
_RETRY_LAST_S = 60.0


class Cgroup:
    """One attempt's cgroup in a hierarchy that can freeze."""

    def __init__(self, path: str, version: int) -> None:
        self.path = path
        self.version = version

    def pids(self) -> set[int]:
        """Return the processes in it, or none when it is gone."""
        try:
            return {int(line) for line in _read(f"{self.path}/cgroup.procs").split()}
        except OSError:
            return set()

    def add(self, pid: int) -> bool:
        """Move a process into it, and with it the children that it starts from now on. False when that isn't possible."""
        try:
            _write(f"{self.path}/cgroup.procs", str(pid))
        except OSError:
            return False
        return True

    def freeze(self) -> bool:
        """Freeze all in it. Return False on an error.

        A process in an uninterruptible system call freezes when that returns.
        """
        try:
            if self.version == 2:
                _write(f"{self.path}/cgroup.freeze", "1")
            else:
                _write(f"{self.path}/freezer.state", "FROZEN")
            deadline = time.monotonic() + _SETTLE_S
            while not self.frozen() and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        except OSError:
            return False
        return True

    def frozen(self) -> bool:
        """Whether the kernel says that all in it are frozen. Raises OSError."""
        if self.version == 2:
            return "frozen 1" in _read(f"{self.path}/cgroup.events")
        return _read(f"{self.path}/freezer.state").strip() == "FROZEN"

    def thaw(self) -> None:
        """Let all in it run again; does nothing when it is gone."""
        try:
            if self.version == 2:
                _write(f"{self.path}/cgroup.freeze", "0")
            else:
                _write(f"{self.path}/freezer.state", "THAWED")
        except OSError:
            return

    def remove(self) -> bool:
        """Remove it. Return False when a process is still in it."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


class CgroupRemoval:
    """Removes cgroups. Linux 6.18 keeps one busy for a moment after its last process has been reaped."""

    def __init__(self) -> None:
        self._cgroups: list[Cgroup] = []
        self._pause_s = _RETRY_FIRST_S
        self.due_s: float | None = None
        """When `retry` has something to do, on the monotonic clock, or None for never."""

    def add(self, cgroup: Cgroup, now_s: float) -> None:
        """Remove a cgroup now, or as soon as that can be done."""
        if not cgroup.remove():
            self._cgroups.append(cgroup)
            self._pause_s = _RETRY_FIRST_S
            self.due_s = now_s + self._pause_s

    def retry(self, now_s: float) -> None:
        """Try again, if it is time."""
        if self.due_s is None or now_s < self.due_s:
            return
        self._cgroups = [cgroup for cgroup in self._cgroups if not cgroup.remove()]
        self._pause_s = min(_RETRY_LAST_S, 2 * self._pause_s)
        self.due_s = now_s + self._pause_s if self._cgroups else None


class Freezer:
    """The hierarchy in which this keeper makes cgroups."""

    def __init__(self, root: str, own: str, version: int) -> None:
        self._folder = os.path.normpath(f"{root}/{own}")
        self._own = own
        self._version = version

    def cgroup(self, attempt_id: str) -> Cgroup | None:
        """Make the attempt's cgroup. Return None where we may not, or where the new one can't freeze."""
        made = Cgroup(f"{self._folder}/{_PREFIX}{attempt_id}", self._version)
        control = "cgroup.freeze" if self._version == 2 else "freezer.state"
        try:
            os.mkdir(made.path, 0o755)
        except FileExistsError:
            pass
        except OSError:
            return None
        if os.access(f"{made.path}/{control}", os.W_OK) and os.access(f"{made.path}/cgroup.procs", os.W_OK):
            return made
        made.remove()
        return None

    def movable(self, pid: int) -> bool:
        """Whether a process is still where the keeper put it."""
        return _membership(pid).get(self._version) == self._own


def find_freezer() -> Freezer | None:
    """Return the freezer of this host, version 2 rather than 1, or None where there is none that we may use."""
    roots = _roots()
    own = _membership(os.getpid())
    for version in (2, 1):
        if version in roots and version in own and os.access(f"{roots[version]}/{own[version]}", os.W_OK):
            return Freezer(roots[version], own[version], version)
    return None


def reopen_cgroup(path: str) -> Cgroup | None:
    """Return the cgroup that an earlier keeper made, if it is still there."""
    if os.path.exists(f"{path}/cgroup.freeze"):
        return Cgroup(path, 2)
    if os.path.exists(f"{path}/freezer.state"):
        return Cgroup(path, 1)
    return None


def _roots() -> dict[int, str]:
    """Return mount points by version, from lines `… root mountpoint options … - type source superoptions`."""
    found: dict[int, str] = {}
    try:
        lines = _read("/proc/self/mountinfo").splitlines()
    except OSError:
        return found
    for line in lines:
        left, _, right = line.partition(" - ")
        words = right.split()
        if len(words) < 3 or len(left.split()) < 5:
            continue
        if words[0] == "cgroup2":
            found.setdefault(2, left.split()[4])
        elif words[0] == "cgroup" and "freezer" in words[2].split(","):
            found.setdefault(1, left.split()[4])
    return found


def _membership(pid: int) -> dict[int, str]:
    """Return the process's cgroup by version, from lines `number:controllers:path`."""
    found: dict[int, str] = {}
    try:
        lines = _read(f"/proc/{pid}/cgroup").splitlines()
    except OSError:
        return found
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            found[2] = path
        elif "freezer" in controllers.split(","):
            found[1] = path
    return found


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
