"""One schedule from its plan to its end: chaos, calm, and then everything has to settle."""

import gc
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest import mock

from opsconsole_agent.core.effect import Effect, RewindLog
from opsconsole_coordinator import giving_way
from opsconsole_coordinator.core.demand import demand_of
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import judge_all
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.server import agent_session, commit_loop, job_api, outbox
from opsconsole_coordinator.store import rebuild
from opsconsole_protocol import api, link
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.link import Launch, Mode
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import TaskState, is_task_finished
from tests.simulation.agent import AgentProcess
from tests.simulation.checker import Checker
from tests.simulation.coordinator import EPOCH_MS, Coordinator, Life
from tests.simulation.fault import Machine, Nemesis
from tests.simulation.host import Behaviour, Host, Process
from tests.simulation.network import Network
from tests.simulation.plan import SAVES, JobPlan, Plan, room_for
from tests.simulation.saving import Saving, resumed_step
from tests.simulation.share import Shares
from tests.simulation.store import Disk
from tests.simulation.tree import Trees
from tests.simulation.virtual import Loop
from tests.simulation.workload import Operators

CALM_MS = 75_000
QUIET_MS = 10_000
SETTLE_MS = 1_800_000
STORY_MAX = 20_000


@dataclass
class Outcome:
    """How a run ended. `violation` is empty when all is well."""

    seed: int
    violation: str
    story: list[str]
    steps: int
    virtual_ms: int
    error: BaseException | None = None
    checks: Counter[str] = field(default_factory=Counter)


