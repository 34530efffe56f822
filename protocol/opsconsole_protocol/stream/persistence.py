"""How long a transfer goes on when its streams die: as long as it gets ahead, and a few times more."""

from dataclasses import dataclass

PROGRESS_BYTES = 4 << 20
"""A stream that moved less before it died has brought nobody further."""
TRIES_WITHOUT_PROGRESS_MAX = 10
"""Some two minutes in all: a coordinator that is restarted is back by then."""
TRIES_MAX = 1_000
FIRST_DELAY_S = 0.5
_DELAY_S = 30.0


@dataclass(slots=True)
class Persistence:
    """Counts the streams of one transfer that died, and says how long to wait before the next."""

    tries: int = 0
    in_vain: int = 0
    """In a row, without progress."""

    def lost(self, moved_bytes: int) -> float | None:
        """A stream has died after `moved_bytes`, or none came about: seconds to wait before the next, or None to give up."""
        self.tries += 1
        self.in_vain = 1 if moved_bytes >= PROGRESS_BYTES else self.in_vain + 1
        if self.tries >= TRIES_MAX or self.in_vain >= TRIES_WITHOUT_PROGRESS_MAX:
            return None
        return min(FIRST_DELAY_S * (1 << (self.in_vain - 1)), _DELAY_S)
