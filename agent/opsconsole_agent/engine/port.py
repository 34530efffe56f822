"""Free TCP ports for tasks that ask for them by name."""

import errno
import random
import re
import socket
from collections.abc import Collection, Iterable
from pathlib import Path

from opsconsole_protocol.error import InvalidRequest, LimitExceeded, Unavailable

FIRST_PORT, LAST_PORT = 20_000, 60_999

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class PortTaken(Unavailable):
    """A port that was chosen before the preparation is no longer free."""


def allocate_ports(names: Iterable[str], taken: Collection[int] = (), first: int | None = None) -> dict[str, int]:
    """Return a free port for each name, all different and none of `taken` (ports promised to other tasks).

    `first`: the port that was chosen for the first name before. A port is free if nothing listens on it on any address, IPv4
    or IPv6. It isn't held: the task may find it taken after all, and is then started again with others. So ports are picked
    at random, and outside the range that the kernel takes for outgoing connections. Raises InvalidRequest for a name that
    can't be part of an environment variable, LimitExceeded if no port is free, PortTaken if `first` isn't.
    """
    wanted = list(names)
    for name in wanted:
        if _NAME.fullmatch(name) is None:
            raise InvalidRequest(f"{name[:80]!r} can't name a port: use letters, digits and underscores")
    if len({name.upper() for name in wanted}) < len(wanted):
        raise InvalidRequest(f"port names must differ by more than their case: {', '.join(wanted)}"[:200])
    if not wanted:
        return {}
    ports: dict[str, int] = {}
    if first is not None:
        if first in taken or not _is_free(first):
            raise PortTaken(f"port {first}, chosen for {wanted[0]}, was taken by another program before the start")
        ports[wanted[0]] = first
        taken = {*taken, first}
    if len(ports) == len(wanted):
        return ports
    for port in _candidates(taken):
        if _is_free(port):
            ports[wanted[len(ports)]] = port
            if len(ports) == len(wanted):
                return ports
    raise LimitExceeded(f"only {len(ports)} of {len(wanted)} TCP ports are free on this host: end some listeners")


def is_listened_on(port: int) -> bool:
    """Whether a program listens on it at the moment, on any address."""
    return not _is_free(port, reuse=True)


def _candidates(taken: Collection[int]) -> Iterable[int]:
    low, high = _ephemeral_range()
    outside = [port for port in range(FIRST_PORT, LAST_PORT + 1) if not low <= port <= high and port not in taken]
    inside = [port for port in range(FIRST_PORT, LAST_PORT + 1) if low <= port <= high and port not in taken]
    for ports in (outside, inside):
        start = random.randrange(len(ports)) if ports else 0  # noqa: S311 – to spread, not to hide
        yield from ports[start:]
        yield from ports[:start]


def _ephemeral_range() -> tuple[int, int]:
    try:
        low, high = _EPHEMERAL_RANGE.read_text(encoding="ascii").split()
        return int(low), int(high)
    except (OSError, ValueError):
        return 32_768, 60_999


def _is_free(port: int, *, reuse: bool = False) -> bool:
    """Whether it can be bound on every address. With `reuse`, connections that have ended are no obstacle."""
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):  # noqa: S104 – bound, never listened on
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if reuse:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as error:
            if family == socket.AF_INET6 and _has_no_ipv6(error):
                continue
            return False
    return True


def _has_no_ipv6(error: OSError) -> bool:
    return error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
