"""The text of a systemd unit. Pure: what goes in decides what comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from opsconsole_protocol.error import InvalidRequest

Kind = Literal["coordinator", "agent"]

_DESCRIPTIONS = {"coordinator": "opsconsole coordinator", "agent": "opsconsole agent"}
_OWN: Mapping[Kind, tuple[str, ...]] = {
    "coordinator": ("LimitNOFILE=65536",),
    "agent": (
        "# The keeper and the tasks stay when the agent is restarted or upgraded.",
        "KillMode=process",
        "# One task that runs out of memory is no reason to end the others.",
        "OOMPolicy=continue",
        "# The agent freezes and limits tasks with cgroups of its own.",
        "Delegate=yes",
        "TasksMax=infinity",
    ),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A service. `command`: its words, the first an absolute path. `user`: None for whoever runs the manager."""

    kind: Kind
    name: str
    command: Sequence[str]
    user: str | None = None
    is_system: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """What systemd calls it."""
        return f"{self.name}.service"

    def text(self) -> str:
        """The unit file. Raises InvalidRequest for a word that no unit file can hold."""
        lines = [
            "[Unit]",
            f"Description={_DESCRIPTIONS[self.kind]}",
            "Wants=network-online.target",
            "After=network-online.target",
            "# It tries for ever: a network that comes up an hour late is no reason to give up.",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=exec",
            f"ExecStart={' '.join(quoted(word) for word in self.command)}",
            *(f"Environment={quoted(f'{key}={value}')}" for key, value in self.environ.items()),
            *((f"User={self.user}",) if self.user is not None and self.is_system else ()),
            "Restart=always",
            "RestartSec=2",
            "# Wrong usage doesn't get better by trying again.",
            "RestartPreventExitStatus=2",
            *_OWN[self.kind],
            "",
            "[Install]",
            f"WantedBy={'multi-user.target' if self.is_system else 'default.target'}",
            "",
        ]
        return "\n".join(lines)


def quoted(word: str) -> str:
    """A word as systemd reads it back: its own quotes, and no specifiers or variables of its language."""
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in word):
        raise InvalidRequest(f"{word[:60]!r} can't stand in a unit file: it has control characters")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{word[:60]!a} can't stand in a unit file: it is not UTF-8") from None
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = bool(word) and all(sign.isalnum() or sign in "/-_.=:,@+" for sign in word)
    return escaped if plain else f'"{escaped}"'
