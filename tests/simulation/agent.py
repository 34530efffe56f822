"""The agent: its real core, and a model of the shell around it that does what the effects say, in their order."""

import itertools
from collections import deque
from collections.abc import Callable

import msgspec

from opsconsole_agent.core.effect import (
    AbandonPreparation,
    AskToSave,
    Effect,
    FinishLog,
    ForgetAttempt,
    Kill,
    NoteFault,
    Pause,
    PersistIntent,
    PrepareAttempt,
    Resume,
    RewindLog,
    SendObservation,
    SendReport,
    StartAttempt,
    Terminate,
    WithdrawAsk,
)
from opsconsole_agent.core.event import (
    AttemptExited,
    AttemptPrepared,
    BuildStarted,
    ClockMoved,
    EngineHello,
    Event,
    IntentsFound,
    LogComplete,
    Paused,
    PreparationFailed,
    Resumed,
    StartFailed,
    Tick,
)
from opsconsole_agent.core.intent import PROCESS, Intent
from opsconsole_agent.core.reactor import Reactor
from opsconsole_protocol import link
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import AttemptId, ContentId
from tests.simulation.agent_link import AgentLink
from tests.simulation.host import Host, Keeper
from tests.simulation.network import Network
from tests.simulation.virtual import Timer

_intent = msgspec.json.Decoder(Intent).decode
_runs = itertools.count()


