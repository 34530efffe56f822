"""Which coordinator this agent belongs to, kept in its state folder.

An agent that was accepted once needs no flag to connect again after a reboot: the coordinator's address and its certificate's
hash are kept beside the agent's identity. An invitation that was handed over before the first start is kept here too, and
removed once it has been used.
"""

from dataclasses import dataclass, field
from pathlib import Path

from opsconsole_protocol.host.private_file import read_record, write_record

MEMBERSHIP_FILE = "coordinator.json"


@dataclass(frozen=True, slots=True)
class Membership:
    """A coordinator's address, its certificate's hash where it has one, and the invitation that isn't used yet."""

    url: str
    certificate_hash: str | None = None
    invitation: str | None = field(default=None, repr=False)


def load_membership(state_dir: Path) -> Membership | None:
    """What the agent of this state folder joined last, or None. Raises PrivateFileError."""
    return read_record(
        state_dir / MEMBERSHIP_FILE, Membership, "remove it and start the agent with --connect or --join"
    )


def save_membership(state_dir: Path, membership: Membership) -> None:
    """Write it down where that isn't written there already. Raises PrivateFileError."""
    if load_membership(state_dir) != membership:
        write_record(state_dir / MEMBERSHIP_FILE, membership)
