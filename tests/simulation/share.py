"""What people may have of the fleet: limits are kept by every assignment, and weights decide who gets how much.

Knows what was asked for and what is committed, and shares no code with what decides.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from opsconsole_coordinator.core.model import Attempt
from opsconsole_protocol.ids import AttemptId, JobId
from opsconsole_protocol.share import ShareChange
from tests.gpu_rule import GPU_MEMORY_MB
from tests.simulation.rule import Require

PART = (1.5, 2.7)
"""Between these is how many times as much a person with weight 2 has as one with 1."""
_TASKS_MIN = 40
"""What fewer tasks had says nothing."""


class Shares:
    """`people` says who submits which job."""

    def __init__(self, people: Mapping[JobId, str], require: Require, clock: Callable[[], int]) -> None:
        self._people = people
        self._require = require
        self._clock = clock
        self._limits: dict[str, ShareChange] = {}
        """Those that were acknowledged, by person."""
        self._began: dict[AttemptId, tuple[str, int]] = {}
        """Whose each live attempt is, and since when."""
        self._had_ms: Counter[str] = Counter()
        self._ended = 0

    def acknowledged(self, person: str, change: ShareChange) -> None:
        """From now on a person may have no more than this."""
        self._limits[person] = change

    def lifted(self) -> None:
        """All limits are about to be lifted, or nobody knows which there are."""
        self._limits.clear()

    def note(self, before: Attempt | None, attempt: Attempt) -> None:
        """An attempt is committed as it is now."""
        if before is None and not attempt.is_finished:
            self._began[attempt.id] = self._people[attempt.job_id], self._clock()
        elif attempt.is_finished and attempt.id in self._began:
            person, began_ms = self._began.pop(attempt.id)
            self._had_ms[person] += self._clock() - began_ms
            self._ended += 1

    def check_assigned(self, new: Iterable[Attempt], live: Iterable[Attempt]) -> None:
        """After a transaction that assigned `new`: nobody who was given something more has more than they may."""
        given = {self._people[one.job_id] for one in new} & self._limits.keys()
        if not given:
            return
        held: dict[str, dict[str, float]] = {person: {"tasks": 0, "gpus": 0} for person in given}
        for one in live:
            gpus = len(one.gpu_ids) * (one.share_mb / GPU_MEMORY_MB if one.share_mb else 1)
            if (counts := held.get(self._people[one.job_id])) is not None:
                counts["tasks"] += 1
                counts["gpus"] += gpus
        for person, counts in held.items():
            for key, has in counts.items():
                most = getattr(self._limits[person], key)
                if most is not None:
                    self._require(has <= most + 1e-6, "limits", f"{person} has {has} {key} and may have {most}")

    def check_parts(self, heavy: str, light: str) -> None:
        """While both had work all the time: the first, with weight 2, had about twice as much as the other."""
        if self._ended < _TASKS_MIN:
            return
        had = Counter(self._had_ms)
        for person, began_ms in self._began.values():
            had[person] += self._clock() - began_ms
        ratio = had[heavy] / max(1, had[light])
        text = f"{heavy}, of weight 2, had {ratio:.2f} times as much as {light}"
        self._require(PART[0] <= ratio <= PART[1], "weights", text)
