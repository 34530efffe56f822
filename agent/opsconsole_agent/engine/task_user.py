"""The user whom an agent of root runs its tasks as (`run_as`), and whether that user can enter the folders that tasks need."""

import os
import pwd
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from opsconsole_agent.keeper_client.message import User
from opsconsole_protocol.error import InvalidRequest

_REACH = 'cd -- "$1"'
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class TaskUser:
    """An account of this machine. `user`: its ids, as the keeper is told them."""

    name: str
    home: str
    shell: str
    user: User

    def environment(self) -> dict[str, str]:
        """The variables that a login would set."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}

    def check_reach(self, folders: Iterable[Path]) -> None:
        """Raises InvalidRequest where this user can't get into one of the folders."""
        for folder in folders:
            try:
                is_there = self._reaches(folder)
            except subprocess.TimeoutExpired:
                raise InvalidRequest(f"{folder} didn't answer within {_TIMEOUT_S:g} s (is the mount hung?)") from None
            if not is_there:
                raise InvalidRequest(
                    f"{self.name}, whom tasks run as, can't enter {folder}: name a folder that everybody may pass "
                    "through to, or open the folders above it (chmod o+x)"
                )

    def _reaches(self, folder: Path) -> bool:
        user = self.user
        done = subprocess.run(
            ["/bin/sh", "-c", _REACH, "sh", str(folder)],
            user=user.uid, group=user.gid, extra_groups=user.groups, cwd="/", env={}, timeout=_TIMEOUT_S, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode == 0


def find_task_user(name: str) -> TaskUser:
    """The account of this name; raises InvalidRequest where tasks can't run as it."""
    if os.geteuid() != 0:
        raise InvalidRequest(f"only an agent of root can run tasks as {name}: start it as root, or leave run_as out")
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise InvalidRequest(f"there is no user {name} on this machine: make it, or name another in run_as") from None
    if found.pw_uid == 0:
        raise InvalidRequest(f"{name} is root, from whom run_as protects nothing: name another user")
    groups = os.getgrouplist(name, found.pw_gid)
    return TaskUser(name, found.pw_dir, found.pw_shell or "/bin/sh", User(found.pw_uid, found.pw_gid, groups))
