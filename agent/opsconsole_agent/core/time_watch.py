"""When something is to happen to an attempt though nobody says anything: its time is up, or its coordinator was silent too long."""

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
        """Nothing is to happen to it any more."""
        self._deadlines.set(attempt_id, None)
        self._fences.pop(attempt_id, None)

    def due(self, now_ms: int) -> list[AttemptId]:
        """Whose deadline has come; it is taken away from them."""
        return self._deadlines.due(now_ms)

    def fenced(self, now_ms: int) -> list[tuple[AttemptId, int]]:
        """Who is to be stopped because the coordinator was silent for so many milliseconds."""
        if self.last_contact_ms is None:
            return []
        silent_ms = now_ms - self.last_contact_ms
        return [(attempt_id, after_ms) for attempt_id, after_ms in self._fences.items() if silent_ms >= after_ms]

    @property
    def next_ms(self) -> int | None:
        """When `due` or `fenced` may have something to say; None while nothing waits for time to pass."""
        times = [] if self._deadlines.next_ms is None else [self._deadlines.next_ms]
        if self._fences and self.last_contact_ms is not None:
            times.append(self.last_contact_ms + min(self._fences.values()))
        return min(times, default=None)

    def shift(self, delta_ms: int, now_ms: int) -> None:
        """The clock was moved by so much: what was to come in a minute still does."""
        self.last_contact_ms = now_ms if self.last_contact_ms is None else self.last_contact_ms + delta_ms
        self._deadlines.shift(delta_ms)