class AgentProcess:
    """One life of an agent on a host. Everything but `host.disk` ends with it."""

    def __init__(
        self,
        host: Host,
        network: Network,
        say: Callable[[str], None],
        on_effect: Callable[["AgentProcess", Effect], None],
        on_keeper_death: Callable[[AttemptId], None],
    ) -> None:
        self.host = host
        self.reactor = Reactor(host.slots, PROCESS)
        self.is_dead = False
        self.link = AgentLink(self, network)
        self.crash_before_effect: int | None = None
        self.keeper_dies_at_start = False
        self.disk_is_full = False
        self._say = say
        self._on_effect = on_effect
        self._on_keeper_death = on_keeper_death
        self._inbox: deque[Event] = deque()
        self._is_busy = False
        self._unwritten: set[AttemptId] = set()
        self._unanswered: set[AttemptId] = set()
        self._preparing: dict[AttemptId, int] = {}
        self._timer: Timer | None = None
        self._timer_due_ms: int | None = None
        self._clocks = (host.wall_ms, host.monotonic_ms)
        self._unsure: frozenset[AttemptId] = frozenset()
        self.run_id = f"{host.name}-{next(_runs)}"

    def say(self, text: str) -> None:
        """Add to the story."""
        self._say(f"{self.host.name}: {text}")

    # --- start and end ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Read what an earlier life wrote, find the keeper, then dial."""
        disk = self.host.disk
        intents = tuple(_intent(data) for data in disk.intents.values())
        if disk.log_boot != self.host.boot and disk.log_boot:
            self._unsure = frozenset(intent.attempt_id for intent in intents)
        self.handle_events([IntentsFound(intents=intents)])
        self.reach_keeper(self.link.dial)

    def crash(self) -> None:
        """`kill -9`."""
        self.is_dead = True
        self.link.abandon()
        keeper = self.host.keeper
        if keeper is not None:
            keeper.emit = None

    def at(self, delay_ms: float, action: Callable[[], object]) -> Timer:
        """Do something later, if this life still lasts."""
        return self.host.at(delay_ms, lambda: None if self.is_dead else action())

    def reach_keeper(self, then: Callable[[], object] = lambda: None) -> None:
        """Find the keeper or start one; its hello comes first."""

        def connect() -> None:
            keeper = self.host.keeper
            if keeper is None:
                keeper = self.host.keeper = Keeper(self.host)
            news = _Ordered(self, keeper)
            keeper.emit = news.put
            expected = [attempt.attempt_id for attempt in self.reactor.expected()]
            self.handle_events([keeper.hello(expected, self._unsure)])
            for attempt in self.reactor.expected():
                self.link.follow(attempt.attempt_id)
            then()

        self.at(self.host.rng.randrange(2, 40), connect)

    def keeper_lost(self) -> None:
        """The keeper was killed: look for it."""
        self.reach_keeper()

    # --- events in, effects out ------------------------------------------------------------------------------------

    def handle_events(self, events: list[Event]) -> None:
        """Take events in order."""
        self._inbox.extend(events)
        if self._is_busy or self.is_dead:
            return
        self._is_busy = True
        self._process_inbox()
        self._is_busy = False
        if not self.is_dead:
            self._set_timer()

    def _process_inbox(self) -> None:
        now_ms = self._now_ms()
        while self._inbox and not self.is_dead:
            while self._inbox:
                event = self._inbox.popleft()
                if isinstance(event, ClockMoved | StartFailed):
                    self._say(f"{self.host.name}: {event}")
                if isinstance(event, EngineHello):
                    self._unanswered.clear()
                elif isinstance(event, Paused | Resumed | AttemptExited):
                    self._unanswered.discard(event.attempt_id)
                try:
                    self.reactor.handle(event, now_ms)
                except IllegalTransition as error:
                    self._say(f"{self.host.name}: ignored, late or doubled news: {error.message[:150]}")
            self.carry_out(self.reactor.take_effects())

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what is to be done; the process may die between any two effects."""
        for effect in effects:
            if self.crash_before_effect is not None:
                self.crash_before_effect -= 1
                if self.crash_before_effect < 0:
                    self._say(f"{self.host.name}: agent dies before {type(effect).__name__}")
                    self.crash()
            if self.is_dead:
                return
            self._on_effect(self, effect)
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:  # noqa: C901 – one line an effect
        match effect:
            case PersistIntent():
                self._persist(effect.intent)
            case NoteFault():
                raise AssertionError(f"{self.host.name}: an illegal decision: {effect.text}")
            case PrepareAttempt():
                self._prepare(effect)
            case AbandonPreparation():
                self._preparing.pop(effect.attempt_id, None)
            case StartAttempt():
                self._start(effect.attempt_id)
            case Pause():
                self._ask_once(effect)
                self._command(lambda keeper: keeper.freeze(effect.attempt_id))
            case Resume():
                self._ask_once(effect)
                self._command(lambda keeper: keeper.thaw(effect.attempt_id))
            case AskToSave():
                self.host.disk.asked.add(effect.attempt_id)
            case WithdrawAsk():
                self.host.disk.asked.discard(effect.attempt_id)
            case Terminate():
                self._command(lambda keeper: keeper.terminate(effect.attempt_id))
            case Kill():
                self._command(lambda keeper: keeper.kill(effect.attempt_id))
            case FinishLog():
                self.link.follow(effect.attempt_id)
                size = len(self.host.disk.files.get(effect.attempt_id, b""))
                sizes = {"stdout": size} if size else {}
                self._inbox.append(LogComplete(attempt_id=effect.attempt_id, sizes=sizes))
            case RewindLog():
                self.link.rewind(effect.attempt_id, effect.offsets.get("stdout", 0))
            case ForgetAttempt():
                self._forget(effect.attempt_id)
            case SendReport():
                self.link.send(effect.report)
            case SendObservation():
                self.link.send(effect.observation)

    def _ask_once(self, effect: Pause | Resume) -> None:
        """An engine that was asked for a pause is asked for nothing more of the kind until it has answered."""
        if effect.attempt_id in self._unanswered:
            raise AssertionError(f"{self.host.name}: {effect}, and the one before is unanswered")
        self._unanswered.add(effect.attempt_id)

    def _persist(self, intent: Intent) -> None:
        if self.disk_is_full:
            self._unwritten.add(intent.attempt_id)
        else:
            self._unwritten.discard(intent.attempt_id)
            self.host.disk.intents[intent.attempt_id] = msgspec.json.encode(intent)

    def _prepare(self, effect: PrepareAttempt) -> None:
        attempt_id, rng = effect.attempt_id, self.host.rng
        ticket = self._preparing[attempt_id] = rng.getrandbits(40)

        def is_wanted() -> bool:
            return self._preparing.get(attempt_id) == ticket

        attempt = self.reactor.attempt(attempt_id)
        launch = attempt.launch if attempt is not None else None
        needed = frozenset(one.content_id for one in launch.uploads) if launch is not None else frozenset()
        if launch is not None and launch.resume is not None and launch.resume.content_id is not None:
            needed |= {launch.resume.content_id}
        has_output = launch is not None and (launch.collect or launch.environment)
        path = f"/out/jobs/{launch.job_id}" if launch is not None and has_output else None
        if needed:
            self.host.disk.pins[attempt_id] = needed

        def end() -> None:
            if not is_wanted():
                return
            if needed - self.host.disk.trees:
                self._fetch(needed)
                self.at(rng.randrange(100, 2_000), end)
                return
            del self._preparing[attempt_id]
            if rng.random() < 0.01:
                error = "input file is not there"
                self.handle_events([PreparationFailed(attempt_id=attempt_id, at_ms=self.host.wall_ms, error=error)])
            else:
                at_ms = self.host.wall_ms
                self.handle_events([AttemptPrepared(attempt_id=attempt_id, at_ms=at_ms, output_path=path)])

        def build() -> None:
            if is_wanted():
                self.handle_events([BuildStarted(attempt_id=attempt_id, at_ms=self.host.wall_ms)])

        if rng.random() < 0.3:
            self.at(1, build)
            self.at(rng.randrange(2, 3_000), end)
        else:
            self.at(0, end)

    def _fetch(self, needed: frozenset[ContentId]) -> None:
        """Take from whoever has it what isn't here yet."""
        added = tuple(sorted(one for one in needed - self.host.disk.trees if self.host.can_be_had(one)))
        self.host.disk.trees.update(added)
        if added:
            self.link.send(link.Contents(whole=False, added=added))

    def _start(self, attempt_id: AttemptId) -> None:
        if attempt_id in self._unwritten:
            self._unwritten.discard(attempt_id)
            self._inbox.append(StartFailed(attempt_id=attempt_id, at_ms=self.host.wall_ms, error="the disk is full"))
            return
        attempt = self.reactor.attempt(attempt_id)
        if attempt is None or attempt.launch is None:
            raise AssertionError(f"{attempt_id} is to be started, but there is no spec")
        launch = attempt.launch
        dies, self.keeper_dies_at_start = self.keeper_dies_at_start, False
        self.link.follow(attempt_id)

        def start(keeper: Keeper) -> None:
            keeper.start(attempt_id, launch, dies_between=dies)
            if dies and self.host.keeper is keeper:
                self._say(f"{self.host.name}: keeper dies right after it started {attempt_id}")
                self.host.keeper = None
                self._on_keeper_death(attempt_id)
                self.keeper_lost()

        self._command(start)

    def _command(self, command: Callable[[Keeper], object]) -> None:
        """On its way to the keeper a command outlives the agent that sent it, but not the keeper."""
        keeper = self.host.keeper
        if keeper is not None:
            self.host.at(self.host.rng.randrange(3), lambda: command(keeper) if self.host.keeper is keeper else None)

    def _forget(self, attempt_id: AttemptId) -> None:
        self.link.drop(attempt_id)
        self.host.disk.intents.pop(attempt_id, None)
        self.host.disk.files.pop(attempt_id, None)
        self.host.disk.pins.pop(attempt_id, None)
        self._command(lambda keeper: keeper.forget(attempt_id))

    # --- time ------------------------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        wall_ms, monotonic_ms = self.host.wall_ms, self.host.monotonic_ms
        jump_ms = (wall_ms - self._clocks[0]) - (monotonic_ms - self._clocks[1])
        self._clocks = (wall_ms, monotonic_ms)
        if abs(jump_ms) > 2_000:
            self._inbox.appendleft(ClockMoved(delta_ms=jump_ms))
        return wall_ms

    def _set_timer(self) -> None:
        due_ms = self.reactor.next_deadline_ms()
        if due_ms == self._timer_due_ms:
            return
        self._timer_due_ms = due_ms
        if self._timer is not None:
            self._timer.cancel()
        if due_ms is not None:
            self._timer = self.at(max(0, due_ms - self._clocks[0]), self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_due_ms = None
        self.handle_events([Tick()])


class _Ordered:
    """News of one keeper for one life of the agent, in order."""

    def __init__(self, agent: AgentProcess, keeper: Keeper) -> None:
        self._agent = agent
        self._keeper = keeper
        self._queue: deque[Event] = deque()

    def put(self, event: Event) -> None:
        self._queue.append(event)
        self._agent.at(self._agent.host.rng.randrange(3), self._deliver)

    def _deliver(self) -> None:
        if self._queue and self._agent.host.keeper is self._keeper:
            self._agent.handle_events([self._queue.popleft()])
