"""A worker's machine: its clock, its disk, its processes, and the keeper that looks after them.

Simulated after the real keeper: exits are kept in a log until they are forgotten; a new keeper takes over what the log
says, can't know how such processes end, and finds what isn't in the log by its mark.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from opsconsole_agent.core.event import AttemptExited, AttemptStarted, EngineHello, Event, FoundAttempt, Paused, Resumed
from opsconsole_agent.core.intent import PROCESS
from opsconsole_protocol.end_cause import SAVED_EXIT_CODE
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.link import Launch
from tests.simulation.coordinator import EPOCH_MS
from tests.simulation.virtual import Loop, Timer


@dataclass
class Behaviour:
    """What a task's process does when left alone, and how it takes being told to end."""

    duration_ms: int
    exit_code: int
    log_bytes: int
    ignores_term: bool
    term_exit: int | None
    """Its exit code after TERM; None: it dies by the signal."""
    death_ms: int
    """How long it takes to die after KILL."""
    saves: bool = False
    """It saves a checkpoint at every step, and ends with 85 once it was asked to."""
    first_step: int = 0
    """Where it goes on."""


@dataclass(eq=False)
class Process:
    """One attempt's process. `left_ms`: of its running time, while it doesn't run."""

    attempt_id: AttemptId
    launch: Launch
    behaviour: Behaviour
    started_at_ms: int
    left_ms: int
    resumed_ms: int
    frozen: bool = False
    termed: bool = False
    killed: bool = False
    timer: Timer | None = None
    steps: int = 3
    saved_step: int = 0


@dataclass
class HostDisk:
    """What outlives every process of the host; not everything outlives the host itself."""

    intents: dict[AttemptId, bytes] = field(default_factory=dict)
    files: dict[AttemptId, bytearray] = field(default_factory=dict)
    keeper_log: dict[AttemptId, AttemptExited | None] = field(default_factory=dict)
    """By attempt: None once started, how it ended once it has, nothing when it was forgotten."""
    frozen: set[AttemptId] = field(default_factory=set)
    trees: set[ContentId] = field(default_factory=set)
    pins: dict[AttemptId, frozenset[ContentId]] = field(default_factory=dict)
    """What attempts here need of them."""
    asked: set[AttemptId] = field(default_factory=set)
    """Attempts that are to save a checkpoint and to end."""
    mark: tuple[str, int, str] = ("", 0, "")
    log_boot: int = 0


