"""How many connections are open at a time, and which one is closed when one too many comes. No I/O.

A connection is anonymous until its peer has shown a secret. Anonymous connections may be a part of all only, each for a
short time. Where that part is full, the oldest of them has had the most time to show a secret, and is closed. So silent
peers keep nobody out, and a peer that has shown a secret keeps its connection.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable

ANONYMOUS_PART = 4
"""As many connections as the limit divided by this may be anonymous."""
ADDRESS_PART = 8
"""An address with more connections than the anonymous ones divided by this loses one of its own, not another's."""


class ConnectionLimit:
    """Admits `limit` connections in all."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._anonymous: OrderedDict[Hashable, tuple[str, Callable[[], None]]] = OrderedDict()
        self._authenticated: set[Hashable] = set()
        self._by_address: Counter[str] = Counter()

    @property
    def anonymous_max(self) -> int:
        """How many connections may be anonymous."""
        return max(1, self.limit // ANONYMOUS_PART)

    def __len__(self) -> int:
        return len(self._anonymous) + len(self._authenticated)

    def admit(self, who: Hashable, address: str, end: Callable[[], None]) -> bool:
        """Count a new connection in; an anonymous one before it is ended by its `end` where there is no room.

        Returns False, and counts nothing, where authenticated peers have all connections.
        """
        is_full = len(self) >= self.limit
        if is_full and not self._anonymous:
            return False
        if is_full or len(self._anonymous) >= self.anonymous_max:
            self._evict(address)
        self._anonymous[who] = (address, end)
        self._by_address[address] += 1
        return True

    def authenticate(self, who: Hashable) -> None:
        """The peer has shown a secret."""
        if who in self._anonymous:
            self._forget_anonymous(who)
            self._authenticated.add(who)

    def is_anonymous(self, who: Hashable) -> bool:
        """Whether the connection is open and its peer has shown no secret yet."""
        return who in self._anonymous

    def release(self, who: Hashable) -> None:
        """The connection is closed."""
        self._authenticated.discard(who)
        if who in self._anonymous:
            self._forget_anonymous(who)

    def _evict(self, address: str) -> None:
        many = max(1, self.anonymous_max // ADDRESS_PART)
        own = (one for one, (where, _) in self._anonymous.items() if where == address)
        is_greedy = self._by_address[address] > many
        who = next(own) if is_greedy else next(iter(self._anonymous))
        _, end = self._anonymous[who]
        self._forget_anonymous(who)
        end()

    def _forget_anonymous(self, who: Hashable) -> None:
        address, _ = self._anonymous.pop(who)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
