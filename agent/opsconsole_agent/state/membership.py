"""Which coordinator this agent belongs to, kept in its state folder.

An agent that was taken once needs no flag to come back after a reboot: address and certificate's hash are remembered
with its identity. An invitation that was handed over before the first start waits here too, and is wiped when it has
been used.
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
    """Remember it, unless it is remembered so already. Raises PrivateFileError."""
    if load_membership(state_dir) != membership:
        write_record(state_dir / MEMBERSHIP_FILE, membership)
