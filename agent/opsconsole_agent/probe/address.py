"""Under which address other hosts reach this one."""

import ipaddress
import socket

_ELSEWHERE = ("192.0.2.1", 9)
"""An address of nobody's (RFC 5737): the kernel chooses the way to it, and nothing is sent."""


def reachable_address(own: str) -> str:
    """`own`, this host's address on a connection; where that stays inside it, the one on its way to others, if any."""
    if _leaves_host(own):
        return own
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(_ELSEWHERE)
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"


def _leaves_host(address: str) -> bool:
    try:
        return not ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
