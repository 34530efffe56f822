"""The places of a coordinator's port: who has one, and who gives theirs up for whom. No I/O.

Whoever has shown no secret yet is a stranger. Strangers have a part of the places only, each for a short time; where
that part is full, the one who came first has had the most time to say something, and goes. So nobody keeps out by
silence those who speak, and those who are known keep theirs.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable

STRANGERS_PART = 4
"""One place in so many may be a stranger's."""
FAIR_PART = 8
"""Of an address that has more than one in so many of the strangers' places, one of its own goes first."""


class Places:
    """`limit` places in all."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._strangers: OrderedDict[Hashable, tuple[str, Callable[[], None]]] = OrderedDict()
        self._known: set[Hashable] = set()
        self._by_address: Counter[str] = Counter()

    @property
    def strangers_max(self) -> int:
        """How many of the places strangers may have."""
        return max(1, self.limit // STRANGERS_PART)

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def take(self, who: Hashable, address: str, end: Callable[[], None]) -> bool:
        """A stranger comes; one before it is ended by its `end` if there is no room else. False: all places are taken
        by those who are known."""
        is_full = len(self) >= self.limit
        if is_full and not self._strangers:
            return False
        if is_full or len(self._strangers) >= self.strangers_max:
            self._end_one(address)
        self._strangers[who] = (address, end)
        self._by_address[address] += 1
        return True

    def know(self, who: Hashable) -> None:
        """It has shown a secret."""
        if who in self._strangers:
            self._forget_stranger(who)
            self._known.add(who)

    def is_stranger(self, who: Hashable) -> bool:
        """Whether it has a place, and has shown no secret yet."""
        return who in self._strangers

    def leave(self, who: Hashable) -> None:
        """It is gone."""
        self._known.discard(who)
        if who in self._strangers:
            self._forget_stranger(who)

    def _end_one(self, address: str) -> None:
        many = max(1, self.strangers_max // FAIR_PART)
        own = (one for one, (where, _) in self._strangers.items() if where == address)
        is_greedy = self._by_address[address] > many
        who = next(own) if is_greedy else next(iter(self._strangers))
        _, end = self._strangers[who]
        self._forget_stranger(who)
        end()

    def _forget_stranger(self, who: Hashable) -> None:
        address, _ = self._strangers.pop(who)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
