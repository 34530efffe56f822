"""Talks to systemd: where unit files belong, and the few commands that it takes."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from opsconsole_console.systemd.unit import Unit
from opsconsole_protocol.error import OpsconsoleError, Unavailable

_SYSTEM_FOLDER = Path("/etc/systemd/system")
_TIMEOUT_S = 60


class ServiceError(OpsconsoleError):
    """systemd refused; says what it said."""

    code = "service"


@dataclass(frozen=True, slots=True)
class Systemd:
    """The machine's own manager, or the one of a user."""

    is_system: bool

    @property
    def folder(self) -> Path:
        """Where unit files belong."""
        if self.is_system:
            return _SYSTEM_FOLDER
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(config) / "systemd" / "user"

    @property
    def command(self) -> list[str]:
        """What every call begins with."""
        return ["systemctl"] if self.is_system else ["systemctl", "--user"]

    def install(self, unit: Unit) -> Path:
        """Write the unit, start it now and at every boot. Return the path of the file.

        Raises ServiceError, Unavailable, OSError.
        """
        self.check()
        path = self.folder / unit.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(unit.text(), encoding="utf-8")
        temporary.replace(path)
        self.ask("daemon-reload")
        self.ask("enable", unit.file_name)
        self.ask("restart", unit.file_name)
        return path

    def stop(self, name: str) -> None:
        """Stop it if there is one, so that another can take its place. Raises ServiceError, Unavailable."""
        if (self.folder / f"{name}.service").exists():
            self.ask("stop", f"{name}.service")

    def status(self, name: str) -> dict[str, str | int | None]:
        """`{name, state, pid, restarts, unit}`; `state` is `not-found` or systemd's ActiveState."""
        wanted = ("LoadState", "ActiveState", "MainPID", "NRestarts", "FragmentPath")
        text = self.ask("show", f"{name}.service", *(f"--property={one}" for one in wanted))
        found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        is_there = found.get("LoadState") == "loaded"
        return {
            "name": name,
            "state": found.get("ActiveState", "unknown") if is_there else "not-found",
            "pid": int(found.get("MainPID") or 0) or None,
            "restarts": int(found.get("NRestarts") or 0),
            "unit": found.get("FragmentPath") or None,
        }

    def uninstall(self, name: str) -> Path:
        """Stop it and remove its file. Raises ServiceError, Unavailable."""
        self.check()
        path = self.folder / f"{name}.service"
        if not path.exists():
            raise ServiceError(f"there is no service {name} ({path} doesn't exist)")
        self.ask("disable", "--now", path.name)
        path.unlink()
        self.ask("daemon-reload")
        return path

    def check(self) -> None:
        """Raise Unavailable unless the manager can be asked."""
        self.ask("show", "--property=Version")

    def ask(self, *words: str) -> str:
        """What `systemctl WORDS` prints. Raises ServiceError with its first line, or Unavailable."""
        try:
            done = subprocess.run(
                [*self.command, *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except FileNotFoundError:
            raise Unavailable(
                "there is no systemd here: `opsconsole service show` prints a unit to adapt to what starts services here"
            ) from None
        except subprocess.TimeoutExpired:
            raise Unavailable(f"systemd doesn't answer within {_TIMEOUT_S} s: try again") from None
        if done.returncode == 0:
            return done.stdout
        complaint = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[0]
        if words[0] == "show":
            whose = "the system's" if self.is_system else "your"
            raise Unavailable(
                f"{whose} systemd can't be reached ({complaint.rstrip('.')}): where there is none, `opsconsole service show` "
                "prints a unit to adapt"
            )
        raise ServiceError(f"systemctl {words[0]}: {complaint}")

    def linger(self) -> str | None:
        """Have the user's services started at boot, not only at login.

        Return in words what an administrator has to do for it, None when all is done.
        """
        user = pwd.getpwuid(os.getuid()).pw_name
        if self.is_system or Path("/var/lib/systemd/linger", user).exists():
            return None
        try:
            done = subprocess.run(["loginctl", "enable-linger", user], capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is not None and done.returncode == 0:
            return None
        return f"it starts when you log in; to have it started at boot, run once: sudo loginctl enable-linger {user}"
