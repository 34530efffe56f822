"""What goes wrong in a fleet, when, and for how long; a seed makes the schedule."""

import heapq
import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.chaos.checker import KeeperDeath
from tests.chaos.fleet import COORDINATOR, Fleet
from tests.chaos.proxy import DOWN, UP

KILLS = ("kill", "kill_coordinator", "kill_on_answer")
HANGS = ("freeze", "freeze_coordinator", "freeze_keeper")
NETWORK = ("cut", "half_open", "stall", "slow")
KEEPERS = ("kill_keeper",)

Undo = Callable[[], None]


@dataclass(frozen=True)
class Strike:
    """`how` names one of Nemesis's ways; `name` is the agent whose part is struck; `for_s` where that means anything."""

    at_s: float
    how: str
    name: str
    for_s: float


def plan(seed: int, agents: Iterable[str], hows: Iterable[str], *, over_s: float, every_s: float) -> list[Strike]:
    """A schedule of strikes; any number of parts may be down at once."""
    rng = random.Random(f"strikes {seed}")  # noqa: S311 – chance that repeats itself
    names, ways = list(agents), list(hows)
    strikes, at_s = list[Strike](), rng.uniform(0.2, 1.0)
    while at_s < over_s:
        for_s = rng.choice((0.0, rng.uniform(0, 1.5)))
        strikes.append(Strike(at_s, rng.choice(ways), rng.choice(names), for_s))
        at_s += rng.uniform(0.05, 2 * every_s)
    return strikes


class Nemesis:
    """Strikes a fleet. Whatever it does it undoes."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lab = fleet.lab
        self._down: set[str] = set()
        self._stopped_ms: dict[str, int] = {}
        """Since when a keeper has been stopped."""

    def strike(self, strikes: Iterable[Strike]) -> None:
        """Carry out a schedule; afterwards everything is up, and nothing has ended but by our hand."""
        began_s = time.monotonic()
        due: list[tuple[float, int, Strike | Undo]] = []
        for number, planned in enumerate(strikes):
            heapq.heappush(due, (planned.at_s, number, planned))
        while due:
            at_s, number, what = heapq.heappop(due)
            time.sleep(max(0.0, began_s + at_s - time.monotonic()))
            if not isinstance(what, Strike):
                what()
                continue
            self._fleet.say(f"{what.how} {what.name} for {what.for_s:.1f} s")
            undo: Undo | None = getattr(self, f"_{what.how}")(what.name)
            if undo is not None:
                heapq.heappush(due, (at_s + what.for_s, number + 1_000_000, undo))
        self._fleet.check_alive()

    # --- processes -------------------------------------------------------------------------------------------------

    def _kill(self, part: str) -> Undo | None:
        if part in self._down:
            return None
        self._fleet.check_alive(part)
        self._lab.kill(self._lab.processes[part])
        self._down.add(part)

        def start() -> None:
            self._fleet.say(f"start {part}")
            self._fleet.start(part)
            self._down.remove(part)

        return start

    def _kill_coordinator(self, _: str) -> Undo | None:
        return self._kill(COORDINATOR)

    def _kill_on_answer(self, _: str) -> Undo | None:
        """The coordinator dies the moment it has acknowledged something, or a little later where nobody asks."""
        if COORDINATOR in self._down:
            return None
        self._fleet.check_alive(COORDINATOR)
        self._down.add(COORDINATOR)
        process, operators = self._lab.processes[COORDINATOR], self._fleet.operators
        operators.on_answer = process.kill

        def start() -> None:
            operators.on_answer = lambda: None
            self._lab.kill(process)
            self._down.remove(COORDINATOR)
            self._fleet.start(COORDINATOR)

        return start

    def _freeze(self, part: str) -> Undo:
        """It hangs: its connections stand, and nothing comes. Whoever was killed and started meanwhile isn't hurt by CONT."""
        self._signal(part, signal.SIGSTOP)
        return lambda: self._signal(part, signal.SIGCONT)

    def _freeze_coordinator(self, _: str) -> Undo:
        return self._freeze(COORDINATOR)

    def _signal(self, part: str, number: int) -> None:
        if part not in self._down:
            self._lab.processes[part].send_signal(number)

    def _kill_keeper(self, name: str) -> None:
        now_ms = time.time_ns() // 1_000_000
        self._fleet.keepers_killed.append(KeeperDeath(name, self._stopped_ms.get(name, now_ms), now_ms))
        for keeper in self._lab.keepers(name):
            keeper.kill()

    def _freeze_keeper(self, name: str) -> Undo:
        frozen = self._lab.keepers(name)
        self._stopped_ms.setdefault(name, time.time_ns() // 1_000_000)
        for keeper in frozen:
            keeper.signal(signal.SIGSTOP)

        def thaw() -> None:
            self._stopped_ms.pop(name, None)
            for keeper in frozen:
                keeper.signal(signal.SIGCONT)

        return thaw

    # --- networks --------------------------------------------------------------------------------------------------

    def _cut(self, name: str) -> None:
        self._fleet.proxies[name].cut()

    def _half_open(self, name: str) -> None:
        self._fleet.proxies[name].half_open("agent")

    def _stall(self, name: str) -> Undo:
        proxy = self._fleet.proxies[name]
        proxy.stall(*random.Random(name + str(proxy.accepted)).choice(((UP,), (DOWN,), (UP, DOWN))))  # noqa: S311
        return proxy.heal

    def _slow(self, name: str) -> Undo:
        proxy = self._fleet.proxies[name]
        proxy.slow(0.3, bytes_per_s=50_000)
        return lambda: proxy.slow(0.0)
