"""The lives of the attempts on one worker: from assignment over slot, preparation and start to a reported end.

No command is remembered as sent. After each event the attempts it touched are *reconciled*: what exists is compared with
what is wanted, and the difference is what is asked for. A slot and its GPUs are taken before preparation and given back
only when nothing of the attempt lives.
"""

import msgspec

from opsconsole_agent.core.attempt_set import AttemptSet
from opsconsole_agent.core.effect import (
    AbandonPreparation,
    AskToSave,
    FinishLog,
    ForgetAttempt,
    Kill,
    Pause,
    PrepareAttempt,
    Resume,
    StartAttempt,
    Terminate,
    WithdrawAsk,
)
from opsconsole_agent.core.ending import Ending, ending, leftover_words
from opsconsole_agent.core.event import (
    AttemptExited,
    AttemptPrepared,
    AttemptStarted,
    BuildStarted,
    LogComplete,
    OutputTooLarge,
    Paused,
    PauseFailed,
    PreparationFailed,
    Resumed,
    StartFailed,
)
from opsconsole_agent.core.intent import Stop, StopCause
from opsconsole_agent.core.local_attempt import LocalAttempt
from opsconsole_agent.core.phase import LIVE, OVER, UNSTARTED, Move, Phase
from opsconsole_agent.core.slot import Slots, claim_of
from opsconsole_agent.core.time_watch import TimeWatch
from opsconsole_protocol.end_cause import Cause, EndCause
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Mode, Observed, Want
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import AttemptState

GRACE_MS = 5_000
KILL_AGAIN_MS = 10_000
WAITING_NEWS_MS = 500
"""Small tasks wait for a slot for less than this; then neither a report nor a file is worth its cost."""

_STOPPED = "stopped by the coordinator"
_NOT_YET = "paused before it started"


