"""The agent's state machine: what the coordinator wants and what the host does go in, what to do comes out.

The coordinator's desired set and the keeper's processes are two descriptions of the same attempts; everything here and
in `lifecycle` brings the second closer to the first. Exchanges are numbered: what was taken into account already is not
looked at again, and every report says how far we have come.

An event that can't happen in the state at hand raises IllegalTransition with the attempt's story and changes nothing.
"""

from collections import OrderedDict

from opsconsole_agent.core import effect as do
from opsconsole_agent.core import event as saw
from opsconsole_agent.core.attempt import Attempt, Phase
from opsconsole_agent.core.lifecycle import Handlers
from opsconsole_agent.core.recovery import Recovery
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


class AgentCore:
    """See the module. `handle` takes one event, `take` gives the effects of all events since the last call."""

    def __init__(self, max_concurrent_jobs: int) -> None:
        self._life = Recovery(max_concurrent_jobs)
        self._forgotten: OrderedDict[AttemptId, None] = OrderedDict()
        self._connected = False
        self._seen = 0
        self._last_seq: int | None = None
        self._handlers: Handlers = {
            saw.LinkUp: self._on_link_up,
            saw.LinkDown: self._on_link_down,
            saw.Contact: self._on_contact,
            DesiredSet: self._on_desired_set,
            JobAssignment: self._on_job_assignment,
            SetWant: self._on_set_want,
            Forget: self._on_forget,
            Observe: self._on_observe,
            **self._life.handlers(),
        }

    def handle(self, event: saw.Event, now_ms: int) -> None:
        """Take one event; IllegalTransition, and nothing changed, if it can't happen now."""
        if self._life.last_contact_ms is None:
            self._life.last_contact_ms = now_ms  # an agent that starts without contact gets its full time
        self._handlers[type(event)](event, now_ms)

    def take(self, *, reports: bool = True) -> list[do.Effect]:
        """What to do about the events since the last call, in this order; reports last and coalesced.

        Without `reports` changes are kept to be reported later, together with what comes until then.
        """
        life = self._life
        if reports and self._connected and life.changed:
            changed = tuple(attempt.observed() for attempt in life.changed.values())
            life.changed.clear()
            for start in range(0, len(changed), REPORT_LENGTH_MAX):
                report = Report(seen=self._seen, attempts=changed[start : start + REPORT_LENGTH_MAX])
                life.effects.append(do.SendReport(report))
        effects, life.effects = life.effects, []
        return effects

    @property
    def has_news(self) -> bool:
        """Whether `take` would give a report."""
        return self._connected and bool(self._life.changed)

    @property
    def has_waiting(self) -> bool:
        """Whether an attempt here waits for a slot."""
        return self._life.slots.has_waiting

    def begin_exchange(self) -> tuple[Observed, ...]:
        """The whole observed set, for `register`; what changes from now on is reported once the link is up.

        Carry out what `take` gives before sending it.
        """
        self._connected = False
        self._seen = 0
        self._last_seq = None
        self._life.changed.clear()
        return self._life.observed()

    def next_deadline_ms(self) -> int | None:
        """When the next Tick is due; None when nothing waits for time to pass."""
        return self._life.next_deadline_ms()

    def observed(self) -> tuple[Observed, ...]:
        """All attempts that exist here."""
        return tuple(attempt.observed() for attempt in self._life.attempts.values())

    def occupied(self) -> frozenset[AttemptId]:
        """Attempts that have a slot."""
        return self._life.slots.taken

    def processes(self) -> tuple[Attempt, ...]:
        """Attempts that should have a process: those which live, and those whose start was asked for."""
        live = (Phase.STARTING, Phase.LIVE)
        attempts = (self._life.attempts.get(attempt_id) for attempt_id in self._life.slots.taken)
        return tuple(attempt for attempt in attempts if attempt is not None and attempt.phase in live)

    def attempt(self, attempt_id: str) -> Attempt | None:
        """One attempt, to look at."""
        return self._life.attempts.get(AttemptId(attempt_id))

    def story(self, attempt_id: str) -> str:
        """The recent history of one attempt, oldest first."""
        if attempt_id in self._forgotten:
            return "forgotten"
        return self._life.story(AttemptId(attempt_id))

    # --- the connection --------------------------------------------------------------------------------------------

    def _on_link_up(self, _: saw.LinkUp, now_ms: int) -> None:
        self._connected = True
        self._life.last_contact_ms = now_ms

    def _on_link_down(self, _: saw.LinkDown, _now_ms: int) -> None:
        self._connected = False

    def _on_contact(self, _: saw.Contact, now_ms: int) -> None:
        self._life.last_contact_ms = now_ms

    def _is_news(self, seq: int, now_ms: int) -> bool:
        """Whether a numbered message hasn't been taken into account yet."""
        self._life.last_contact_ms = now_ms
        if self._last_seq is not None and seq <= self._last_seq:
            return False
        self._last_seq = seq
        self._seen = max(self._seen, seq)
        return True

    # --- the desired set -------------------------------------------------------------------------------------------

    def _on_desired_set(self, message: DesiredSet, now_ms: int) -> None:
        if not self._is_news(message.seq, now_ms):
            return
        for desired in message.attempts:
            self._desire(desired, now_ms)
        if message.adopting:
            return
        wanted = {desired.attempt_id for desired in message.attempts}
        for attempt in list(self._life.attempts.values()):
            if attempt.attempt_id not in wanted:
                self._life.unwant(attempt, now_ms)

    def _on_job_assignment(self, message: JobAssignment, now_ms: int) -> None:
        if self._is_news(message.seq, now_ms):
            self._desire(message.desired, now_ms)

    def _on_set_want(self, message: SetWant, now_ms: int) -> None:
        if self._is_news(message.seq, now_ms):
            attempt = self._life.attempts.get(message.attempt_id)
            if attempt is not None:
                self._life.set_want(attempt, message.want, now_ms)

    def _on_forget(self, message: Forget, now_ms: int) -> None:
        if not self._is_news(message.seq, now_ms):
            return
        for attempt_id in message.attempt_ids:
            attempt = self._life.attempts.get(attempt_id)
            if attempt is None:
                continue
            if attempt.phase is not Phase.ENDED:
                self._life.unwant(attempt, now_ms)
                continue
            self._life.forget(attempt, accepted=attempt_id in message.accepted)
            self._forgotten[attempt_id] = None
            if len(self._forgotten) > FORGOTTEN_MAX:
                self._forgotten.popitem(last=False)

    def _on_observe(self, message: Observe, now_ms: int) -> None:
        self._life.last_contact_ms = now_ms
        self._life.changed.clear()
        observation = Observation(exchange=message.exchange, seen=self._seen, attempts=self._life.observed())
        self._life.effects.append(do.SendObservation(observation))

    def _desire(self, desired: Desired, now_ms: int) -> None:
        attempt_id, life = desired.attempt_id, self._life
        attempt = life.attempts.get(attempt_id)
        if attempt is not None:
            if attempt.launch is None:
                life.complete(attempt, desired.launch)
            if attempt.released:
                life.effects.append(do.RewindLog(attempt_id, desired.log_offsets))
            life.set_want(attempt, desired.want, now_ms)
        elif attempt_id in self._forgotten:
            # Only a coordinator restored from a backup can want this. It must hear of it, or it would wait for ever.
            error = "it ran here before, and its result was reported and forgotten: it isn't run twice"
            life.refuse(attempt_id, desired.launch, error, now_ms)
        else:
            life.add(attempt_id, desired.launch, desired.want, now_ms)
