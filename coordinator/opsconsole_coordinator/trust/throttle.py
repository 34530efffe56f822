"""How many wrong secrets an address may present: a bucket that a failure empties by one and time fills again.

Secrets are 256 random bits and can't be guessed anyway; this keeps a misconfigured or hostile peer from turning its
attempts into load. It is a bucket and not a ban, so that an agent that retries a revoked credential now and then doesn't
shut out the others behind the same NAT. Loopback is exempt: everybody on the machine shares that address, and anybody
could lock its operator out.
"""

import ipaddress
from collections import OrderedDict

from opsconsole_protocol.trust.address import is_loopback

BURST = 20
REFILL_MS = 2_000


class Throttle:
    """Failures per address, the oldest forgotten when there are too many addresses. The clock is handed in."""

    def __init__(self, *, burst: int = BURST, refill_ms: int = REFILL_MS, addresses_max: int = 4_096) -> None:
        """Allow `burst` failures at once and one more every `refill_ms`; remember `addresses_max` addresses."""
        self._burst = burst
        self._refill_ms = refill_ms
        self._addresses_max = addresses_max
        self._full_at_ms: OrderedDict[str, int] = OrderedDict()
        """When the bucket of an address is full again: the whole state of a bucket in one number."""

    def __len__(self) -> int:
        return len(self._full_at_ms)

    def failed(self, address: str, now_ms: int) -> None:
        """Count a wrong secret."""
        key = _key(address)
        if is_loopback(key):
            return
        self._full_at_ms[key] = max(self._full_at_ms.get(key, 0), now_ms) + self._refill_ms
        self._full_at_ms.move_to_end(key)
        if len(self._full_at_ms) > self._addresses_max:
            self._full_at_ms.popitem(last=False)

    def wait_ms(self, address: str, now_ms: int) -> int:
        """How long `address` has to wait before it may try again; 0 if it needn't."""
        full_at_ms = self._full_at_ms.get(_key(address), 0)
        return max(0, full_at_ms - now_ms - (self._burst - 1) * self._refill_ms)


def _key(address: str) -> str:
    """What counts as one address: an IPv4 address, also a mapped one, or the /64 of an IPv6 address, which one host has to itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.is_loopback:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
