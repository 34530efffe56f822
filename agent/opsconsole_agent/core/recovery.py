"""What earlier lives left: specs that an agent wrote down, processes and exits that a keeper knows of."""

from opsconsole_agent.core import effect as do
from opsconsole_agent.core import event as saw
from opsconsole_agent.core.attempt import Attempt, Phase, recovered
from opsconsole_agent.core.lifecycle import Handlers, Lifecycle


class Recovery(Lifecycle):
    """A lifecycle that also takes over what it finds.

    What is found does nothing on its own: it waits, or goes on, until the coordinator says what it wants of it.
    """

    def handlers(self) -> Handlers:
        """Which event is handled how."""
        return super().handlers() | {
            saw.IntentsFound: self._on_intents_found,
            saw.KeeperHello: self._on_keeper_hello,
        }

    def _on_intents_found(self, event: saw.IntentsFound, now_ms: int) -> None:
        for intent in event.intents:
            attempt = recovered(intent)
            attempt.tell(now_ms, "found on disk")
            self.attempts[intent.attempt_id] = attempt
            if attempt.phase is Phase.STARTING:
                self.slots.take(attempt.attempt_id, attempt.gpu_ids)
        for attempt_id, why in event.damaged:
            attempt = Attempt(attempt_id, None, phase=Phase.STARTING, released=True, damage=why)
            attempt.tell(now_ms, f"found on disk, damaged: {why}")
            self.attempts[attempt_id] = attempt
            self.slots.take(attempt_id, ())

    def _on_keeper_hello(self, event: saw.KeeperHello, now_ms: int) -> None:
        mentioned = {process.attempt_id for process in event.live} | {one.attempt_id for one in event.exits}
        for process in event.live:
            self._adopt(process, now_ms)
        for exited in event.exits:
            attempt = self.attempts.get(exited.attempt_id)
            if attempt is None:
                self.effects.append(do.ForgetAttempt(exited.attempt_id, clean=False))
            elif attempt.phase not in (Phase.EXITED, Phase.ENDED):
                self._exit(attempt, exited, now_ms)
        for attempt in list(self.attempts.values()):
            if attempt.attempt_id not in mentioned and attempt.phase in (Phase.STARTING, Phase.LIVE):
                self._miss(attempt, event, now_ms)

    def _adopt(self, process: saw.LiveProcess, now_ms: int) -> None:
        attempt = self.attempts.get(process.attempt_id)
        if attempt is None:
            attempt = self.attempts[process.attempt_id] = Attempt(process.attempt_id, None)
        if attempt.phase in (Phase.EXITED, Phase.ENDED):
            self.effects.append(do.Kill(process.attempt_id))  # we took it for dead, and said so
            return
        if not self.slots.holds(attempt.attempt_id):
            self.slots.take(attempt.attempt_id, attempt.gpu_ids)
        attempt.released = True
        attempt.frozen = attempt.frozen or attempt.paused_at_ms is not None  # as it was written down
        self._note_frozen(attempt, process.frozen, now_ms)
        if attempt.phase is not Phase.LIVE:
            self._live(attempt, process.started_at_ms, now_ms)
        if attempt.stop is not None:
            # Keepers ask each process only once.
            self.effects.append(do.Terminate(attempt.attempt_id, attempt.stop.grace_ms))
        self._settle(attempt, now_ms)

    def _miss(self, attempt: Attempt, event: saw.KeeperHello, now_ms: int) -> None:
        """The keeper neither has it nor saw it end."""
        is_unstarted = attempt.attempt_id in event.unstarted
        if attempt.phase is Phase.STARTING and is_unstarted and not attempt.damage:
            self._stand_back(attempt, "the keeper was never asked to start it", now_ms)
            return
        attempt.unrecorded = True
        is_outlived = attempt.attempt_id in event.outlived
        why = "the host restarted" if is_outlived else attempt.damage or "its keeper has no record of how it ended"
        exited = saw.ProcessExited(
            attempt_id=attempt.attempt_id, at_ms=now_ms, exit_known=False, error=why, host_restarted=is_outlived
        )
        self._exit(attempt, exited, now_ms)
