"""What happens to attempts when time passes: deadlines, and fences, which count from the last contact with the coordinator."""

from opsconsole_agent.core.deadline import Deadlines
from opsconsole_agent.core.local_attempt import LocalAttempt
from opsconsole_agent.core.phase import LIVE
from opsconsole_protocol.ids import AttemptId


class TimeWatch:
    """Times in Unix milliseconds, the worker's clock. `last_contact_ms`: when the coordinator was last heard."""

    def __init__(self) -> None:
        self.last_contact_ms: int | None = None
        self._deadlines = Deadlines()
        self._fences: dict[AttemptId, int] = {}

    def wake(self, attempt_id: AttemptId, at_ms: int | None) -> None:
        """Set its one deadline; None takes it away."""
        self._deadlines.set(attempt_id, at_ms)

    def follow(self, attempt: LocalAttempt) -> None:
        """Set what a live attempt waits for: KILL if it is being stopped, else its time-out and its fence."""
        if attempt.phase not in LIVE:
            return
        if attempt.stop is not None:
            self._fences.pop(attempt.attempt_id, None)
            if not attempt.was_killed:
                self._deadlines.set(attempt.attempt_id, attempt.stop.at_ms + attempt.stop.grace_ms)
            return
        self._deadlines.set(attempt.attempt_id, attempt.timeout_due_ms)
        if attempt.launch is not None and attempt.launch.fence_after_ms is not None:
            self._fences[attempt.attempt_id] = attempt.launch.fence_after_ms

    def drop(self, attempt_id: AttemptId) -> None:
        """Take its deadline and its fence away."""
        self._deadlines.set(attempt_id, None)
        self._fences.pop(attempt_id, None)

    def due(self, now_ms: int) -> list[AttemptId]:
        """The attempts whose deadline has come; they have none any more."""
        return self._deadlines.due(now_ms)

    def fenced(self, now_ms: int) -> list[tuple[AttemptId, int]]:
        """The attempts whose fence has come, each with the milliseconds without contact that it allows."""
        if self.last_contact_ms is None:
            return []
        silent_ms = now_ms - self.last_contact_ms
        return [(attempt_id, after_ms) for attempt_id, after_ms in self._fences.items() if silent_ms >= after_ms]

    @property
    def next_ms(self) -> int | None:
        """When the next deadline or fence comes; None where there is none."""
        times = [] if self._deadlines.next_ms is None else [self._deadlines.next_ms]
        if self._fences and self.last_contact_ms is not None:
            times.append(self.last_contact_ms + min(self._fences.values()))
        return min(times, default=None)

    def shift(self, delta_ms: int, now_ms: int) -> None:
        """Move all times by `delta_ms`, as the clock was: what was to come in a minute still does."""
        self.last_contact_ms = now_ms if self.last_contact_ms is None else self.last_contact_ms + delta_ms
        self._deadlines.shift(delta_ms)
