"""All attempts that exist on this worker, and what is to be done about them and reported of them."""

from collections.abc import Iterator
from typing import Protocol

from opsconsole_agent.core.effect import Effect, NoteFault, PersistIntent
from opsconsole_agent.core.local_attempt import LocalAttempt
from opsconsole_agent.core.phase import Move
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Observed


class AttemptEvent(Protocol):
    """An event of one attempt."""

    @property
    def attempt_id(self) -> AttemptId:
        """Whose event it is."""


class AttemptSet:
    """`effects` collects what is to be done, `changed` whose observed state changed since the last report."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.changed: dict[AttemptId, LocalAttempt] = {}
        self._by_id: dict[AttemptId, LocalAttempt] = {}

    def __iter__(self) -> Iterator[LocalAttempt]:
        """Iterates over a copy: attempts may be added and removed meanwhile."""
        return iter(tuple(self._by_id.values()))

    def get(self, attempt_id: AttemptId) -> LocalAttempt | None:
        """The attempt of this id, if it exists here."""
        return self._by_id.get(attempt_id)

    def of(self, event: AttemptEvent) -> LocalAttempt:
        """The attempt whose event it is; raises IllegalTransition where it doesn't exist here."""
        attempt = self._by_id.get(event.attempt_id)
        if attempt is None:
            raise IllegalTransition(f"{type(event).__name__} for {event.attempt_id}, which isn't here")
        return attempt

    def add(self, attempt: LocalAttempt) -> LocalAttempt:
        """Have it exist here; returns it."""
        self._by_id[attempt.attempt_id] = attempt
        return attempt

    def remove(self, attempt_id: AttemptId) -> None:
        """Have it exist here no more."""
        del self._by_id[attempt_id]
        self.changed.pop(attempt_id, None)

    def observed(self) -> tuple[Observed, ...]:
        """Everything that exists here, as it is reported."""
        return tuple(attempt.observed() for attempt in self._by_id.values())

    def decide(self, attempt: LocalAttempt, move: Move, now_ms: int, detail: str = "") -> bool:
        """Make a move that we decided on. Where it is illegal this is false, the fault is noted, and nothing has changed."""
        try:
            attempt.move(move, now_ms, detail)
        except IllegalTransition as error:
            self.effects.append(NoteFault(attempt.attempt_id, error.message))
            return False
        return True

    def persist(self, attempt: LocalAttempt) -> None:
        """Have it written down."""
        attempt.is_written = True
        self.effects.append(PersistIntent(attempt.intent()))

    def report(self, attempt: LocalAttempt) -> None:
        """Have its observed state reported."""
        self.changed[attempt.attempt_id] = attempt

    def publish(self, attempt: LocalAttempt) -> None:
        """Have it written down and reported: what was reported must not vanish in a restart."""
        self.persist(attempt)
        self.report(attempt)

    def explain(self, attempt: LocalAttempt, reason: str) -> None:
        """Note why it waits. That is reported only where the attempt was reported before: else the wait may be over first."""
        if attempt.reason != reason:
            attempt.reason = reason
            if attempt.is_written:
                self.report(attempt)
