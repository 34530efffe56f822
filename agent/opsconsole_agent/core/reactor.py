"""The one way into the agent's core: what the coordinator wants and what the host does go in, what to do comes out.

The coordinator's desired set and the engine's attempts are two descriptions of the same attempts; the core brings the
second closer to the first. Exchanges are numbered: what was taken into account already is not looked at again, and every
report says how far the agent has come.

News that can't be true in the state at hand, because it came late or twice, raises IllegalTransition with the attempt's story and
changes nothing. A decision of the core that can't be carried out is a fault: it is left out, and given out as NoteFault.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from opsconsole_agent.core.attempt_set import AttemptSet
from opsconsole_agent.core.effect import Effect, RewindLog, SendObservation, SendReport
from opsconsole_agent.core.event import (
    AttemptExited,
    AttemptPrepared,
    AttemptStarted,
    BuildStarted,
    ClockMoved,
    Contact,
    EngineHello,
    Event,
    IntentsFound,
    LinkDown,
    LinkUp,
    LogComplete,
    OutputTooLarge,
    Paused,
    PauseFailed,
    PreparationFailed,
    Resumed,
    StartFailed,
    StopAll,
    Tick,
)
from opsconsole_agent.core.lifecycle import Lifecycle
from opsconsole_agent.core.local_attempt import LocalAttempt
from opsconsole_agent.core.phase import LIVE, Phase
from opsconsole_agent.core.recovery import Recovery
from opsconsole_agent.core.slot import Slots
from opsconsole_agent.core.time_watch import TimeWatch
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import (
    Desired,
    DesiredSet,
    Forget,
    JobAssignment,
    Observation,
    Observe,
    Observed,
    Report,
    SetWant,
)

FORGOTTEN_MAX = 10_000
REPORT_LENGTH_MAX = 500


class Reactor:
    """Takes events by `handle`; `take_effects` gives what is to be done about them.

    `now_ms` is Unix time in milliseconds by the worker's clock. `engine`: the one that this agent has.
    """

    def __init__(self, max_concurrent_jobs: int, engine: str) -> None:
        self._attempts = AttemptSet()
        self._slots = Slots(max_concurrent_jobs)
        self._watch = TimeWatch()
        self._lifecycle = Lifecycle(self._attempts, self._slots, self._watch, engine)
        self._recovery = Recovery(self._attempts, self._slots, self._lifecycle, engine)
        self._forgotten: OrderedDict[AttemptId, None] = OrderedDict()
        self._is_connected = False
        self._seen = 0
        self._last_seq: int | None = None

    # --- events in, effects out ------------------------------------------------------------------------------------

    def handle(self, event: Event, now_ms: int) -> None:
        """Take one event; raises IllegalTransition, and nothing has changed, if it can't happen now."""
        if self._watch.last_contact_ms is None:
            self._watch.last_contact_ms = now_ms  # an agent that starts without contact gets its full time
        HANDLERS[type(event)](self, event, now_ms)

    def take_effects(self, *, reports: bool = True) -> list[Effect]:
        """What to do about the events since the last call, in this order; reports come last and are coalesced.

        Without `reports` changes are kept to be reported later, together with what comes until then.
        """
        attempts = self._attempts
        if reports and self._is_connected and attempts.changed:
            changed = tuple(attempt.observed() for attempt in attempts.changed.values())
            attempts.changed.clear()
            for start in range(0, len(changed), REPORT_LENGTH_MAX):
                report = Report(seen=self._seen, attempts=changed[start : start + REPORT_LENGTH_MAX])
                attempts.effects.append(SendReport(report))
        effects, attempts.effects = attempts.effects, []
        return effects

    def begin_exchange(self) -> tuple[Observed, ...]:
        """The whole observed set, for `register`; what changes from now on is reported once the link is up.

        Carry out what `take_effects` gives before sending the set.
        """
        self._is_connected = False
        self._seen = 0
        self._last_seq = None
        return self._whole_set()

    # --- questions -------------------------------------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether `take_effects` would give a report."""
        return self._is_connected and bool(self._attempts.changed)

    @property
    def has_waiting(self) -> bool:
        """Whether an attempt here waits for a slot."""
        return self._slots.has_waiting

    def next_deadline_ms(self) -> int | None:
        """When the next Tick is due; None when nothing waits for time to pass."""
        return self._watch.next_ms

    def observed(self) -> tuple[Observed, ...]:
        """All attempts that exist here."""
        return self._attempts.observed()

    def occupied(self) -> frozenset[AttemptId]:
        """Attempts that have a slot."""
        return self._slots.taken

    def expected(self) -> tuple[LocalAttempt, ...]:
        """Attempts that this agent's engine should know: those which live, and those whose start was asked for."""
        attempts = (self._attempts.get(attempt_id) for attempt_id in self._slots.taken)
        return tuple(
            attempt
            for attempt in attempts
            if attempt is not None
            and not attempt.is_foreign
            and (attempt.phase is Phase.STARTING or attempt.phase in LIVE)
        )

    def foreign(self) -> tuple[LocalAttempt, ...]:
        """Attempts of engines that this agent doesn't have. They are left as they are, and reported as they were."""
        return tuple(attempt for attempt in self._attempts if attempt.is_foreign)

    def attempt(self, attempt_id: str) -> LocalAttempt | None:
        """One attempt, to look at."""
        return self._attempts.get(AttemptId(attempt_id))

    def story(self, attempt_id: str) -> str:
        """What happened to one attempt lately, the oldest first."""
        attempt = self.attempt(attempt_id)
        if attempt is not None:
            return attempt.story
        return "forgotten" if attempt_id in self._forgotten else "never heard of"

    # --- the connection --------------------------------------------------------------------------------------------

    def on_link_up(self, _: LinkUp, now_ms: int) -> None:
        """Reports can be sent from now on."""
        self._is_connected = True
        self._watch.last_contact_ms = now_ms

    def on_link_down(self, _: LinkDown, _now_ms: int) -> None:
        """Reports wait for the next connection."""
        self._is_connected = False

    def on_contact(self, _: Contact, now_ms: int) -> None:
        """Fences count from now."""
        self._watch.last_contact_ms = now_ms

    # --- what the coordinator wants --------------------------------------------------------------------------------

    def on_desired_set(self, message: DesiredSet, now_ms: int) -> None:
        """The whole desired set. What isn't in it is stopped, unless the coordinator is `adopting`."""
        if not self._is_news(message.seq, now_ms):
            return
        for desired in message.attempts:
            self._desire(desired, now_ms)
        if message.adopting:
            return
        wanted = {desired.attempt_id for desired in message.attempts}
        for attempt in self._attempts:
            if attempt.attempt_id not in wanted:
                self._lifecycle.stop_unwanted(attempt, now_ms)

    def on_job_assignment(self, message: JobAssignment, now_ms: int) -> None:
        """An attempt joins the desired set."""
        if self._is_news(message.seq, now_ms):
            self._desire(message.desired, now_ms)

    def on_set_want(self, message: SetWant, now_ms: int) -> None:
        """What is desired of an attempt changes."""
        if self._is_news(message.seq, now_ms):
            attempt = self._attempts.get(message.attempt_id)
            if attempt is not None:
                self._lifecycle.set_want(attempt, message.want, now_ms)

    def on_forget(self, message: Forget, now_ms: int) -> None:
        """The ends of these attempts are safe with the coordinator; one that hasn't ended is stopped instead."""
        if not self._is_news(message.seq, now_ms):
            return
        for attempt_id in message.attempt_ids:
            attempt = self._attempts.get(attempt_id)
            if attempt is None:
                continue
            if attempt.phase is not Phase.ENDED:
                self._lifecycle.stop_unwanted(attempt, now_ms)
                continue
            self._lifecycle.forget(attempt, accepted=attempt_id in message.accepted)
            self._forgotten[attempt_id] = None
            if len(self._forgotten) > FORGOTTEN_MAX:
                self._forgotten.popitem(last=False)

    def on_observe(self, message: Observe, now_ms: int) -> None:
        """The coordinator asks for the whole observed set."""
        self._watch.last_contact_ms = now_ms
        observation = Observation(exchange=message.exchange, seen=self._seen, attempts=self._whole_set())
        self._attempts.effects.append(SendObservation(observation))

    def _is_news(self, seq: int, now_ms: int) -> bool:
        """Whether a numbered message hasn't been taken into account yet."""
        self._watch.last_contact_ms = now_ms
        if self._last_seq is not None and seq <= self._last_seq:
            return False
        self._last_seq = seq
        self._seen = max(self._seen, seq)
        return True

    def _desire(self, desired: Desired, now_ms: int) -> None:
        attempt_id = desired.attempt_id
        attempt = self._attempts.get(attempt_id)
        if attempt is not None:
            if attempt.launch is None:
                self._lifecycle.learn_launch(attempt, desired.launch)
            if attempt.may_have_started:
                self._attempts.effects.append(RewindLog(attempt_id, desired.log_offsets))
            self._lifecycle.set_want(attempt, desired.want, now_ms)
        elif attempt_id in self._forgotten:
            # Only a coordinator restored from a backup can want this. It must hear of it, or it would wait for ever.
            error = "it ran here before, and its result was reported and forgotten: it isn't run twice"
            self._lifecycle.refuse(attempt_id, desired.launch, error, now_ms)
        else:
            self._lifecycle.assign(attempt_id, desired.launch, desired.want, now_ms)

    def _whole_set(self) -> tuple[Observed, ...]:
        """All attempts, to be told. They are written down first: what was told must not vanish in a restart."""
        self._attempts.changed.clear()
        for attempt in self._attempts:
            if not attempt.is_written:
                self._attempts.persist(attempt)
        return self._attempts.observed()

    # --- what is found ---------------------------------------------------------------------------------------------

    def on_intents_found(self, event: IntentsFound, now_ms: int) -> None:
        """An earlier life of the agent wrote these attempts down."""
        self._recovery.intents_found(event, now_ms)

    def on_engine_hello(self, event: EngineHello, now_ms: int) -> None:
        """The engine was reached, and says what lives and what has ended."""
        self._recovery.engine_reached(event, now_ms)

    # --- what happens to one attempt -------------------------------------------------------------------------------

    def on_build_started(self, event: BuildStarted, now_ms: int) -> None:
        """Preparing it takes time."""
        self._lifecycle.build_started(event, now_ms)

    def on_attempt_prepared(self, event: AttemptPrepared, now_ms: int) -> None:
        """All that it needs is there."""
        self._lifecycle.prepared(event, now_ms)

    def on_preparation_failed(self, event: PreparationFailed, now_ms: int) -> None:
        """It can't be started."""
        self._lifecycle.preparation_failed(event, now_ms)

    def on_attempt_started(self, event: AttemptStarted, now_ms: int) -> None:
        """It lives."""
        self._lifecycle.started(event, now_ms)

    def on_start_failed(self, event: StartFailed, now_ms: int) -> None:
        """It was not started."""
        self._lifecycle.start_failed(event, now_ms)

    def on_attempt_exited(self, event: AttemptExited, now_ms: int) -> None:
        """Nothing of it lives any more."""
        attempt = self._attempts.of(event)
        self._lifecycle.exited(attempt, event, now_ms)

    def on_paused(self, event: Paused, now_ms: int) -> None:
        """Nothing of it runs."""
        self._lifecycle.paused(event, now_ms)

    def on_resumed(self, event: Resumed, now_ms: int) -> None:
        """It runs again."""
        self._lifecycle.resumed(event, now_ms)

    def on_pause_failed(self, event: PauseFailed, now_ms: int) -> None:
        """It could not be paused, or not resumed."""
        self._lifecycle.pause_failed(event, now_ms)

    def on_log_complete(self, event: LogComplete, now_ms: int) -> None:
        """The sizes of its log files are final."""
        self._lifecycle.log_complete(event, now_ms)

    def on_output_too_large(self, event: OutputTooLarge, now_ms: int) -> None:
        """It has written more results than it may."""
        self._lifecycle.output_too_large(event, now_ms)

    # --- the agent and its clock -----------------------------------------------------------------------------------

    def on_stop_all(self, event: StopAll, now_ms: int) -> None:
        """The agent is to leave nothing running behind."""
        for attempt in self._attempts:
            self._lifecycle.stop(attempt, event.reason, now_ms)

    def on_tick(self, _: Tick, now_ms: int) -> None:
        """Time has passed."""
        self._lifecycle.time_out(now_ms)

    def on_clock_moved(self, event: ClockMoved, now_ms: int) -> None:
        """The worker's clock was set."""
        self._lifecycle.move_clock(event.delta_ms, now_ms)