class Host:
    """One machine. What happens on it is timed by `at`, which stands still while the machine sleeps."""

    def __init__(self, loop: Loop, rng: random.Random, name: str, slots: int, gpus: tuple[str, ...]) -> None:
        self.loop = loop
        self.rng = rng
        self.name = name
        self.slots = slots
        self.gpus = gpus
        self.disk = HostDisk()
        self.boot = 1
        self.step_ms = 0
        self.slept_ms = 0
        self.wakes_at_ms = 0
        self.processes: dict[AttemptId, Process] = {}
        self.behave: Callable[[AttemptId, Launch], Behaviour] = lambda *_: Behaviour(1_000, 0, 0, False, None, 0)
        self.on_start: Callable[[Host, Process], None] = lambda *_: None
        self.on_end: Callable[[Host, Process, int | None, int | None], None] = lambda *_: None
        self.on_save: Callable[[Host, Process, int], None] | None = None
        """A task that saves has saved at a step; None: none does."""
        self.can_be_had: Callable[[ContentId], bool] = lambda _: True
        """Whether anybody could send a tree now."""
        self.keeper: Keeper | None = None

    # --- time ------------------------------------------------------------------------------------------------------

    @property
    def wall_ms(self) -> int:
        """What the host takes for the time."""
        return EPOCH_MS + self.loop.now_ms + self.step_ms

    @property
    def monotonic_ms(self) -> int:
        """A clock that stands still while the host sleeps."""
        return self.loop.now_ms - self.slept_ms

    def at(self, delay_ms: float, action: Callable[[], object]) -> Timer:
        """Do something on this host; what falls into its sleep comes after it, and nothing comes after a reboot."""
        boot = self.boot

        def act() -> None:
            if self.boot != boot:
                return
            if self.loop.now_ms < self.wakes_at_ms:
                self.loop.at(self.wakes_at_ms - self.loop.now_ms, act_unless_cancelled)
                return
            action()

        def act_unless_cancelled() -> None:
            if timer.action is not None:
                act()

        timer = self.loop.at(delay_ms, act)
        return timer

    def sleep(self, duration_ms: int) -> None:
        """Suspend the machine."""
        if self.loop.now_ms >= self.wakes_at_ms:
            self.wakes_at_ms = self.loop.now_ms + duration_ms
            self.slept_ms += duration_ms

    # --- processes -------------------------------------------------------------------------------------------------

    def spawn(self, attempt_id: AttemptId, launch: Launch) -> Process:
        """A process begins."""
        behaviour = self.behave(attempt_id, launch)
        process = Process(
            attempt_id, launch, behaviour, self.wall_ms, behaviour.duration_ms, self.loop.now_ms
        )  # fmt: skip
        process.saved_step = behaviour.first_step
        self.processes[attempt_id] = process
        self.disk.files.setdefault(attempt_id, bytearray())
        self.on_start(self, process)
        self._go_on(process)
        return process

    def freeze(self, process: Process) -> None:
        """It stands still."""
        if process.timer is not None and not process.frozen and not process.killed:
            process.timer.cancel()
            process.left_ms = max(0, process.left_ms - (self.loop.now_ms - process.resumed_ms))
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """It goes on."""
        if process.frozen:
            process.frozen = False
            if not process.killed:
                self._go_on(process)

    def term(self, process: Process) -> None:
        """SIGTERM, and it is thawed."""
        if not process.termed:
            process.termed = True
            if not process.behaviour.ignores_term and not process.killed:
                code = process.behaviour.term_exit
                signal = 15 if code is None else None
                self.at(self.rng.randrange(1, 300), lambda: self._end(process, code, signal))

    def kill(self, process: Process) -> None:
        """SIGKILL: it dies soon; it may hang in the kernel for a while."""
        if not process.killed:
            process.killed = True
            if process.timer is not None:
                process.timer.cancel()
            self.at(process.behaviour.death_ms, lambda: self._end(process, None, 9))

    def reboot(self) -> None:
        """Power off and on: processes are gone, and what wasn't synced may be, too."""
        self.keeper = None
        for process in list(self.processes.values()):
            self._end(process, None, None)
        self.boot += 1
        self.wakes_at_ms = 0
        disk = self.disk
        for attempt_id in list(disk.intents):
            if self.rng.random() < 0.1:
                del disk.intents[attempt_id]
        for attempt_id in list(disk.keeper_log):
            if self.rng.random() < 0.2:
                if disk.keeper_log[attempt_id] is None:
                    del disk.keeper_log[attempt_id]
                else:
                    disk.keeper_log[attempt_id] = None

    def _go_on(self, process: Process) -> None:
        process.resumed_ms = self.loop.now_ms
        process.timer = self.at(process.left_ms / max(1, process.steps), lambda: self._step(process))

    def _step(self, process: Process) -> None:
        """Write some of its log; at last, end."""
        if process.frozen or process.killed or process.attempt_id not in self.processes:
            return
        size = process.behaviour.log_bytes // 3
        if size:
            self.disk.files[process.attempt_id] += self.rng.randbytes(size)
        process.left_ms = max(0, process.left_ms - (self.loop.now_ms - process.resumed_ms))
        process.steps -= 1
        if self.on_save is not None and process.behaviour.saves:
            process.saved_step += 1
            self.on_save(self, process, process.saved_step)
            if process.attempt_id in self.disk.asked:
                self._end(process, SAVED_EXIT_CODE, None)
                return
        if process.steps:
            self._go_on(process)
        else:
            self._end(process, process.behaviour.exit_code, None)

    def _end(self, process: Process, exit_code: int | None, signal: int | None) -> None:
        if self.processes.pop(process.attempt_id, None) is None:
            return
        if process.timer is not None:
            process.timer.cancel()
        self.on_end(self, process, exit_code, signal)
        if self.keeper is not None:
            self.keeper.process_ended(process, exit_code, signal)


