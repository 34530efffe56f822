"""The lives of the attempts on one worker: from assignment over slot, preparation and process to a reported end.

No command is remembered as sent. After each event the attempts it touched are *settled*: what exists is compared with
what is wanted, and the difference is what is asked for. A slot and its GPUs are taken before preparation and given back
only when nothing of the attempt lives.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from opsconsole_agent.core import effect as do
from opsconsole_agent.core import event as saw
from opsconsole_agent.core.attempt import Attempt, Phase
from opsconsole_agent.core.deadline import Deadlines
from opsconsole_agent.core.ending import Ending, ending, leftover_words
from opsconsole_agent.core.intent import Stop, StopCause
from opsconsole_agent.core.slot import Slots
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Mode, Observed, Want
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.state import AttemptState

GRACE_MS = 5_000
KILL_AGAIN_MS = 10_000
WAITING_NEWS_MS = 500
"""Small tasks wait for a slot for less than this; then neither a report nor a file is worth its cost."""

_STOPPED = "stopped by the coordinator"

Handlers = dict[type, Callable[[Any, int], None]]


class Lifecycle:
    """All attempts that exist here. `effects` and `changed` collect what is to be done and to be reported."""

    def __init__(self, max_concurrent_jobs: int) -> None:
        self.attempts: dict[AttemptId, Attempt] = {}
        self.effects: list[do.Effect] = []
        self.changed: dict[AttemptId, Attempt] = {}
        self.last_contact_ms: int | None = None
        self.slots = Slots(max_concurrent_jobs)
        self._deadlines = Deadlines()
        self._fences: dict[AttemptId, int] = {}

    def handlers(self) -> Handlers:
        """Which event is handled how."""
        return {
            saw.BuildStarted: self._on_build_started,
            saw.AttemptPrepared: self._on_attempt_prepared,
            saw.PreparationFailed: self._on_preparation_failed,
            saw.ProcessStarted: self._on_process_started,
            saw.StartFailed: self._on_start_failed,
            saw.ProcessExited: self._on_process_exited,
            saw.Frozen: self._on_frozen,
            saw.Thawed: self._on_thawed,
            saw.FreezeFailed: self._on_freeze_failed,
            saw.LogComplete: self._on_log_complete,
            saw.StopAll: self._on_stop_all,
            saw.Tick: self._on_tick,
            saw.ClockMoved: self._on_clock_moved,
        }

    # --- what the coordinator says ---------------------------------------------------------------------------------

    def add(self, attempt_id: AttemptId, launch: Launch, want: Want, now_ms: int) -> None:
        """A new attempt is wanted."""
        attempt = self.attempts[attempt_id] = Attempt(attempt_id, launch)
        attempt.tell(now_ms, "assigned")
        self.set_want(attempt, want, now_ms)

    def refuse(self, attempt_id: AttemptId, launch: Launch, error: str, now_ms: int) -> None:
        """A new attempt is wanted and won't be run."""
        attempt = self.attempts[attempt_id] = Attempt(attempt_id, launch)
        attempt.tell(now_ms, "refused")
        self._end_unstarted(attempt, AttemptState.WORKER_FAILED, error, now_ms)

    def complete(self, attempt: Attempt, launch: Launch) -> None:
        """Learn what an attempt is that was found without its spec."""
        attempt.launch = launch
        if self.slots.holds(attempt.attempt_id):
            self.slots.leave(attempt.attempt_id)
            self.slots.take(attempt.attempt_id, launch.gpu_ids)
        self._persist(attempt)
        self._watch_time(attempt)

    def set_want(self, attempt: Attempt, want: Want, now_ms: int) -> None:
        """What is wanted of an attempt changes; nothing happens where it is what was wanted before, or too late."""
        if attempt.phase in (Phase.EXITED, Phase.ENDED) or attempt.want == want:
            return
        attempt.want = want
        attempt.tell(now_ms, f"wanted: {want.mode} {want.reason}".rstrip())
        if attempt.stop is not None and want.mode is Mode.STOP:
            self._hasten(attempt, want, now_ms)
        self._settle(attempt, now_ms)

    def unwant(self, attempt: Attempt, now_ms: int) -> None:
        """It isn't in the desired set any more."""
        if attempt.mode is not Mode.STOP:
            grace_ms = GRACE_MS if attempt.want is None else attempt.want.grace_ms
            want = Want(mode=Mode.STOP, reason="the coordinator no longer wants it", grace_ms=grace_ms)
            self.set_want(attempt, want, now_ms)

    def forget(self, attempt: Attempt, *, accepted: bool = False) -> None:
        """Its end is known elsewhere and its log complete; `accepted`: and is its task's."""
        del self.attempts[attempt.attempt_id]
        self.changed.pop(attempt.attempt_id, None)
        exited = attempt.exited
        clean = exited is not None and exited.exit_known and exited.all_gone
        publish = attempt.output_path if accepted else None
        self.effects.append(do.ForgetAttempt(attempt.attempt_id, clean, publish))

    def observed(self) -> tuple[Observed, ...]:
        """All attempts that exist here. They are written down first: what was reported must not vanish in a restart."""
        for attempt in self.attempts.values():
            if not attempt.written:
                self._persist(attempt)
        return tuple(attempt.observed() for attempt in self.attempts.values())

    def next_deadline_ms(self) -> int | None:
        """When the next Tick is due; None when nothing waits for time to pass."""
        times = [] if self._deadlines.next_ms is None else [self._deadlines.next_ms]
        if self._fences and self.last_contact_ms is not None:
            times.append(self.last_contact_ms + min(self._fences.values()))
        return min(times, default=None)

    def story(self, attempt_id: AttemptId) -> str:
        """The recent history of one attempt, oldest first."""
        attempt = self.attempts.get(attempt_id)
        return "never heard of" if attempt is None else "; ".join(f"{at} {text}" for at, text in attempt.story)

    # --- bringing what exists closer to what is wanted -------------------------------------------------------------

    def _settle(self, attempt: Attempt, now_ms: int) -> None:
        want = attempt.want
        if want is None or attempt.stop is not None:
            return
        if attempt.phase is Phase.LIVE:
            self._settle_live(attempt, want, now_ms)
        elif attempt.phase in (Phase.WAITING, Phase.PREPARING) and want.mode in (Mode.STOP, Mode.RETRACT):
            if attempt.phase is Phase.PREPARING:
                self.effects.append(do.AbandonPreparation(attempt.attempt_id))
            self._end_unstarted(attempt, AttemptState.KILLED, want.reason or _STOPPED, now_ms)
        elif attempt.phase is Phase.WAITING and want.mode is Mode.RUN:
            self._enqueue(attempt, now_ms)
        elif attempt.phase is Phase.WAITING:
            self.slots.leave(attempt.attempt_id)
            self._explain(attempt, want.reason or "paused before it started")
            self._publish(attempt)

    def _settle_live(self, attempt: Attempt, want: Want, now_ms: int) -> None:
        frozen = want.mode is Mode.PAUSE
        if want.mode is Mode.STOP:
            self._begin_stop(attempt, StopCause.WANTED, want.reason or _STOPPED, now_ms)
        elif attempt.asked is None and attempt.frozen is not frozen:
            attempt.asked = frozen
            self.effects.append(do.Freeze(attempt.attempt_id) if frozen else do.Thaw(attempt.attempt_id))

    def _enqueue(self, attempt: Attempt, now_ms: int) -> None:
        self.slots.enqueue(attempt.attempt_id, attempt.gpu_ids)
        self._fill_slots(now_ms)
        if attempt.phase is Phase.WAITING:
            self._explain(attempt, self.slots.obstacle(attempt.gpu_ids))
            if not attempt.written:
                self._deadlines.set(attempt.attempt_id, now_ms + WAITING_NEWS_MS)

    def _fill_slots(self, now_ms: int) -> None:
        admitted, passed = self.slots.admit()
        for attempt_id in admitted:
            self._prepare(self.attempts[attempt_id], now_ms)
        for attempt_id in passed:
            attempt = self.attempts[attempt_id]
            self._explain(attempt, self.slots.obstacle(attempt.gpu_ids))

    def _explain(self, attempt: Attempt, reason: str) -> None:
        """Note why it waits. Whoever was told of it is told the new reason; else it may be over before that pays."""
        if attempt.reason != reason:
            attempt.reason = reason
            if attempt.written:
                self._mark(attempt)

    def _publish(self, attempt: Attempt) -> None:
        """It exists here, and is going to for a while: write it down, for it must not vanish, and report it."""
        self._persist(attempt)
        self._mark(attempt)

    # --- from assignment to process --------------------------------------------------------------------------------

    def _prepare(self, attempt: Attempt, now_ms: int) -> None:
        self._deadlines.set(attempt.attempt_id, None)
        attempt.phase = Phase.PREPARING
        attempt.reason = ""
        attempt.tell(now_ms, "preparing")
        if attempt.launch is not None:
            self.effects.append(do.PrepareAttempt(attempt.attempt_id, attempt.launch))

    def _on_build_started(self, event: saw.BuildStarted, now_ms: int) -> None:
        attempt = self._prepared_one(event)
        if attempt is not None:
            attempt.build_started_ms = event.at_ms
            attempt.tell(now_ms, "building")
            self._publish(attempt)

    def _on_attempt_prepared(self, event: saw.AttemptPrepared, now_ms: int) -> None:
        attempt = self._prepared_one(event)
        if attempt is None:
            return
        attempt.output_path = event.output_path
        attempt.workdir = event.workdir
        attempt.ports = event.ports
        attempt.image_tag = event.image_tag
        if attempt.build_started_ms is not None:
            attempt.build_finished_ms = event.at_ms
            attempt.build_from_cache = event.from_cache
        if attempt.mode is not Mode.RUN:
            self._stand_back(attempt, "paused before it started", now_ms)
            return
        attempt.phase = Phase.STARTING
        attempt.released = True
        attempt.tell(now_ms, "starting")
        self._persist(attempt)
        self.effects.append(do.StartAttempt(attempt.attempt_id))

    def _on_preparation_failed(self, event: saw.PreparationFailed, now_ms: int) -> None:
        attempt = self._prepared_one(event)
        if attempt is not None:
            state = AttemptState.WORKER_FAILED if event.again else AttemptState.FAILED
            self._end_unstarted(attempt, state, event.error, now_ms, worker_fault=event.worker_fault)

    def _prepared_one(self, event: saw.BuildStarted | saw.AttemptPrepared | saw.PreparationFailed) -> Attempt | None:
        """The attempt being prepared; None if its preparation was abandoned meanwhile."""
        attempt = self.attempts.get(event.attempt_id)
        if attempt is None or attempt.phase is Phase.ENDED:
            return None
        self._expect(attempt, event, Phase.PREPARING)
        return attempt

    def _stand_back(self, attempt: Attempt, why: str, now_ms: int) -> None:
        """Back to waiting: it has not been started."""
        self.slots.leave(attempt.attempt_id)
        attempt.phase = Phase.WAITING
        attempt.released = False
        attempt.tell(now_ms, f"waiting again: {why}")
        self._settle(attempt, now_ms)
        self._fill_slots(now_ms)

    def _on_start_failed(self, event: saw.StartFailed, now_ms: int) -> None:
        attempt = self._known(event)
        self._expect(attempt, event, Phase.STARTING)
        self._end_unstarted(attempt, AttemptState.FAILED, event.error, now_ms, worker_fault=True)

    def _on_process_started(self, event: saw.ProcessStarted, now_ms: int) -> None:
        attempt = self._known(event)
        self._expect(attempt, event, Phase.STARTING)
        self._live(attempt, event.at_ms, now_ms)

    def _live(self, attempt: Attempt, started_at_ms: int, now_ms: int) -> None:
        attempt.phase = Phase.LIVE
        attempt.reason = "" if attempt.stop is None else attempt.stop.reason
        attempt.started_at_ms = started_at_ms
        if attempt.timer_from_ms is None:
            attempt.timer_from_ms = started_at_ms
        attempt.tell(now_ms, "running")
        self._mark(attempt)
        self._watch_time(attempt)
        self._settle(attempt, now_ms)

    # --- pause and resume ------------------------------------------------------------------------------------------

    def _on_frozen(self, event: saw.Frozen, now_ms: int) -> None:
        attempt = self._known(event)
        self._expect(attempt, event, Phase.LIVE)
        self._note_frozen(attempt, True, event.at_ms)
        attempt.tell(now_ms, "paused")
        self._settle(attempt, now_ms)

    def _on_thawed(self, event: saw.Thawed, now_ms: int) -> None:
        attempt = self._known(event)
        self._expect(attempt, event, Phase.LIVE)
        self._note_frozen(attempt, False, event.at_ms)
        attempt.tell(now_ms, "resumed")
        self._settle(attempt, now_ms)

    def _note_frozen(self, attempt: Attempt, frozen: bool, at_ms: int) -> None:
        attempt.asked = None
        if attempt.frozen is frozen:
            return
        attempt.frozen = frozen
        if frozen:
            attempt.paused_at_ms = at_ms
        elif attempt.paused_at_ms is not None and attempt.timer_from_ms is not None:
            attempt.timer_from_ms += max(0, at_ms - attempt.paused_at_ms)
            attempt.paused_at_ms = None
        if attempt.stop is None:
            attempt.reason = attempt.want.reason if frozen and attempt.want is not None else ""
            if attempt.launch is not None and attempt.launch.timeout_ms is not None:
                self._persist(attempt)  # paused time must not count after a restart either
            self._watch_time(attempt)
        self._mark(attempt)

    def _on_freeze_failed(self, event: saw.FreezeFailed, now_ms: int) -> None:
        attempt = self._known(event)
        self._expect(attempt, event, Phase.LIVE)
        attempt.asked = None
        attempt.reason = event.error
        attempt.tell(now_ms, event.error)
        self._mark(attempt)

    # --- to the end ------------------------------------------------------------------------------------------------

    def _begin_stop(self, attempt: Attempt, cause: StopCause, reason: str, now_ms: int) -> None:
        grace_ms = GRACE_MS if attempt.want is None else attempt.want.grace_ms
        attempt.stop = Stop(cause, reason, now_ms, grace_ms)
        attempt.reason = reason
        attempt.tell(now_ms, f"TERM: {reason}")
        self._fences.pop(attempt.attempt_id, None)
        self._publish(attempt)
        self.effects.append(do.Terminate(attempt.attempt_id, grace_ms))
        self._watch_time(attempt)

    def _hasten(self, attempt: Attempt, want: Want, now_ms: int) -> None:
        """Somebody wants an end that is under way, and perhaps sooner."""
        if attempt.stop is not None and want.grace_ms < attempt.stop.grace_ms:
            attempt.stop = msgspec.structs.replace(attempt.stop, grace_ms=want.grace_ms)
            attempt.tell(now_ms, f"grace is now {want.grace_ms} ms")
            self._watch_time(attempt)

    def _watch_time(self, attempt: Attempt) -> None:
        """Set the deadline of a live attempt: KILL if it is being stopped, else its time-out and fence."""
        if attempt.phase is not Phase.LIVE:
            return
        if attempt.stop is not None:
            if not attempt.killed:
                self._deadlines.set(attempt.attempt_id, attempt.stop.at_ms + attempt.stop.grace_ms)
            return
        self._deadlines.set(attempt.attempt_id, attempt.timeout_due_ms)
        if attempt.launch is not None and attempt.launch.fence_after_ms is not None:
            self._fences[attempt.attempt_id] = attempt.launch.fence_after_ms

    def _on_process_exited(self, event: saw.ProcessExited, now_ms: int) -> None:
        attempt = self._known(event)
        self._expect(attempt, event, Phase.STARTING, Phase.LIVE)
        self._exit(attempt, event, now_ms)

    def _exit(self, attempt: Attempt, event: saw.ProcessExited, now_ms: int) -> None:
        self._unschedule(attempt)
        attempt.phase = Phase.EXITED
        attempt.released = True
        attempt.exited = event
        if attempt.started_at_ms is None:
            attempt.started_at_ms = event.started_at_ms
        attempt.tell(now_ms, f"exited: code {event.exit_code}, signal {event.signal} {event.error}".rstrip())
        attempt.note = leftover_words(event, attempt.stop)
        self.effects.append(do.FinishLog(attempt.attempt_id, failed=event.exit_code != 0, note=attempt.note))
        self._fill_slots(now_ms)

    def _unschedule(self, attempt: Attempt) -> None:
        self.slots.leave(attempt.attempt_id)
        self._deadlines.set(attempt.attempt_id, None)
        self._fences.pop(attempt.attempt_id, None)

    def _on_log_complete(self, event: saw.LogComplete, now_ms: int) -> None:
        attempt = self._known(event)
        self._expect(attempt, event, Phase.EXITED, Phase.ENDED)
        if attempt.phase is Phase.ENDED:
            self._correct_sizes(attempt, event.sizes)
            return
        if attempt.exited is None:
            return
        attempt.phase = Phase.ENDED
        attempt.log_sizes = event.sizes
        attempt.note = "; ".join(filter(None, (attempt.note, event.left)))
        attempt.frozen = False
        attempt.ending = ending(attempt.exited, attempt.stop, event.last_lines, event.full_disk)
        attempt.reason = attempt.stop.reason if attempt.stop and attempt.ending.stopped else ""
        if attempt.unrecorded:
            self._settle_end(attempt, attempt.observed(), now_ms)
            return
        attempt.tell(now_ms, f"{attempt.ending.state} {attempt.ending.error}".rstrip())
        self._mark(attempt)

    def _correct_sizes(self, attempt: Attempt, sizes: dict[str, int]) -> None:
        """A file was lost before all of it was shipped: the coordinator must not wait for the rest."""
        if attempt.observed().log_sizes != sizes:
            attempt.log_sizes = sizes
            if attempt.settled is not None:
                attempt.settled = msgspec.structs.replace(attempt.settled, log_sizes=sizes)
            self._mark(attempt)

    def _end_unstarted(
        self, attempt: Attempt, state: AttemptState, error: str, now_ms: int, *, worker_fault: bool = False
    ) -> None:
        """End an attempt that never was a process."""
        self._unschedule(attempt)
        attempt.reason = error if state is AttemptState.KILLED else ""
        settled = msgspec.structs.replace(
            attempt.observed(), state=state, error=error, finished_at_ms=now_ms, gpu_ids=(), worker_fault=worker_fault
        )
        self._settle_end(attempt, settled, now_ms)
        self._fill_slots(now_ms)

    def _settle_end(self, attempt: Attempt, settled: Observed, now_ms: int) -> None:
        """An end that no keeper knows is written down, to be reported until forgotten."""
        attempt.phase = Phase.ENDED
        attempt.ending = Ending(settled.state, settled.exit_code, settled.error)
        attempt.settled = settled
        attempt.tell(now_ms, f"{settled.state} {settled.error}".rstrip())
        self._publish(attempt)

    def _on_stop_all(self, event: saw.StopAll, now_ms: int) -> None:
        for attempt in list(self.attempts.values()):
            grace_ms = GRACE_MS if attempt.want is None else attempt.want.grace_ms
            self.set_want(attempt, Want(mode=Mode.STOP, reason=event.reason, grace_ms=grace_ms), now_ms)

    # --- time ------------------------------------------------------------------------------------------------------

    def _on_tick(self, _: saw.Tick, now_ms: int) -> None:
        for attempt_id in self._deadlines.due(now_ms):
            attempt = self.attempts[attempt_id]
            if attempt.phase is Phase.WAITING:
                self._publish(attempt)
            elif attempt.stop is not None:
                attempt.killed = True
                attempt.tell(now_ms, "KILL")
                self.effects.append(do.Kill(attempt_id))
                self._deadlines.set(attempt_id, now_ms + KILL_AGAIN_MS)
            elif attempt.launch is not None and attempt.launch.timeout_ms is not None:
                reason = f"timed out after {spell_duration(attempt.launch.timeout_ms)}"
                self._begin_stop(attempt, StopCause.TIMEOUT, reason, now_ms)
        self._fence(now_ms)

    def _fence(self, now_ms: int) -> None:
        if not self._fences or self.last_contact_ms is None:
            return
        silence_ms = now_ms - self.last_contact_ms
        for attempt_id, fence_after_ms in list(self._fences.items()):
            if silence_ms >= fence_after_ms:
                words = spell_duration(fence_after_ms)
                reason = f"stopped by its own fence: no contact with the coordinator for {words}"
                self._begin_stop(self.attempts[attempt_id], StopCause.FENCE, reason, now_ms)

    def _on_clock_moved(self, event: saw.ClockMoved, now_ms: int) -> None:
        """Move every remembered time along, so that what was to come in a minute still does."""
        delta_ms = event.delta_ms
        self.last_contact_ms = now_ms if self.last_contact_ms is None else self.last_contact_ms + delta_ms
        self._deadlines.shift(delta_ms)
        for attempt in self.attempts.values():
            if attempt.stop is not None:
                attempt.stop = msgspec.structs.replace(attempt.stop, at_ms=attempt.stop.at_ms + delta_ms)
            if attempt.timer_from_ms is not None:
                attempt.timer_from_ms += delta_ms
            if attempt.paused_at_ms is not None:
                attempt.paused_at_ms += delta_ms

    # --- bookkeeping -----------------------------------------------------------------------------------------------

    def _known(self, event: Any) -> Attempt:
        attempt = self.attempts.get(event.attempt_id)
        if attempt is None:
            story = self.story(event.attempt_id)
            raise IllegalTransition(f"{type(event).__name__} for {event.attempt_id}, which isn't here: {story}")
        return attempt

    def _expect(self, attempt: Attempt, event: object, *phases: Phase) -> None:
        if attempt.phase not in phases:
            raise IllegalTransition(
                f"{type(event).__name__} for {attempt.attempt_id}, which is {attempt.phase}: "
                f"{self.story(attempt.attempt_id)}"
            )

    def _persist(self, attempt: Attempt) -> None:
        attempt.written = True
        self.effects.append(do.PersistIntent(attempt.intent()))

    def _mark(self, attempt: Attempt) -> None:
        self.changed[attempt.attempt_id] = attempt
