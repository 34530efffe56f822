"""Any order of events: what must hold whatever the coordinator, the keeper, the network and the processes do."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from opsconsole_agent.core.effect import (
    Effect,
    FinishLog,
    ForgetAttempt,
    Kill,
    NoteFault,
    Pause,
    PersistIntent,
    PrepareAttempt,
    Resume,
    SendObservation,
    SendReport,
    StartAttempt,
    Terminate,
)
from opsconsole_agent.core.event import (
    AttemptExited,
    AttemptPrepared,
    AttemptStarted,
    Contact,
    EngineHello,
    Event,
    FoundAttempt,
    IntentsFound,
    LinkDown,
    LinkUp,
    LogComplete,
    Paused,
    PauseFailed,
    PreparationFailed,
    Resumed,
    Tick,
)
from opsconsole_agent.core.intent import PROCESS, Intent
from opsconsole_agent.core.phase import Phase
from opsconsole_agent.core.reactor import Reactor
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Desired, DesiredSet, Forget, JobAssignment, Mode, Observe, Observed, SetWant, Want
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import ATTEMPT_MOVES, AttemptState, is_attempt_finished
from tests.agent.core.script import make_launch
from tests.gpu_rule import GPU_MEMORY_MB, gpu_faults

SLOTS = 2
GPUS = ("g1", "g2", "g3")


class Host:
    """The keeper and the disk: what survives the agent. Events that the keeper has yet to tell are in `untold`."""

    def __init__(self) -> None:
        self.intents: dict[AttemptId, Intent] = {}
        self.live: dict[AttemptId, bool] = {}
        self.termed: set[AttemptId] = set()
        self.exits: dict[AttemptId, AttemptExited] = {}
        self.starts: Counter[AttemptId] = Counter()
        self.untold: list[Event] = []
        self.unanswered: set[AttemptId] = set()
        """Whose pause or resume was asked for, of this life of the agent, and not answered yet."""

    def exit(self, attempt_id: AttemptId, at_ms: int, exit_code: int | None, signal: int | None = None) -> None:
        """The process and all its descendants have ended."""
        del self.live[attempt_id]
        exited = AttemptExited(attempt_id=attempt_id, at_ms=at_ms, exit_code=exit_code, signal=signal, started_at_ms=1)
        self.exits[attempt_id] = exited
        self.untold.append(exited)


class AgentRules(RuleBasedStateMachine):
    """One agent's core between a coordinator that changes its mind and a host where things end by themselves."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.reactor = Reactor(SLOTS, PROCESS)
        self.host = Host()
        self.now_ms = 1_000_000
        self.connected = False
        self.adopting = False
        self.seq = 0
        self.desired: dict[AttemptId, Desired] = {}
        self.preparing: list[AttemptId] = []
        self.seen: dict[AttemptId, AttemptState] = {}
        self.number = 0

    # --- plumbing --------------------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        if isinstance(event, Paused | Resumed | PauseFailed | AttemptExited):
            self.host.unanswered.discard(event.attempt_id)
        self.reactor.handle(event, self.now_ms)
        self.carry_out(self.reactor.take_effects())

    def carry_out(self, effects: Sequence[Effect]) -> None:
        later: list[Event] = []
        for effect in effects:
            assert not isinstance(effect, NoteFault), f"an illegal decision: {effect}"
            if isinstance(effect, PersistIntent):
                self.host.intents[effect.intent.attempt_id] = effect.intent
            elif isinstance(effect, PrepareAttempt):
                self.preparing.append(effect.attempt_id)
            elif isinstance(effect, StartAttempt):
                self.start(effect.attempt_id)
            elif isinstance(effect, FinishLog):
                later.append(LogComplete(attempt_id=effect.attempt_id))
            elif isinstance(effect, ForgetAttempt):
                self.host.intents.pop(effect.attempt_id, None)
                self.host.exits.pop(effect.attempt_id, None)
            elif isinstance(effect, (Pause, Resume, Terminate, Kill)):
                self.signal(effect)
            elif isinstance(effect, SendReport):
                self.note(effect.report.attempts)
            elif isinstance(effect, SendObservation):
                self.note(effect.observation.attempts)
        for event in later:
            self.tell(event)

    def start(self, attempt_id: AttemptId) -> None:
        assert self.host.intents[attempt_id].released, "started before its intent was written down"
        desired = self.desired.get(attempt_id)
        assert not self.connected or (self.adopting if desired is None else desired.want.mode is Mode.RUN)
        without_gpus = sum(not self.with_gpus(one) for one in self.host.live)
        assert self.with_gpus(attempt_id) or without_gpus < SLOTS, "who has a GPU may have come after it had its slot"
        self.host.starts[attempt_id] += 1
        self.host.live[attempt_id] = False
        self.host.untold.append(AttemptStarted(attempt_id=attempt_id, at_ms=self.now_ms))

    def with_gpus(self, attempt_id: AttemptId) -> bool:
        launch = self.host.intents[attempt_id].launch
        return launch is not None and bool(launch.gpu_ids)

    def signal(self, effect: Pause | Resume | Terminate | Kill) -> None:
        attempt_id = effect.attempt_id
        if attempt_id not in self.host.live:
            return
        if isinstance(effect, Kill):
            self.host.exit(attempt_id, self.now_ms, None, 9)
        elif isinstance(effect, Terminate):
            self.host.termed.add(attempt_id)
            self.host.live[attempt_id] = False
        else:
            assert attempt_id not in self.host.unanswered, "asked again before it was answered"
            self.host.unanswered.add(attempt_id)
            is_paused = isinstance(effect, Pause)
            assert self.host.live[attempt_id] is not is_paused, "it is what it is asked to be"
            self.host.live[attempt_id] = is_paused
            told = Paused if is_paused else Resumed
            self.host.untold.append(told(attempt_id=attempt_id, at_ms=self.now_ms))

    def note(self, reported: Sequence[Observed]) -> None:
        """The coordinator's view: every state must be legally reachable from the one reported before."""
        for one in reported:
            before = self.seen.get(one.attempt_id, AttemptState.ASSIGNED)
            assert one.state == before or one.state in ATTEMPT_MOVES[before], (
                f"{one.attempt_id}: {before} → {one.state}"
            )
            self.seen[one.attempt_id] = one.state

    def keeper_tells_all(self) -> None:
        while self.host.untold:
            self.tell(self.host.untold.pop(0))

    def say_hello(self, *, fresh: bool) -> None:
        self.host.untold.clear()  # all of it is in the hello
        self.host.unanswered.clear()
        live = tuple(
            FoundAttempt(attempt_id=attempt_id, started_at_ms=1, is_paused=is_paused)
            for attempt_id, is_paused in self.host.live.items()
        )
        unstarted = frozenset() if fresh else frozenset(self.desired.keys() - self.host.starts.keys())
        self.tell(EngineHello(engine=PROCESS, live=live, exits=tuple(self.host.exits.values()), unstarted=unstarted))

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    # --- the coordinator -------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.say_hello(fresh=True)
        self.connect(adopting=False)

    @rule(
        target=attempts,
        gpus=st.sets(st.sampled_from(GPUS), max_size=2),
        share_mb=st.sampled_from([0, 0, 9_000, 15_000]),
        mode=st.sampled_from([Mode.RUN, Mode.RUN, Mode.PAUSE]),
        timeout_ms=st.sampled_from([None, None, 10_000]),
        fence_after_ms=st.sampled_from([None, None, 20_000]),
    )
    def assign(
        self, gpus: set[str], share_mb: int, mode: Mode, timeout_ms: int | None, fence_after_ms: int | None
    ) -> AttemptId:  # fmt: skip
        self.number += 1
        attempt_id = AttemptId(f"a{self.number}")
        launch = make_launch(
            gpu_ids=tuple(sorted(gpus)), timeout_ms=timeout_ms, fence_after_ms=fence_after_ms,
            resources=Resources(gpus=len(gpus), gpu_memory_mb=share_mb, share=bool(share_mb)),
            gpu_sizes_mb=(GPU_MEMORY_MB,) * len(gpus),
        )  # fmt: skip
        self.desired[attempt_id] = Desired(attempt_id=attempt_id, launch=launch, want=Want(mode=mode))
        if self.connected:
            self.tell(JobAssignment(seq=self.next_seq(), desired=self.desired[attempt_id]))
        return attempt_id

    @rule(attempt_id=attempts, mode=st.sampled_from(Mode), grace_ms=st.sampled_from([0, 5_000]))
    def want(self, attempt_id: AttemptId, mode: Mode, grace_ms: int) -> None:
        old = self.desired.get(attempt_id)
        if old is None or old.want.mode is Mode.STOP:
            return
        want = Want(mode=mode, grace_ms=grace_ms)
        self.desired[attempt_id] = Desired(attempt_id=attempt_id, launch=old.launch, want=want)
        if self.connected:
            self.tell(SetWant(seq=self.next_seq(), attempt_id=attempt_id, want=want))

    @rule(data=st.data(), mode=st.sampled_from([Mode.PAUSE, Mode.RUN]))
    def want_twice_of_what_lives(self, data: st.DataObject, mode: Mode) -> None:
        if self.host.live:
            self.want_twice(data.draw(st.sampled_from(sorted(self.host.live))), mode)

    def want_twice(self, attempt_id: AttemptId, mode: Mode) -> None:
        """In other words the second time, so that it is looked at again, and before anything was answered."""
        self.want(attempt_id, mode, 5_000)
        self.want(attempt_id, mode, 0)

    @rule(attempt_id=attempts)
    def no_longer_want(self, attempt_id: AttemptId) -> None:
        if not self.connected:
            self.desired.pop(attempt_id, None)

    @rule()
    def forget_what_ended(self) -> None:
        ended = [attempt_id for attempt_id, state in self.seen.items() if is_attempt_finished(state)]
        if self.connected and ended:
            for attempt_id in ended:
                self.desired.pop(attempt_id, None)
            self.tell(Forget(seq=self.next_seq(), attempt_ids=tuple(ended)))
            for attempt_id in ended:
                assert self.reactor.attempt(attempt_id) is None
                del self.seen[attempt_id]

    @rule(attempt_id=attempts)
    def repeat_an_old_message(self, attempt_id: AttemptId) -> None:
        if self.connected:
            old = Desired(attempt_id=attempt_id, launch=make_launch())
            self.tell(JobAssignment(seq=min(1, self.seq), desired=old))

    @rule()
    def observe(self) -> None:
        if self.connected:
            self.tell(Observe(exchange=1))

    # --- the network -----------------------------------------------------------------------------------------------

    @rule(adopting=st.booleans())
    def connect(self, adopting: bool) -> None:
        registered = self.reactor.begin_exchange()
        self.carry_out(self.reactor.take_effects())
        self.note(registered)
        # One that was reported and isn't there any more would be lost; the coordinator drops it.
        here = {one.attempt_id for one in registered}
        assert not {one for one in self.seen if one not in here}, "an attempt vanished without being forgotten"
        for one in registered:
            if is_attempt_finished(one.state):
                self.desired.pop(one.attempt_id, None)
        self.connected, self.adopting = True, adopting
        self.seq = 0
        self.tell(LinkUp())
        self.tell(DesiredSet(seq=self.next_seq(), attempts=tuple(self.desired.values()), adopting=adopting))

    @rule()
    def disconnect(self) -> None:
        self.connected = False
        self.tell(LinkDown())

    @rule()
    def contact(self) -> None:
        if self.connected:
            self.tell(Contact())

    # --- the host --------------------------------------------------------------------------------------------------

    @rule(data=st.data(), works=st.booleans())
    def preparation_ends(self, data: st.DataObject, works: bool) -> None:
        if self.preparing:
            attempt_id = self.preparing.pop(data.draw(st.integers(0, len(self.preparing) - 1)))
            if works:
                self.tell(AttemptPrepared(attempt_id=attempt_id, at_ms=self.now_ms))
            else:
                self.tell(PreparationFailed(attempt_id=attempt_id, at_ms=self.now_ms, error="no"))

    @rule()
    def keeper_speaks(self) -> None:
        self.keeper_tells_all()

    @rule(data=st.data(), exit_code=st.sampled_from([0, 1]))
    def process_ends(self, data: st.DataObject, exit_code: int) -> None:
        running = [attempt_id for attempt_id, is_paused in self.host.live.items() if not is_paused]
        if running:
            self.host.exit(data.draw(st.sampled_from(running)), self.now_ms, exit_code)

    @rule()
    def the_terminated_obey(self) -> None:
        for attempt_id in self.host.termed & self.host.live.keys():
            self.host.exit(attempt_id, self.now_ms, None, 15)

    @rule(ms=st.sampled_from([1, 1_000, 6_000, 30_000]))
    def pass_time(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        while (due_ms := self.reactor.next_deadline_ms()) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.tell(Tick())
        self.now_ms = end_ms

    @rule()
    def agent_restarts(self) -> None:
        self.reactor = Reactor(SLOTS, PROCESS)
        self.connected = False
        self.preparing.clear()
        self.tell(IntentsFound(intents=tuple(self.host.intents.values())))
        self.say_hello(fresh=False)

    @rule(adopted=st.booleans())
    def keeper_restarts(self, adopted: bool) -> None:
        if not adopted:
            self.host.live.clear()  # their exits are on nobody's record; those before are in the exit log
        self.say_hello(fresh=True)

    @rule(attempt_id=attempts)
    def an_impossible_event_changes_nothing(self, attempt_id: AttemptId) -> None:
        attempt = self.reactor.attempt(attempt_id)
        if attempt is None or attempt.phase is Phase.STARTING:
            return
        before = (self.reactor.observed(), self.reactor.occupied(), self.reactor.next_deadline_ms())
        with pytest.raises(IllegalTransition):
            self.reactor.handle(AttemptStarted(attempt_id=attempt_id, at_ms=self.now_ms), self.now_ms)
        assert self.reactor.take_effects() == []
        assert (self.reactor.observed(), self.reactor.occupied(), self.reactor.next_deadline_ms()) == before

    # --- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def slots_are_never_exceeded(self) -> None:
        launches = [self.host.intents[one].launch for one in self.host.live]
        given = [(one.gpu_ids, one.resources.share) for one in launches if one is not None and one.gpu_ids]
        sharing = [gpu_ids for gpu_ids, is_shared in given if is_shared]
        slots = len(given) - len(sharing) + min(len(sharing), len({gpu for gpu_ids in sharing for gpu in gpu_ids}))
        assert max(slots, len(launches) - len(given)) <= SLOTS
        assert self.host.live.keys() <= self.reactor.occupied()

    @invariant()
    def nothing_is_started_twice(self) -> None:
        assert all(count == 1 for count in self.host.starts.values())

    @invariant()
    def gpus_are_shared_only_as_asked(self) -> None:
        launches = [self.host.intents[one].launch for one in self.host.live]
        holders = [(one.gpu_ids, one.resources.share_mb) for one in launches if one is not None]
        assert not list(gpu_faults(holders, dict.fromkeys(GPUS, GPU_MEMORY_MB)))

    def teardown(self) -> None:
        """In the end nothing that isn't wanted lives, and nothing that is wanted is stuck."""
        for _ in range(4):
            self.connect(adopting=False)
            while self.preparing or self.host.untold:
                self.keeper_tells_all()
                for attempt_id in self.preparing[:]:
                    self.preparing.remove(attempt_id)
                    self.tell(AttemptPrepared(attempt_id=attempt_id, at_ms=self.now_ms))
            self.pass_time(60_000)
            self.keeper_tells_all()
        for mode in (Mode.PAUSE, Mode.RUN):
            for attempt_id in self.host.live:
                self.want_twice(attempt_id, mode)
            self.keeper_tells_all()
            assert all(is_paused is (mode is Mode.PAUSE) for is_paused in self.host.live.values())
        for attempt_id in self.host.live:
            assert attempt_id in self.desired
            assert self.desired[attempt_id].want.mode is not Mode.STOP
        waiting = [
            attempt
            for one in self.reactor.observed()
            if (attempt := self.reactor.attempt(one.attempt_id)) is not None and attempt.phase is Phase.WAITING
        ]
        assert all(attempt.reason for attempt in waiting), "something waits and doesn't say why"


TestAgentRules = AgentRules.TestCase
TestAgentRules.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
