"""Room that is kept for who is next in line, and used meanwhile: what was let in has left when that job is expected to start.

Knows the recorded decisions and what lives on the hosts, and shares no code with what decides.
"""

from collections.abc import Callable, Mapping

from opsconsole_coordinator.core.model import Attempt
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.spec import JobSpec
from tests.simulation.rule import Require
from tests.simulation.virtual import Loop


class Backfills:
    """`lives` says whether the process of an attempt does; `is_calm` whether nothing has gone wrong so far, and nobody has acted."""

    def __init__(self, require: Require, loop: Loop, lives: Callable[[Attempt], bool]) -> None:
        self._require = require
        self._loop = loop
        self._lives = lives
        self.specs: Mapping[JobId, JobSpec] = {}
        self.is_calm: Callable[[], bool] = lambda: False
        self.epoch_ms = 0
        """What the coordinator's clock shows at the beginning."""

    def assigned(self, attempt: Attempt) -> None:
        """A decision is recorded: the time-out of a task is to end it before the room is needed."""
        if not attempt.fills_until_ms or self.specs[attempt.job_id].timeout_ms is None:
            return  # of a guess nothing is promised
        left_ms = attempt.fills_until_ms - self.epoch_ms - self._loop.now_ms
        self._loop.at(left_ms, lambda: self._look(attempt))

    def _look(self, attempt: Attempt) -> None:
        is_paused = attempt.want.mode is Mode.PAUSE
        if self.is_calm() and not is_paused:
            text = (
                f"{attempt.id} still has room on {attempt.worker_name} that was needed from {attempt.fills_until_ms} on"
            )
            self._require(not self._lives(attempt), "backfill delays nobody", text)
