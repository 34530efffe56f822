"""Addresses of coordinators: `wss://host:7373`, or `ws://127.0.0.1:7373` where nothing leaves the machine."""

import ipaddress
import re

from opsconsole_protocol.bound import PORT_MAX
from opsconsole_protocol.error import InvalidRequest

_LABEL_LENGTH = 63
"""Characters between two dots of a host's name."""
ADDRESS_CHARACTERS_MAX = 300
"""More than any address needs: a host's name has at most 253 characters."""
DEFAULT_PORT = 7373

_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)
_BARE_IPV6 = re.compile(r"(?:[a-z]+://)?[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*", re.IGNORECASE)


class InvalidAddress(InvalidRequest):
    """A text that is not the address of a coordinator."""


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an IP address, brackets allowed) is this machine for certain."""
    host = host.strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def normal_url(text: str) -> str:
    """`scheme://host:port` for an address in any accepted spelling. Raises InvalidAddress.

    Without a scheme it is ws:// on loopback and wss:// elsewhere; without a port, 7373.
    """
    match = _ADDRESS.fullmatch(text) if len(text) <= ADDRESS_CHARACTERS_MAX else None
    if match is None:
        raise InvalidAddress(_fault_text(text))
    host, port = match["host"].lower(), int(match["port"] or DEFAULT_PORT)
    scheme = (match["scheme"] or ("ws" if is_loopback(host) else "wss")).lower()
    if scheme not in ("ws", "wss"):
        raise InvalidAddress(f"{scheme}:// is not how a coordinator is reached: write wss://{host}:{port}")
    if scheme == "ws" and not is_loopback(host):
        raise InvalidAddress(
            f"ws:// would send secrets in the clear and is for this machine only: write wss://{host}:{port}"
        )
    if not 0 < port <= PORT_MAX:
        raise InvalidAddress(f"{port} is not a port: write a number from 1 to 65535")
    if host.startswith("["):
        _check_ipv6(host)
    elif not all(0 < len(label) <= _LABEL_LENGTH for label in host.removesuffix(".").split(".")):
        raise InvalidAddress(f"{host[:60]!r} is no host's name: between its dots stand 1 to {_LABEL_LENGTH} characters")
    return f"{scheme}://{host}:{port}"


def host_of(url: str) -> str:
    """The host in a normal url, without brackets."""
    return url.partition("://")[2].rpartition(":")[0].strip("[]")


def _check_ipv6(host: str) -> None:
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        raise InvalidAddress(f"{host} is not an IPv6 address: write it like [2001:db8::1]") from None


def _fault_text(text: str) -> str:
    if not text:
        return "the address is empty: write it like wss://host:7373"
    rest = text.partition("://")[2] if "://" in text else text
    if "@" in rest:
        return "an address holds no user or password: write it like wss://host:7373"
    if _BARE_IPV6.fullmatch(text):
        return "an IPv6 address needs brackets: write it like wss://[2001:db8::1]:7373"
    if "/" in rest or "?" in rest:
        return "an address ends after the port: write it like wss://host:7373"
    return f"{text[:60]!r} is not the address of a coordinator: write it like wss://host:7373"