class Keeper:
    """Parent of the processes, until it is killed itself. `emit` reaches the agent that is connected, if one is."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.emit: Callable[[Event], None] | None = None
        self.children: set[AttemptId] = set()
        log = host.disk.keeper_log
        for attempt_id in [one for one, exited in log.items() if exited is None]:
            if host.disk.log_boot != host.boot:
                self._record(self._lost(attempt_id, "the host restarted", is_restart=True))
            elif attempt_id not in host.processes:
                self._record(self._lost(attempt_id, "it ended while no keeper was there to see it"))
        host.disk.log_boot = host.boot

    @property
    def live(self) -> list[AttemptId]:
        """Attempts that this keeper knows and that live."""
        return [one for one, exited in self.host.disk.keeper_log.items() if exited is None]

    def hello(self, expected: list[AttemptId], unsure: frozenset[AttemptId]) -> EngineHello:
        """The whole truth, after a look for what the log doesn't know."""
        log = self.host.disk.keeper_log
        unstarted: set[AttemptId] = set()
        lost_with_host: set[AttemptId] = set()
        for attempt_id in expected:
            if attempt_id in log:
                continue
            if attempt_id in self.host.processes:
                log[attempt_id] = None
            elif attempt_id in unsure:
                lost_with_host.add(attempt_id)
            else:
                unstarted.add(attempt_id)
        processes = [self.host.processes[one] for one in self.live]
        live = tuple(
            FoundAttempt(attempt_id=one.attempt_id, started_at_ms=one.started_at_ms, is_paused=one.frozen)
            for one in processes
        )
        exits = tuple(exited for exited in log.values() if exited is not None)
        return EngineHello(
            engine=PROCESS,
            live=live,
            exits=exits,
            unstarted=frozenset(unstarted),
            lost_with_host=frozenset(lost_with_host),
        )

    def start(self, attempt_id: AttemptId, launch: Launch, *, dies_between: bool = False) -> None:
        """Start a process. `dies_between`: this keeper is killed before it has noted that it did."""
        log = self.host.disk.keeper_log
        if attempt_id in log:
            return
        if self.host.rng.random() < 0.01:
            now_ms = self.host.wall_ms
            self._record(AttemptExited(attempt_id=attempt_id, at_ms=now_ms, error="command not found: nonsense"))
            return
        if dies_between:
            self.host.spawn(attempt_id, launch)
            return
        log[attempt_id] = None
        self.children.add(attempt_id)
        process = self.host.spawn(attempt_id, launch)
        self._say(AttemptStarted(attempt_id=attempt_id, at_ms=process.started_at_ms))

    def freeze(self, attempt_id: AttemptId) -> None:
        """Stop it; not when it is being killed."""
        process = self._process(attempt_id)
        if process is not None and not process.killed and not process.frozen:
            self.host.freeze(process)
            self.host.disk.frozen.add(attempt_id)
            self._say(Paused(attempt_id=attempt_id, at_ms=self.host.wall_ms))

    def thaw(self, attempt_id: AttemptId) -> None:
        """Let it go on."""
        process = self._process(attempt_id)
        if process is not None and process.frozen:
            self.host.thaw(process)
            self._say(Resumed(attempt_id=attempt_id, at_ms=self.host.wall_ms))

    def terminate(self, attempt_id: AttemptId) -> None:
        """TERM, and thaw."""
        process = self._process(attempt_id)
        if process is not None:
            self.host.term(process)
            self.thaw(attempt_id)

    def kill(self, attempt_id: AttemptId) -> None:
        """KILL, and thaw."""
        process = self._process(attempt_id)
        if process is not None:
            self.host.kill(process)
            self.thaw(attempt_id)

    def forget(self, attempt_id: AttemptId) -> None:
        """The exit is safe elsewhere."""
        if self.host.disk.keeper_log.get(attempt_id) is not None:
            del self.host.disk.keeper_log[attempt_id]

    def process_ended(self, process: Process, exit_code: int | None, signal: int | None) -> None:
        """Nothing of it lives any more."""
        if process.attempt_id not in self.host.disk.keeper_log:
            return  # a stranger, until somebody asks for it
        if process.attempt_id not in self.children:
            self._record(self._lost(process.attempt_id, "its keeper had died", process))
            return
        self._record(
            AttemptExited(
                attempt_id=process.attempt_id,
                at_ms=self.host.wall_ms,
                exit_code=exit_code,
                signal=signal,
                started_at_ms=process.started_at_ms,
            )
        )

    def _lost(
        self, attempt_id: AttemptId, why: str, process: Process | None = None, *, is_restart: bool = False
    ) -> AttemptExited:
        return AttemptExited(
            attempt_id=attempt_id,
            at_ms=self.host.wall_ms,
            exit_known=False,
            error=why,
            started_at_ms=self.host.wall_ms if process is None else process.started_at_ms,
            host_restarted=is_restart,
        )

    def _record(self, exited: AttemptExited) -> None:
        self.host.disk.keeper_log[exited.attempt_id] = exited
        self._say(exited)

    def _process(self, attempt_id: AttemptId) -> Process | None:
        if self.host.disk.keeper_log.get(attempt_id, self) is not None:
            return None
        return self.host.processes.get(attempt_id)

    def _say(self, event: Event) -> None:
        if self.emit is not None:
            self.emit(event)
