"""What earlier lives left: specs that an agent wrote down, attempts and exits that an engine knows of.

What is found does nothing on its own: it waits, or goes on, until the coordinator says what it wants of it.
"""

from opsconsole_agent.core.attempt_set import AttemptSet
from opsconsole_agent.core.effect import ForgetAttempt, Kill, Terminate
from opsconsole_agent.core.event import AttemptExited, EngineHello, FoundAttempt, IntentsFound
from opsconsole_agent.core.intent import Intent
from opsconsole_agent.core.lifecycle import Lifecycle
from opsconsole_agent.core.local_attempt import LocalAttempt, recovered
from opsconsole_agent.core.phase import LIVE, OVER, Move, Phase
from opsconsole_agent.core.slot import NO_GPUS, Slots, claim_of
from opsconsole_protocol.ids import AttemptId


class Recovery:
    """Takes over what is found, into the lives that `lifecycle` leads. `engine`: the one that this agent has."""

    def __init__(self, attempts: AttemptSet, slots: Slots, lifecycle: Lifecycle, engine: str) -> None:
        self._attempts = attempts
        self._slots = slots
        self._lifecycle = lifecycle
        self._engine = engine

    def intents_found(self, event: IntentsFound, now_ms: int) -> None:
        """Attempts that an earlier life of the agent wrote down; whether they live is for their engine to say."""
        for intent in event.intents:
            self._recover(intent, now_ms)
        for attempt_id, why in event.damaged:
            attempt = LocalAttempt(
                attempt_id, None, self._engine, phase=Phase.STARTING, may_have_started=True, damage=why
            )
            attempt.add_to_story(now_ms, f"found on disk, damaged: {why}")
            self._attempts.add(attempt)
            self._slots.take(attempt_id, NO_GPUS)

    def _recover(self, intent: Intent, now_ms: int) -> None:
        attempt = self._attempts.add(recovered(intent))
        attempt.add_to_story(now_ms, "found on disk")
        if attempt.phase is not Phase.STARTING:
            attempt.engine = self._engine
            return
        self._slots.take(attempt.attempt_id, claim_of(attempt.launch))
        if attempt.engine != self._engine:
            attempt.is_foreign = True
            attempt.is_paused = attempt.paused_at_ms is not None
            attempt.reason = (
                f"started by the engine {attempt.engine}, which this agent doesn't have: it is left as it is"
            )

    def engine_reached(self, event: EngineHello, now_ms: int) -> None:
        """All that an engine knows of what lives and what has ended."""
        for found in event.live:
            self._adopt(found, event.engine, now_ms)
        for exited in event.exits:
            attempt = self._attempts.get(exited.attempt_id)
            if attempt is None:
                self._attempts.effects.append(ForgetAttempt(exited.attempt_id, clean=False))
            elif attempt.phase not in OVER:
                self._lifecycle.exited(attempt, exited, now_ms)
        mentioned = {found.attempt_id for found in event.live} | {exited.attempt_id for exited in event.exits}
        for attempt in self._attempts:
            should_live = attempt.phase is Phase.STARTING or attempt.phase in LIVE
            if should_live and attempt.attempt_id not in mentioned and attempt.engine == event.engine:
                self._end_missing(attempt, event, now_ms)

    def _adopt(self, found: FoundAttempt, engine: str, now_ms: int) -> None:
        attempt = self._attempts.get(found.attempt_id)
        if attempt is None:
            attempt = self._attempts.add(LocalAttempt(found.attempt_id, None, engine))
        if attempt.phase in OVER:
            self._attempts.effects.append(Kill(attempt.attempt_id))  # we took it for dead, and said so
            return
        if not self._slots.holds(attempt.attempt_id):
            self._slots.take(attempt.attempt_id, claim_of(attempt.launch))
        is_new = attempt.phase not in LIVE
        if is_new:
            attempt.move(Move.FOUND_ALIVE, now_ms)
            attempt.may_have_started = True
            attempt.is_paused = attempt.paused_at_ms is not None  # as it was written down
        self._lifecycle.note_paused(attempt, found.is_paused, now_ms, now_ms)
        if is_new:
            self._lifecycle.enter_life(attempt, found.started_at_ms, now_ms)
        if attempt.stop is not None:
            # The engine before this one may have been asked, and asks each attempt only once.
            self._attempts.effects.append(Terminate(attempt.attempt_id, attempt.stop.grace_ms))
        self._lifecycle.reconcile(attempt, now_ms)

    def _end_missing(self, attempt: LocalAttempt, event: EngineHello, now_ms: int) -> None:
        """Its engine neither has it nor saw it end."""
        attempt_id: AttemptId = attempt.attempt_id
        is_unstarted = attempt_id in event.unstarted and attempt.phase is Phase.STARTING
        if is_unstarted and not attempt.damage and attempt.stop is None:
            self._lifecycle.wait_again(attempt, "its engine was never asked to start it", now_ms)
            return
        attempt.is_unrecorded = True
        is_lost_with_host = attempt_id in event.lost_with_host
        why = (
            "the host restarted" if is_lost_with_host else attempt.damage or "its keeper has no record of how it ended"
        )
        exited = AttemptExited(
            attempt_id=attempt_id, at_ms=now_ms, exit_known=False, error=why, host_restarted=is_lost_with_host
        )
        self._lifecycle.exited(attempt, exited, now_ms)
