"""Where this machine can be reached, and which loopback it has."""

import ipaddress
import secrets
import socket
from pathlib import Path

from opsconsole_protocol.stream.signal import ADDRESSES_MAX

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/thread-self/ns/net")
_LIFE = secrets.token_hex(8)


def own_life() -> str:
    """A name of this process, which no other one has had."""
    return _LIFE


def own_place() -> str:
    """A name of this process's loopback, the same for all that share it; empty where the system doesn't tell."""
    try:
        return f"{_BOOT_ID.read_text().strip()} {_NAMESPACE.stat().st_ino}"
    except OSError:
        return ""


def own_addresses() -> tuple[str, ...]:
    """The addresses of this machine's interfaces, IPv4 first; no loopback, and none that need an interface named."""
    import psutil

    texts = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6) and "%" not in entry.address
    ]
    found = [ipaddress.ip_address(text) for text in dict.fromkeys(texts)]
    usable = [one for one in found if not (one.is_loopback or one.is_link_local)]
    return tuple(str(one) for one in sorted(usable, key=lambda one: one.version)[:ADDRESSES_MAX])
