"""Which coordinator this agent belongs to, kept in its state folder.

An agent that was taken once needs no flag to come back after a reboot: address and certificate's hash are remembered
with its identity. An invitation that was handed over before the first start waits here too, and is wiped when it has
been used.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from opsconsole_protocol.private_file import PrivateFileError, read_private, write_private

MEMBERSHIP_FILE = "coordinator.json"


@dataclass(frozen=True, slots=True)
class Membership:
    """A coordinator's address, its certificate's hash where it has one, and the invitation that isn't used yet."""

    url: str
    certificate_hash: str | None = None
    invitation: str | None = field(default=None, repr=False)

    @property
    def taken(self) -> "Membership":
        """The same after the coordinator has let us in: the agent's own credential is enough from now on."""
        return replace(self, invitation=None)


def load_membership(state_dir: Path) -> Membership | None:
    """What the agent of this state folder joined last, or None. Raises PrivateFileError."""
    path = state_dir / MEMBERSHIP_FILE
    text = read_private(path)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Membership)
    except (msgspec.DecodeError, RecursionError):
        raise PrivateFileError(f"{path} is damaged: remove it and start the agent with --connect or --join") from None


def save_membership(state_dir: Path, membership: Membership) -> None:
    """Remember it, unless it is remembered so already. Raises PrivateFileError."""
    if load_membership(state_dir) != membership:
        write_private(state_dir / MEMBERSHIP_FILE, msgspec.json.encode(membership).decode() + "\n")
