"""What is said of a new invitation: the command to paste, and where it can't be used. Pure."""

from urllib.parse import urlsplit

from opsconsole_protocol.trust.address import is_loopback
from opsconsole_protocol.trust.invitation import parse_join_line

ROLES = ("worker", "viewer", "operator", "admin")


def command_of(line: str, role: str) -> str:
    """What to paste into a shell."""
    return f"opsconsole agent --join '{line}'" if role == "worker" else f"opsconsole --connect '{line}'"


def loopback_advice(line: str) -> str:
    """What to do where only programs on the coordinator's own machine can use it; else nothing."""
    parts = urlsplit(parse_join_line(line).url)
    if not is_loopback(parts.hostname or ""):
        return ""
    return (
        "this coordinator listens on this machine only: "
        f"restart it with --listen 0.0.0.0:{parts.port or 7373} to let other hosts in"
    )