class Lifecycle:
    """What becomes of the attempts of one set; times in Unix milliseconds, the worker's clock."""

    def __init__(self, attempts: AttemptSet, slots: Slots, watch: TimeWatch, engine: str) -> None:
        """`engine`: what attempts are started with."""
        self._attempts = attempts
        self._slots = slots
        self._watch = watch
        self._engine = engine

    # --- what the coordinator wants --------------------------------------------------------------------------------

    def assign(self, attempt_id: AttemptId, launch: Launch, want: Want, now_ms: int) -> None:
        """A new attempt is wanted."""
        attempt = self._attempts.add(LocalAttempt(attempt_id, launch, self._engine))
        attempt.add_to_story(now_ms, "assigned")
        self.set_want(attempt, want, now_ms)

    def refuse(self, attempt_id: AttemptId, launch: Launch, error: str, now_ms: int) -> None:
        """A new attempt is wanted and won't be run."""
        attempt = self._attempts.add(LocalAttempt(attempt_id, launch, self._engine))
        if self._attempts.decide(attempt, Move.DROP, now_ms):
            self._end_unstarted(attempt, AttemptState.WORKER_FAILED, error, EndCause.LOST, now_ms)

    def learn_launch(self, attempt: LocalAttempt, launch: Launch) -> None:
        """What an attempt is that was found without its spec."""
        attempt.launch = launch
        if self._slots.holds(attempt.attempt_id):
            self._slots.leave(attempt.attempt_id)
            self._slots.take(attempt.attempt_id, claim_of(launch))
        self._attempts.persist(attempt)
        self._watch.follow(attempt)

    def set_want(self, attempt: LocalAttempt, want: Want, now_ms: int) -> None:
        """What is wanted of an attempt changes. Nothing happens where that was wanted before, or where it is too late."""
        if attempt.phase in OVER or attempt.want == want:
            return
        attempt.want = want
        attempt.add_to_story(now_ms, f"wanted: {want.mode} {want.reason}".rstrip())
        if attempt.stop is not None and want.mode is Mode.STOP:
            self._shorten_grace(attempt, attempt.stop, want.grace_ms, now_ms)
        self.reconcile(attempt, now_ms)

    def stop_unwanted(self, attempt: LocalAttempt, now_ms: int) -> None:
        """The coordinator no longer wants an attempt at all."""
        if attempt.mode is not Mode.STOP:
            self.stop(attempt, "the coordinator no longer wants it", now_ms)

    def stop(self, attempt: LocalAttempt, reason: str, now_ms: int) -> None:
        """Want its end, with the grace that it was given."""
        self.set_want(attempt, Want(mode=Mode.STOP, reason=reason, grace_ms=_grace_ms(attempt)), now_ms)

    def forget(self, attempt: LocalAttempt, *, accepted: bool = False) -> None:
        """Its end is known elsewhere and its log is complete there; `accepted`: its result is its task's."""
        self._attempts.remove(attempt.attempt_id)
        exited = attempt.exited
        clean = exited is not None and exited.exit_known and exited.all_gone
        publish = attempt.output_path if accepted else None
        self._attempts.effects.append(ForgetAttempt(attempt.attempt_id, clean, publish, attempt.launch))

    # --- bringing what exists closer to what is wanted -------------------------------------------------------------

    def reconcile(self, attempt: LocalAttempt, now_ms: int) -> None:
        """Ask for whatever is missing between what an attempt is and what it should be."""
        want = attempt.want
        if want is None or attempt.stop is not None:
            return
        if attempt.phase in LIVE:
            self._reconcile_live(attempt, want, now_ms)
        elif attempt.phase in UNSTARTED and want.mode in (Mode.STOP, Mode.RETRACT):
            self._drop(attempt, want, now_ms)
        elif attempt.phase is Phase.WAITING and want.mode is Mode.RUN:
            self._enqueue(attempt, now_ms)
        elif attempt.phase is Phase.WAITING:
            self._slots.leave(attempt.attempt_id)
            self._attempts.explain(attempt, want.reason or _NOT_YET)
            self._attempts.publish(attempt)

    def _drop(self, attempt: LocalAttempt, want: Want, now_ms: int) -> None:
        was_preparing = attempt.phase is Phase.PREPARING
        if not self._attempts.decide(attempt, Move.DROP, now_ms):
            return
        if was_preparing:
            self._attempts.effects.append(AbandonPreparation(attempt.attempt_id))
        cause = EndCause.CANCELLED if want.mode is Mode.STOP else EndCause.RETRACTED
        self._end_unstarted(attempt, AttemptState.KILLED, want.reason or _STOPPED, cause, now_ms)

    def _reconcile_live(self, attempt: LocalAttempt, want: Want, now_ms: int) -> None:
        if want.mode is Mode.STOP:
            self._begin_stop(attempt, StopCause.WANTED, want.reason or _STOPPED, now_ms)
            return
        is_to_save = want.mode is Mode.PAUSE and want.by is PauseBy.CHECKPOINT
        self._ask_to_save(attempt, is_wanted=is_to_save)
        if want.mode is Mode.PAUSE and not is_to_save:
            if attempt.phase is Phase.RUNNING and self._attempts.decide(attempt, Move.PAUSE, now_ms):
                self._attempts.effects.append(Pause(attempt.attempt_id))
        elif attempt.phase is Phase.PAUSED and self._attempts.decide(attempt, Move.RESUME, now_ms):
            self._attempts.effects.append(Resume(attempt.attempt_id))

    def _ask_to_save(self, attempt: LocalAttempt, *, is_wanted: bool) -> None:
        """Ask once; an attempt that goes on all the same isn't to save when it looks later."""
        if attempt.is_asked_to_save is is_wanted:
            return
        attempt.is_asked_to_save = is_wanted
        signal = "" if attempt.launch is None else attempt.launch.pause_signal
        effect = AskToSave(attempt.attempt_id, signal) if is_wanted else WithdrawAsk(attempt.attempt_id)
        self._attempts.effects.append(effect)

    def _enqueue(self, attempt: LocalAttempt, now_ms: int) -> None:
        self._slots.enqueue(attempt.attempt_id, claim_of(attempt.launch))
        self._fill_slots(now_ms)
        if attempt.phase is Phase.WAITING:
            self._attempts.explain(attempt, self._slots.obstacle(claim_of(attempt.launch)))
            if not attempt.is_written:
                self._watch.wake(attempt.attempt_id, now_ms + WAITING_NEWS_MS)

    def _fill_slots(self, now_ms: int) -> None:
        admitted, passed = self._slots.admit()
        for attempt_id in admitted:
            attempt = self._attempts.get(attempt_id)
            if attempt is not None:
                self._prepare(attempt, now_ms)
        for attempt_id in passed:
            attempt = self._attempts.get(attempt_id)
            if attempt is not None:
                self._attempts.explain(attempt, self._slots.obstacle(claim_of(attempt.launch)))

    # --- from assignment to start ----------------------------------------------------------------------------------

    def _prepare(self, attempt: LocalAttempt, now_ms: int) -> None:
        if not self._attempts.decide(attempt, Move.PREPARE, now_ms):
            return
        self._watch.wake(attempt.attempt_id, None)
        attempt.reason = ""
        if attempt.launch is not None:
            self._attempts.effects.append(PrepareAttempt(attempt.attempt_id, attempt.launch))

    def build_started(self, event: BuildStarted, now_ms: int) -> None:
        """Preparing the attempt takes its time."""
        attempt = self._being_prepared(event)
        if attempt is not None:
            attempt.move(Move.BUILD_STARTED, now_ms)
            attempt.build_started_ms = event.at_ms
            self._attempts.publish(attempt)

    def prepared(self, event: AttemptPrepared, now_ms: int) -> None:
        """The attempt can be started, if it still is to be."""
        attempt = self._being_prepared(event)
        if attempt is None:
            return
        attempt.move(Move.PREPARED, now_ms)
        attempt.output_path = event.output_path
        attempt.workdir = event.workdir
        attempt.ports = event.ports
        attempt.image_tag = event.image_tag
        attempt.datasets = event.datasets
        if attempt.build_started_ms is not None:
            attempt.build_finished_ms = event.at_ms
            attempt.build_from_cache = event.from_cache
        if attempt.mode is not Mode.RUN:
            self.wait_again(attempt, _NOT_YET, now_ms)
            return
        attempt.may_have_started = True
        self._attempts.persist(attempt)
        self._attempts.effects.append(StartAttempt(attempt.attempt_id))

    def preparation_failed(self, event: PreparationFailed, now_ms: int) -> None:
        """The attempt can't be started."""
        attempt = self._being_prepared(event)
        if attempt is not None:
            state = AttemptState.WORKER_FAILED if event.again else AttemptState.FAILED
            attempt.move(Move.PREPARATION_FAILED, now_ms)
            attempt.log_sizes = event.log_sizes
            self._end_unstarted(
                attempt, state, event.error, event.cause, now_ms, worker_fault=event.worker_fault, hint=event.hint
            )

    def _being_prepared(self, event: BuildStarted | AttemptPrepared | PreparationFailed) -> LocalAttempt | None:
        """The attempt being prepared; None where its preparation was abandoned meanwhile."""
        attempt = self._attempts.get(event.attempt_id)
        return None if attempt is None or attempt.phase is Phase.ENDED else attempt

    def wait_again(self, attempt: LocalAttempt, why: str, now_ms: int) -> None:
        """It surely has not been started, and isn't going to be for now."""
        if not self._attempts.decide(attempt, Move.WAIT_AGAIN, now_ms, why):
            return
        self._slots.leave(attempt.attempt_id)
        attempt.may_have_started = False
        self.reconcile(attempt, now_ms)
        self._fill_slots(now_ms)

    def start_failed(self, event: StartFailed, now_ms: int) -> None:
        """The attempt was not started, for a reason that is the worker's own."""
        attempt = self._attempts.of(event)
        attempt.move(Move.START_FAILED, now_ms)
        cause = EndCause.NOT_STARTED
        self._end_unstarted(attempt, AttemptState.FAILED, event.error, cause, now_ms, worker_fault=True)

    def started(self, event: AttemptStarted, now_ms: int) -> None:
        """The attempt lives."""
        attempt = self._attempts.of(event)
        attempt.move(Move.STARTED, now_ms)
        self.enter_life(attempt, event.at_ms, now_ms)

    def enter_life(self, attempt: LocalAttempt, started_at_ms: int, now_ms: int) -> None:
        """The attempt has just been seen to live; a stop that an earlier life of the agent began goes on."""
        attempt.reason = ""
        if attempt.stop is not None and self._attempts.decide(attempt, Move.STOP, now_ms, attempt.stop.reason):
            attempt.reason = attempt.stop.reason
        attempt.started_at_ms = started_at_ms
        if attempt.timer_from_ms is None:
            attempt.timer_from_ms = started_at_ms
        self._attempts.report(attempt)
        self._watch.follow(attempt)
        self.reconcile(attempt, now_ms)

    # --- pause and resume ------------------------------------------------------------------------------------------

    def paused(self, event: Paused, now_ms: int) -> None:
        """Nothing of the attempt runs."""
        attempt = self._attempts.of(event)
        self.note_paused(attempt, True, event.at_ms, now_ms)
        self.reconcile(attempt, now_ms)

    def resumed(self, event: Resumed, now_ms: int) -> None:
        """The attempt runs again."""
        attempt = self._attempts.of(event)
        self.note_paused(attempt, False, event.at_ms, now_ms)
        self.reconcile(attempt, now_ms)

    def note_paused(self, attempt: LocalAttempt, is_paused: bool, at_ms: int, now_ms: int) -> None:
        """The engine says whether the attempt is paused."""
        attempt.move(Move.PAUSED if is_paused else Move.RESUMED, now_ms)
        if attempt.is_paused is is_paused:
            return
        attempt.is_paused = is_paused
        if is_paused:
            attempt.paused_at_ms = at_ms
        elif attempt.paused_at_ms is not None and attempt.timer_from_ms is not None:
            attempt.timer_from_ms += max(0, at_ms - attempt.paused_at_ms)
            attempt.paused_at_ms = None
        if attempt.stop is None:
            attempt.reason = attempt.want.reason if is_paused and attempt.want is not None else ""
            if attempt.launch is not None and attempt.launch.timeout_ms is not None:
                self._attempts.persist(attempt)  # paused time must not count after a restart either
            self._watch.follow(attempt)
        self._attempts.report(attempt)

    def pause_failed(self, event: PauseFailed, now_ms: int) -> None:
        """It is not tried again before something else is wanted."""
        attempt = self._attempts.of(event)
        attempt.move(Move.PAUSE_FAILED, now_ms, event.error)
        attempt.reason = event.error
        self._attempts.report(attempt)

    # --- to the end ------------------------------------------------------------------------------------------------

    def _begin_stop(self, attempt: LocalAttempt, cause: StopCause, reason: str, now_ms: int) -> None:
        if not self._attempts.decide(attempt, Move.STOP, now_ms, reason):
            return
        attempt.stop = Stop(cause, reason, now_ms, _grace_ms(attempt))
        attempt.reason = reason
        self._attempts.publish(attempt)
        self._attempts.effects.append(Terminate(attempt.attempt_id, attempt.stop.grace_ms))
        self._watch.follow(attempt)

    def _shorten_grace(self, attempt: LocalAttempt, stop: Stop, grace_ms: int, now_ms: int) -> None:
        """Somebody wants an end that is under way sooner."""
        if grace_ms < stop.grace_ms:
            attempt.stop = msgspec.structs.replace(stop, grace_ms=grace_ms)
            attempt.add_to_story(now_ms, f"grace is now {grace_ms} ms")
            self._watch.follow(attempt)

    def time_out(self, now_ms: int) -> None:
        """Act on every deadline that has come."""
        for attempt_id in self._watch.due(now_ms):
            attempt = self._attempts.get(attempt_id)
            if attempt is None:
                continue
            if attempt.phase is Phase.WAITING:
                self._attempts.publish(attempt)
            elif attempt.stop is not None:
                attempt.was_killed = True
                attempt.add_to_story(now_ms, "KILL")
                self._attempts.effects.append(Kill(attempt_id))
                self._watch.wake(attempt_id, now_ms + KILL_AGAIN_MS)
            elif attempt.launch is not None and attempt.launch.timeout_ms is not None:
                reason = f"timed out after {spell_duration(attempt.launch.timeout_ms)}"
                self._begin_stop(attempt, StopCause.TIMEOUT, reason, now_ms)
        for attempt_id, fence_after_ms in self._watch.fenced(now_ms):
            attempt = self._attempts.get(attempt_id)
            if attempt is not None:
                words = spell_duration(fence_after_ms)
                reason = f"stopped by its own fence: no contact with the coordinator for {words}"
                self._begin_stop(attempt, StopCause.FENCE, reason, now_ms)

    def output_too_large(self, event: OutputTooLarge, now_ms: int) -> None:
        """The attempt has written more results than one task may. One that has ended meanwhile, or is to end, is left alone."""
        attempt = self._attempts.get(event.attempt_id)
        if attempt is not None and attempt.phase in LIVE and attempt.stop is None:
            self._begin_stop(attempt, StopCause.OUTPUT, event.reason, now_ms)

    def exited(self, attempt: LocalAttempt, event: AttemptExited, now_ms: int) -> None:
        """Nothing of the attempt lives any more."""
        detail = f"code {event.exit_code}, signal {event.signal} {event.error}".rstrip()
        attempt.move(Move.EXITED, now_ms, detail)
        self._release(attempt)
        attempt.may_have_started = True
        attempt.exited = event
        if attempt.started_at_ms is None:
            attempt.started_at_ms = event.started_at_ms
        attempt.note = leftover_words(event, attempt.stop)
        finish = FinishLog(attempt.attempt_id, failed=event.exit_code != 0, note=attempt.note)
        self._attempts.effects.append(finish)
        self._fill_slots(now_ms)

    def _release(self, attempt: LocalAttempt) -> None:
        self._slots.leave(attempt.attempt_id)
        self._watch.drop(attempt.attempt_id)

    def log_complete(self, event: LogComplete, now_ms: int) -> None:
        """The sizes of the log files are final: that is the attempt's end, if it hasn't come before."""
        attempt = self._attempts.of(event)
        was_over = attempt.phase is Phase.ENDED
        attempt.move(Move.LOG_COMPLETE, now_ms)
        if was_over or attempt.exited is None:
            self._correct_sizes(attempt, event.sizes)
            return
        attempt.log_sizes = event.sizes
        attempt.output_files, attempt.output_bytes = event.output_files, event.output_bytes
        attempt.note = "; ".join(filter(None, (attempt.note, event.left)))
        attempt.is_paused = False
        attempt.ending = ending(attempt.exited, attempt.stop, event.printed, event.full_disk)
        attempt.reason = attempt.stop.reason if attempt.stop and attempt.ending.stopped else ""
        if attempt.is_unrecorded:
            self._keep_end(attempt, attempt.observed(), now_ms)
            return
        attempt.add_to_story(now_ms, f"{attempt.ending.state} {attempt.ending.error}".rstrip())
        self._attempts.report(attempt)

    def _correct_sizes(self, attempt: LocalAttempt, sizes: dict[str, int]) -> None:
        """A file was lost before all of it was shipped: the coordinator must not wait for the rest."""
        if attempt.observed().log_sizes != sizes:
            attempt.log_sizes = sizes
            if attempt.own_end is not None:
                attempt.own_end = msgspec.structs.replace(attempt.own_end, log_sizes=sizes)
            self._attempts.report(attempt)

    def _end_unstarted(
        self, attempt: LocalAttempt, state: AttemptState, error: str, cause: Cause, now_ms: int, *,
        worker_fault: bool = False, hint: str = "",
    ) -> None:  # fmt: skip
        """End an attempt that was never started."""
        self._release(attempt)
        attempt.reason = error if state is AttemptState.KILLED else ""
        end = msgspec.structs.replace(
            attempt.observed(), state=state, error=error, finished_at_ms=now_ms, gpu_ids=(), worker_fault=worker_fault,
            cause=cause, hint=hint,
        )  # fmt: skip
        self._keep_end(attempt, end, now_ms)
        self._fill_slots(now_ms)

    def _keep_end(self, attempt: LocalAttempt, end: Observed, now_ms: int) -> None:
        """An end that no engine knows is written down, to be reported until it is forgotten."""
        attempt.ending = Ending(end.state, end.exit_code, end.error, end.cause, hint=end.hint)
        attempt.own_end = end
        attempt.add_to_story(now_ms, f"{end.state} {end.error}".rstrip())
        self._attempts.publish(attempt)

    # --- the clock -------------------------------------------------------------------------------------------------

    def move_clock(self, delta_ms: int, now_ms: int) -> None:
        """The worker's clock was set: move every remembered time along, for no time has passed."""
        self._watch.shift(delta_ms, now_ms)
        for attempt in self._attempts:
            if attempt.stop is not None:
                attempt.stop = msgspec.structs.replace(attempt.stop, at_ms=attempt.stop.at_ms + delta_ms)
            if attempt.timer_from_ms is not None:
                attempt.timer_from_ms += delta_ms
            if attempt.paused_at_ms is not None:
                attempt.paused_at_ms += delta_ms


def _grace_ms(attempt: LocalAttempt) -> int:
    return GRACE_MS if attempt.want is None else attempt.want.grace_ms