class World:
    """Everything of one schedule."""

    def __init__(self, plan: Plan, *, with_story: bool) -> None:
        self.plan = plan
        self.loop = Loop()
        self.rng = random.Random(f"world {plan.seed}")  # noqa: S311 – chance that repeats itself
        self.story: deque[str] = deque(maxlen=STORY_MAX if with_story else 0)
        self._tells = with_story
        self._jobs = {job.job_id: job for job in plan.jobs}
        self.disk = Disk(self.loop, self.rng)
        self.checker = Checker(self.loop, self.disk, self.say)
        self.checker.specs = {job.job_id: job.spec for job in plan.jobs}
        self.checker.shares = Shares(
            {job.job_id: job.person for job in plan.jobs}, self.checker.require, lambda: self.loop.now_ms
        )
        troubles_ms = [one.at_ms for one in plan.faults] + [one.at_ms for one in plan.acts]
        self.checker.backfills.specs, self.checker.backfills.epoch_ms = self.checker.specs, EPOCH_MS
        self.checker.backfills.is_calm = lambda: not any(at_ms <= self.loop.now_ms for at_ms in troubles_ms)
        self.disk.on_commit = self.checker.committed
        self.network = Network(self.loop, self.rng)
        self.coordinator = Coordinator(self.loop, self.network, self.disk, self.rng, self.checker.log_stored)
        self.trees = Trees(self.loop, plan.trees, self.say)
        self.saving = Saving(self.loop, self.say, lambda tree: self.trees.keep([tree]))
        self.machines = [self._machine(number) for number in range(len(plan.hosts))]
        self.saving.is_up = self._is_up
        self.trees.hosts += [machine.host for machine in self.machines]
        self.trees.is_up, self.trees.on_trim = self._is_up, self._trimmed
        self.trees.on_collect, self.checker.missing = self.checker.collected, self.trees.missing
        self.coordinator.on_loaded = self._born
        self.operators = Operators(self.loop, self.coordinator, plan, self.checker, self.say)
        self.operators.bring = self.trees.bring
        self.nemesis = Nemesis(self.loop, self.network, self.coordinator, self.machines, self.checker, self.say)
        self.checker.is_connected = self._is_connected
        self._up_since_ms: dict[str, int] = {}
        self._fleet: Fleet | None = None

    def say(self, text: str) -> None:
        """Add to the story."""
        if self._tells:
            self.story.append(f"{self.loop.now_ms / 1000:9.3f} {text}")

    def _born(self, life: Life) -> None:
        self.trees.born(life)
        self.saving.born(life)

    # --- building --------------------------------------------------------------------------------------------------

    def _machine(self, number: int) -> Machine:
        planned = self.plan.hosts[number]
        host = Host(self.loop, self.rng, planned.name, planned.slots, planned.gpus)
        host.behave = self._behave
        host.on_start = self.checker.process_started
        host.on_end = self.checker.process_ended
        host.can_be_had = self.trees.can_be_had
        host.on_save = self.saving.saved
        if self._tells:
            self._tell_processes(host)
        self.checker.hosts[host.name] = host
        return Machine(
            host, lambda host: AgentProcess(host, self.network, self.say, self._effect, self.checker.keeper_died_over)
        )

    def _tell_processes(self, host: Host) -> None:
        start, end = host.on_start, host.on_end

        def started(host: Host, one: Process) -> None:
            self.say(f"{host.name}: process of {one.attempt_id} starts")
            start(host, one)

        def ended(host: Host, one: Process, code: int | None, signal: int | None) -> None:
            self.say(f"{host.name}: process of {one.attempt_id} ends: code {code}, signal {signal}")
            end(host, one, code, signal)

        host.on_start, host.on_end = started, ended

    def _behave(self, attempt_id: AttemptId, launch: Launch) -> Behaviour:
        job: JobPlan = self._jobs[launch.job_id]
        rng = random.Random(f"{self.plan.seed} {attempt_id}")  # noqa: S311 – the same
        return Behaviour(
            duration_ms=rng.randint(*job.duration_ms),
            exit_code=1 if rng.random() < job.failure_rate else 0,
            log_bytes=job.log_bytes,
            ignores_term=rng.random() < job.stubborn_rate,
            term_exit=rng.choice((None, 0, 143)),
            death_ms=rng.choice((0, 5, 50, 9_000)) if job.stubborn_rate else rng.randrange(20),
            saves=launch.environment.get(SAVES) in (("each", "first") if launch.task_index == 0 else ("each",)),
            first_step=resumed_step(launch),
        )

    def _effect(self, agent: AgentProcess, effect: Effect) -> None:
        if self._tells and not isinstance(effect, RewindLog):
            self.say(f"{agent.host.name}: {_brief(effect)}")
        self.checker.effect(agent, effect)

    def _is_connected(self, name: str) -> bool:
        """Whether a worker has been connected and heard for some seconds."""
        fleet = self.coordinator.fleet
        worker = fleet.workers.get(name) if fleet is not None else None  # type: ignore[call-overload]
        if worker is None or worker.session is None or worker.connection != "connected":
            return False
        since = self._up_since_ms.get(name, 1 << 60)
        return self.loop.now_ms - since > 5_000

    def _is_up(self, name: str) -> bool:
        """Whether the agent of a host lives and can be reached."""
        agent = next(machine.agent for machine in self.machines if machine.host.name == name)
        is_there = agent is not None and not agent.is_dead
        is_stalled = bool(self.network.stalled & {(name, True), (name, False)})
        return is_there and not is_stalled and name not in self.network.asleep

    def _trimmed(self, name: str, tree: ContentId) -> None:
        agent = next(machine.agent for machine in self.machines if machine.host.name == name)
        if agent is not None and not agent.is_dead:
            agent.link.send(link.Contents(whole=False, removed=(tree,)))

    def _watch(self) -> None:
        """Note since when each worker is connected without a break."""
        fleet = self.coordinator.fleet
        for machine in self.machines:
            name = machine.host.name
            worker = fleet.workers.get(name) if fleet is not None else None  # type: ignore[call-overload]
            is_up = worker is not None and worker.session is not None and worker.connection == "connected"
            is_up = is_up and machine.agent is not None and not machine.agent.is_dead
            is_up = is_up and not self.network.stalled and name not in self.network.asleep
            if is_up:
                self._up_since_ms.setdefault(name, self.loop.now_ms)
            else:
                self._up_since_ms.pop(name, None)
            self.checker.look(machine.host)
        self.trees.look()
        if fleet is not self._fleet:
            self._fleet = fleet
            self.checker.coordinator_died()
        if fleet is not None:
            held = (worker.reserved for worker in fleet.workers.values())
            self.checker.look_at_reserved(sorted({one.job_id for one in held if one is not None and one.gang}))
        self.loop.at(1_000, self._watch)

    # --- running ---------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Chaos, calm, settling."""
        with ExitStack() as stack:
            for patch in _shell_patches(_Log(self.loop, self.say)):
                stack.enter_context(patch)
            try:
                self._run()
            finally:
                self.coordinator.crash()
                self.disk.connection.close()
        error = self.loop.errors[0] if self.loop.errors else None
        violation = ""
        if error is not None:
            violation = str(error) if isinstance(error, AssertionError) and self.checker.violations else repr(error)
        return Outcome(
            self.plan.seed, violation, list(self.story), self.loop.steps, self.loop.now_ms, error, self.checker.checks
        )

    def _run(self) -> None:
        self.coordinator.start()
        for machine in self.machines:
            self.loop.at(self.rng.randrange(50), machine.start)
        self.operators.begin()
        self.nemesis.begin(self.plan.faults)
        self.trees.begin()
        self._watch()
        self._advance(self.plan.over_ms)
        if self.plan.contest is not None and not self.loop.errors:
            self.checker.shares.check_parts(*self.plan.contest)
        self.say("--- calm")
        self.nemesis.heal()
        self.trees.heal()
        self._calm_down()
        self._check_calm()
        self.say("--- settling")
        self._let_go()
        deadline_ms = self.loop.now_ms + SETTLE_MS
        while not self.loop.errors and self.loop.now_ms < deadline_ms:
            self._advance(2_000)
            if not self._unsettled():
                break
        else:
            if not self.loop.errors:
                self.checker.fail(f"everything settles: {'; '.join(self._unsettled()[:5])}")
        if not self.loop.errors:
            self._check_end()

    def _advance(self, duration_ms: int) -> None:
        try:
            self.loop.run(self.loop.now_ms + duration_ms)
        except Exception as error:  # noqa: BLE001 – a bug in an agent's core, to be shown with the story
            self.loop.errors.append(error)

    def _calm_down(self) -> None:
        """A minute in which nothing goes wrong; no longer than that is of interest once nothing is left to do."""
        awake_ms = max(self.loop.now_ms, *(machine.host.wakes_at_ms for machine in self.machines))
        until_ms = awake_ms + (CALM_MS if self.plan.acts else 5_000)
        settled_ms = 0
        while self.loop.now_ms < until_ms and settled_ms < QUIET_MS and not self.loop.errors:
            self._advance(2_000)
            settled_ms = 0 if self._unsettled() else settled_ms + 2_000

    def _let_go(self) -> None:
        """Operators undo what makes things wait."""
        self._confirm()
        self.operators.lift_limits()
        for job in self.plan.jobs:
            for verb in ("resume", "release"):
                self.checker.asked(verb, job.job_id, None)
                self.operators.ask(api.Act(verb=verb, ids=(job.job_id,)), f"{verb} {job.job_id}")
        for machine in self.machines:
            request = api.SetWorker(name=machine.host.name, action="undrain")
            self.operators.ask(request, f"undrain {machine.host.name}")

    def _confirm(self) -> None:
        """An admin confirms a restored store as soon as somebody has noticed."""
        fleet = self.coordinator.fleet
        if fleet is not None and fleet.adopting:
            self.operators.ask(api.ConfirmRestore(), "confirm the restored store", self._confirmed)
        self.loop.at(5_000, self._confirm)

    def _confirmed(self, _: object) -> None:
        self.checker.is_unconfirmed = False

    # --- in the end ------------------------------------------------------------------------------------------------

    def _check_calm(self) -> None:
        """After a calm minute every paused attempt stands still."""
        fleet = self.coordinator.fleet
        for machine in self.machines:
            for process in machine.host.processes.values():
                attempt = fleet.attempts.get(process.attempt_id) if fleet is not None else None
                if attempt is None or attempt.is_finished or process.termed:
                    continue
                told = self.checker.told((attempt.job_id, attempt.index), "pause", "hold")
                if attempt.want.by is PauseBy.CHECKPOINT:
                    continue  # it goes on until it has saved
                if attempt.want.mode is Mode.PAUSE or told:
                    text = f"{attempt.id} is to stand still and runs"
                    self.checker.require(process.frozen or process.killed, "pauses hold", text)

    def _unsettled(self) -> list[str]:
        """What is still going on."""
        found: list[str] = []
        fleet = self.coordinator.fleet
        if fleet is None:
            return ["no coordinator"]
        if not self.coordinator.is_committed:
            found.append("a commit is on its way")
        if self.operators.waiting:
            found.append(f"{self.operators.waiting} requests are unanswered")
        found += [why for job in list(fleet.jobs.values()) if (why := self._why_unfinished(fleet, job))]
        found += [f"a checkpoint of {job_id} is to be copied" for job_id, _ in fleet.checkpoint_copies]
        found += [f"results of {copy.attempt_id} are wanted" for copy in fleet.output_copies]
        for worker in fleet.workers.values():
            if worker.live or worker.ended:
                found.append(f"{worker.name} has {[*worker.live, *worker.ended]}")
        for machine in self.machines:
            host, agent = machine.host, machine.agent
            observed = agent.reactor.observed() if agent is not None else ()
            found += [f"{host.name} still has {one.attempt_id} as {one.state}" for one in observed]
            for what, things in (
                ("a process of", host.processes),
                ("an intent of", host.disk.intents),
                ("a keeper's record of", host.disk.keeper_log),
            ):
                found += [f"{host.name} has {what} {one}" for one in things]
        return found

    def _why_unfinished(self, fleet: Fleet, job: Job) -> str:
        if job.is_finished and not job.open_attempts:
            return ""
        waiting = {task.state for task in job.tasks if not is_task_finished(task.state)}
        if waiting == {TaskState.BLOCKED} and (job.blocked_by or job.elements):
            return ""
        if waiting <= {TaskState.PENDING, TaskState.BLOCKED} and not job.open_attempts:
            own = (one for element in job.elements.values() for one in element.waiting_on)
            if any(other.partition("/")[0] in fleet.jobs for other in (*job.waiting_on, *own)):
                return ""  # then that one has to settle, or be explained
            left = sum(not is_task_finished(task.state) for task in job.tasks)
            if job.spec.gang and left > room_for(self.plan.hosts, job.spec):
                return ""
            offers = judge_all(fleet.workers.values(), demand_of(job), fleet.questions.answers, "", 1 << 60)
            if all(offer.permanent for offer in offers):
                return ""
        states = [str(task.state) for task in job.tasks]
        return f"job {job.id} is {states} ({job.reason or [task.reason for task in job.tasks]})"

    def _check_end(self) -> None:
        checker, fleet = self.checker, self.coordinator.fleet
        if fleet is None:
            return
        for job_id in checker.ledger.submitted:
            checker.require((job_id, 0) in checker.ledger.tasks, "no acknowledged fact lost", f"job {job_id} is gone")
        for verb, job, number in checker.ledger.acts:
            state = checker.ledger.tasks[job, number].state
            if verb == "cancel":
                text = f"{job}/task-{number} was cancelled and is {state}"
                checker.require(is_task_finished(state), "cancelled means dead", text)
        again = rebuild.load(self.disk.connection, self.rng.getrandbits, "again", 0)
        ours = {job.id: [(task.state, task.current) for task in job.tasks] for job in fleet.jobs.values()}
        stored = {job.id: [(task.state, task.current) for task in job.tasks] for job in again.jobs.values()}
        checker.require(ours == stored, "memory is the store", f"{ours} in memory, {stored} in the store")
        if checker.was_restored:
            return
        checker.check_kept_results(self.disk.connection)
        for key, task in checker.ledger.tasks.items():
            job_plan = self._jobs[key[0]]
            if task.state is TaskState.FAILED and key[0] not in checker.retried:
                is_ended = self._has_stop(key[0]) or bool(checker.told(key, "cancel"))
                enough = task.failures > job_plan.spec.max_retries_failure or is_ended
                checker.require(enough, "retry budgets", f"{key} failed after {task.failures} failures")

    def _has_stop(self, job_id: str) -> bool:
        """Whether something other than its own failures ended a job's tasks."""
        row = self.disk.connection.execute("SELECT data FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        return row is not None and b"stop_reason" in row[0]


def _brief(effect: Effect) -> str:
    """An effect in few words."""
    name = type(effect).__name__
    report = getattr(effect, "report", None) or getattr(effect, "observation", None)
    if report is not None:
        states = ", ".join(f"{one.attempt_id} {one.state} {one.error}".rstrip() for one in report.attempts)
        return f"{name} seen={report.seen} {states}"
    intent = getattr(effect, "intent", None)
    return f"{name} {intent.attempt_id if intent is not None else getattr(effect, 'attempt_id', '')}"


class _Log:
    """Takes what the shell logs; what it calls a mistake of its own is one."""

    def __init__(self, loop: Loop, say: Callable[[str], None]) -> None:
        self._loop = loop
        self._say = say

    def info(self, text: str, *values: object) -> None:
        self._say(f"coordinator: {text % values}")

    warning = error = info

    def critical(self, text: str, *values: object, exc_info: BaseException | None = None) -> None:
        self._say(f"coordinator: {text % values}")
        error = exc_info or sys.exception()
        self._loop.errors.append(error if error is not None else AssertionError(text))

    exception = critical


def _shell_patches(log: _Log) -> list[AbstractContextManager[object]]:
    """Put the shell's modules back as they were, afterwards."""
    patches: list[AbstractContextManager[object]] = [
        mock.patch.object(module, "asyncio", None)
        for module in (commit_loop, agent_session, outbox, job_api, giving_way)
    ]
    patches.append(mock.patch.object(giving_way, "TURN_S", -1.0))  # after each value, whatever a real clock says
    patches.append(mock.patch.object(commit_loop, "journal", None))
    patches += [mock.patch.object(module, "log", log) for module in (commit_loop, agent_session)]
    return patches


def run(
    plan: Plan, *, with_story: bool = False, mutate: Callable[[], AbstractContextManager[object]] | None = None
) -> Outcome:
    """Run one schedule, with a planted bug if one is given."""
    with ExitStack() as stack:
        stack.enter_context(_without_collector())
        if mutate is not None:
            stack.enter_context(mutate())
        return World(plan, with_story=with_story).run()


@contextmanager
def _without_collector() -> Iterator[None]:
    """A schedule is over before it is worth looking for cycles, which costs a tenth of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
