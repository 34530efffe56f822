"""The address at which other hosts reach this one."""

import ipaddress
import socket

_ELSEWHERE = ("192.0.2.1", 9)
"""An address that no host has (RFC 5737). The kernel chooses a route to it, and nothing is sent."""


def reachable_address(own: str) -> str:
    """Return `own`, this host's address on a connection; if that is a loopback address, the one that it uses to others.

    127.0.0.1 where the host has no route to others.
    """
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