HANDLERS: Mapping[type, Callable[[Reactor, Any, int], None]] = {
    LinkUp: Reactor.on_link_up,
    LinkDown: Reactor.on_link_down,
    Contact: Reactor.on_contact,
    DesiredSet: Reactor.on_desired_set,
    JobAssignment: Reactor.on_job_assignment,
    SetWant: Reactor.on_set_want,
    Forget: Reactor.on_forget,
    Observe: Reactor.on_observe,
    IntentsFound: Reactor.on_intents_found,
    EngineHello: Reactor.on_engine_hello,
    BuildStarted: Reactor.on_build_started,
    AttemptPrepared: Reactor.on_attempt_prepared,
    PreparationFailed: Reactor.on_preparation_failed,
    AttemptStarted: Reactor.on_attempt_started,
    StartFailed: Reactor.on_start_failed,
    AttemptExited: Reactor.on_attempt_exited,
    Paused: Reactor.on_paused,
    Resumed: Reactor.on_resumed,
    PauseFailed: Reactor.on_pause_failed,
    LogComplete: Reactor.on_log_complete,
    OutputTooLarge: Reactor.on_output_too_large,
    StopAll: Reactor.on_stop_all,
    Tick: Reactor.on_tick,
    ClockMoved: Reactor.on_clock_moved,
}
"""Every event by its handler."""
