"""Carries out a plan's faults. Every one of them ends; `heal` ends all."""

from collections.abc import Callable
from functools import partial

from tests.simulation.agent import AgentProcess
from tests.simulation.checker import Checker, Ledger
from tests.simulation.coordinator import Coordinator
from tests.simulation.host import Host
from tests.simulation.network import Network
from tests.simulation.plan import FaultPlan
from tests.simulation.virtual import Loop


class Machine:
    """A host and the agent that lives on it at the moment, and comes back when it dies."""

    def __init__(self, host: Host, make: Callable[[Host], AgentProcess]) -> None:
        self.host = host
        self.agent: AgentProcess | None = None
        self._make = make

    def start(self) -> None:
        """Start the agent, unless it runs."""
        if self.agent is None or self.agent.is_dead:
            self.agent = self._make(self.host)
            self.agent.start()

    def crash_agent(self) -> None:
        """`kill -9`."""
        if self.agent is not None and not self.agent.is_dead:
            self.agent.crash()
        self.agent = None


class Nemesis:
    """Does what is planned to go wrong."""

    def __init__(
        self, loop: Loop, network: Network, coordinator: Coordinator, machines: list[Machine], checker: Checker,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._loop = loop
        self._network = network
        self._coordinator = coordinator
        self._machines = machines
        self._checker = checker
        self._say = say
        self._backup: tuple[bytes, Ledger] | None = None
        self._is_over = False

    def begin(self, faults: tuple[FaultPlan, ...]) -> None:
        """Plan everything. A restore needs a backup made before."""
        for fault in faults:
            self._loop.at(fault.at_ms, partial(self._strike, fault))
            if fault.kind == "restore":
                self._loop.at(max(0, fault.at_ms - fault.duration_ms % 20_000), self._back_up)

    def heal(self) -> None:
        """From now on nothing goes wrong, and what is down comes up."""
        self._is_over = True
        disk = self._coordinator.disk
        disk.fail_next, disk.crash_after_next, disk.commit_ms = False, None, 2
        self._network.slow_ms.clear()
        self._network.doubled.clear()
        self._coordinator.start()
        for machine in self._machines:
            self._network.heal(machine.host.name)
            if machine.agent is not None:
                machine.agent.disk_is_full = False
                machine.agent.crash_before_effect = None
                machine.agent.keeper_dies_at_start = False
            machine.start()

    def _back_up(self) -> None:
        self._backup = (self._coordinator.disk.backup(), self._checker.ledger.copy())
        self._say("a backup is made")

    def _strike(self, fault: FaultPlan) -> None:
        if self._is_over:
            return
        machine = self._machines[fault.host]
        self._say(f"FAULT {fault.kind} {machine.host.name} for {fault.duration_ms} ms")
        getattr(self, f"_{fault.kind}")(machine, fault.duration_ms)

    def _later(self, delay_ms: int, action: Callable[[], object]) -> None:
        self._loop.at(delay_ms, lambda: None if self._is_over else action())

    # --- network ---------------------------------------------------------------------------------------------------

    def _cut(self, machine: Machine, duration_ms: int) -> None:
        for connection in self._network.of(machine.host.name):
            connection.cut(agent_notices=True, server_notices=duration_ms % 2 == 0)

    def _half_open(self, machine: Machine, duration_ms: int) -> None:
        for connection in self._network.of(machine.host.name):
            connection.cut(agent_notices=duration_ms % 3 == 0, server_notices=duration_ms % 3 == 1)

    def _stall(self, machine: Machine, duration_ms: int, *, up: bool = True, down: bool = True) -> None:
        self._network.stall(machine.host.name, up=up, down=down)
        self._later(duration_ms, lambda: self._network.heal(machine.host.name))

    def _stall_up(self, machine: Machine, duration_ms: int) -> None:
        self._stall(machine, duration_ms, down=False)

    def _stall_down(self, machine: Machine, duration_ms: int) -> None:
        self._stall(machine, duration_ms, up=False)

    def _slow_net(self, machine: Machine, duration_ms: int) -> None:
        self._network.slow_ms[machine.host.name] = 1_000
        self._later(duration_ms, lambda: self._network.slow_ms.pop(machine.host.name, None))

    def _flap(self, machine: Machine, duration_ms: int) -> None:
        for number in range(4):
            self._later(number * (500 + duration_ms // 8), lambda: self._cut(machine, duration_ms))

    def _duplicate(self, machine: Machine, duration_ms: int) -> None:
        self._network.doubled.add(machine.host.name)
        self._later(duration_ms, lambda: self._network.doubled.discard(machine.host.name))

    def _late(self, machine: Machine, duration_ms: int) -> None:
        for connection in self._network.of(machine.host.name):
            connection.leave_behind(duration_ms % 3_000, duration_ms % 20_000)

    # --- coordinator -----------------------------------------------------------------------------------------------

    def _coordinator_crash(self, machine: Machine, duration_ms: int) -> None:
        del machine
        self._coordinator.crash()
        self._later(duration_ms, self._coordinator.start)

    def _crash_after_commit(self, machine: Machine, duration_ms: int) -> None:
        def crash() -> None:
            self._say("the coordinator dies right after a commit")
            self._coordinator_crash(machine, duration_ms)

        self._coordinator.disk.crash_after_next = crash

    def _commit_failure(self, machine: Machine, duration_ms: int) -> None:
        del machine, duration_ms
        self._coordinator.disk.fail_next = True

    def _slow_disk(self, machine: Machine, duration_ms: int) -> None:
        del machine
        self._coordinator.disk.commit_ms = 1_500

        def recover() -> None:
            self._coordinator.disk.commit_ms = 2

        self._later(duration_ms, recover)

    def _log_disk_failure(self, machine: Machine, duration_ms: int) -> None:
        del machine, duration_ms
        if self._coordinator.life is not None:
            self._coordinator.life.logs.fail_next = True

    def _restore(self, machine: Machine, duration_ms: int) -> None:
        del machine
        if self._backup is None:
            return
        self._coordinator.crash()
        self._coordinator.disk.restore(self._backup[0])
        self._coordinator.restores += 1
        self._checker.restored(self._backup[1])
        self._say("the backup is restored")
        self._later(min(duration_ms, 10_000), self._coordinator.start)

    # --- hosts -----------------------------------------------------------------------------------------------------

    def _agent_crash(self, machine: Machine, duration_ms: int) -> None:
        machine.crash_agent()
        self._later(duration_ms, machine.start)

    def _agent_crash_mid_effects(self, machine: Machine, duration_ms: int) -> None:
        if machine.agent is not None:
            machine.agent.crash_before_effect = duration_ms % 5
            self._later(duration_ms, machine.start)

    def _agent_disk_full(self, machine: Machine, duration_ms: int) -> None:
        agent = machine.agent
        if agent is not None:
            agent.disk_is_full = True

            def recover() -> None:
                agent.disk_is_full = False

            self._later(min(duration_ms, 5_000), recover)

    def _keeper_crash(self, machine: Machine, duration_ms: int) -> None:
        del duration_ms
        if machine.host.keeper is not None:
            machine.host.keeper = None
            if machine.agent is not None:
                machine.agent.keeper_lost()

    def _keeper_crash_at_start(self, machine: Machine, duration_ms: int) -> None:
        del duration_ms
        if machine.agent is not None:
            machine.agent.keeper_dies_at_start = True

    def _reboot(self, machine: Machine, duration_ms: int) -> None:
        machine.crash_agent()
        machine.host.reboot()
        self._later(duration_ms, machine.start)

    def _clock_step(self, machine: Machine, duration_ms: int) -> None:
        machine.host.step_ms += (duration_ms * 50) * (1 if duration_ms % 2 else -1)

    def _suspend(self, machine: Machine, duration_ms: int) -> None:
        host = machine.host
        host.sleep(duration_ms)
        self._network.asleep.add(host.name)

        def wake() -> None:
            self._network.asleep.discard(host.name)
            self._network.wake(host.name)

        self._loop.at(max(0, host.wakes_at_ms - self._loop.now_ms), wake)
