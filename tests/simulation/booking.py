"""What of workers is reserved: nobody else is placed there, and in a window of maintenance nothing is let go on.

Knows what was asked for and what is committed, and shares no code with what decides.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from opsconsole_coordinator.core.model import Attempt
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Mode
from tests.simulation.rule import Require

_SLACK_MS = 3_000
"""What was decided before it began may be committed so much later."""
LOOK_EVERY_MS = 4_000
_LOOKS = 3
"""How often in a row an attempt may be seen that nobody has told to end."""


class Booking(NamedTuple):
    """A worker that is for nobody who has jobs here."""

    worker: str
    from_ms: int
    until_ms: int
    maintenance: bool


class Bookings:
    """`live` gives what is committed and hasn't ended."""

    def __init__(self, require: Require, clock: Callable[[], int], live: Callable[[], Iterable[Attempt]]) -> None:
        self._require = require
        self._clock = clock
        self._live = live
        self._known: list[Booking] = []
        self.may_empty = False
        """Maintenance was asked for, in which what may not be run again is ended."""
        self._seen: Counter[AttemptId] = Counter()

    def acknowledged(self, booking: Booking) -> None:
        """From now on nobody is placed there while it is in force."""
        self._known.append(booking)

    def _in_force(self) -> Iterable[Booking]:
        now_ms = self._clock()
        return (one for one in self._known if one.from_ms + _SLACK_MS <= now_ms < one.until_ms)

    def check_assigned(self, new: Iterable[Attempt]) -> None:
        """What one transaction assigned."""
        reserved = {one.worker for one in self._in_force()}
        for attempt in new if reserved else ():
            is_free = attempt.worker_name not in reserved
            self._require(is_free, "what is reserved is kept", f"{attempt.id} assigned to {attempt.worker_name}")

    def look(self) -> None:
        """A coordinator is up: what it lets go on in a window of maintenance it was never told to end."""
        closed = {one.worker for one in self._in_force() if one.maintenance}
        running = [one.id for one in self._live() if one.worker_name in closed and one.want.mode is Mode.RUN]
        self._seen = Counter({one: self._seen[one] + 1 for one in running})
        for one, looks in self._seen.items():
            self._require(looks < _LOOKS, "maintenance is kept", f"{one} goes on in a window of maintenance")
