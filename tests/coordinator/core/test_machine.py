"""Any history at all: the invariants hold after every step, and in the end everything settles."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from opsconsole_coordinator.core import schedule
from opsconsole_coordinator.core.control import VERBS
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.storm import Storm

AGENT = st.integers(0, 2)
PLACE = st.integers(0, 5)
ENDS = st.sampled_from([AttemptState.SUCCEEDED] * 3 + [AttemptState.FAILED] * 2 + [AttemptState.PREEMPTED])
STATES = st.sampled_from([AttemptState.RUNNING, AttemptState.BUILDING, AttemptState.SUCCEEDED, AttemptState.KILLED])


class FleetMachine(RuleBasedStateMachine):
    """What Hypothesis draws from; see `Storm` for what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.storm = Storm()

    @initialize(there=st.lists(AGENT, unique=True), preempts=st.booleans())
    def begin(self, there: list[int], preempts: bool) -> None:
        self.storm.allow_preemption(allowed=preempts)
        for place in there:
            self.storm.connect(self.storm.agents[place])

    @rule(
        tasks=st.integers(1, 3),
        kind=st.sampled_from(
            ["plain", "gpu", "two_gpus", "share", "two_shares", "zone", "fast", "memory", "named", "urgent", "sweep"]
        ),
        after=st.lists(PLACE, max_size=2, unique=True),
        end=st.sampled_from(["after", "after_failure", "after_any"]),
        part=st.sampled_from(["job", "task", "each"]),
        retries=st.integers(0, 2),
        losses=st.sampled_from([0, 1, 100]),
        failures=st.integers(0, 2),
        lost_after_ms=st.sampled_from([13_000, 60_000]),
        held=st.sampled_from([False, False, False, True]),
        timeout_ms=st.sampled_from([None, None, 5_000]),
        gang=st.sampled_from([False, False, True]),
        job_timeout_ms=st.sampled_from([None, None, None, 20_000]),
        parallel=st.sampled_from([None, None, None, 1]),
        by=st.sampled_from(["ana", "ana", "ben"]),
    )
    def submit(
        self, tasks: int, kind: str, after: list[int], end: str, part: str, retries: int, losses: int, failures: int, lost_after_ms: int,
        held: bool, timeout_ms: int | None, gang: bool, job_timeout_ms: int | None, parallel: int | None, by: str,
    ) -> None:  # fmt: skip
        self.storm.submit(
            tasks, kind, after, end, part, max_retries_failure=retries, max_retries_preemption=losses,
            max_task_failures=0 if gang else failures, gang=gang, job_timeout_ms=job_timeout_ms, lost_after_ms=lost_after_ms, held=held, scheduling_timeout_ms=timeout_ms,
            max_parallel=None if gang else parallel, by=by,
        )  # fmt: skip

    @rule(
        resources=st.sampled_from(
            [
                Resources(),
                Resources(gpus=1),
                Resources(gpus=2),
                Resources(gpus=1, gpu_memory_mb=9_000, share=True),
                Resources(memory_mb=600),
            ]
        ),
        worker=st.sampled_from(["", "w1", "w2", "w3"]),
        person=st.sampled_from(["ana", "ana", "ben"]),
        anew=st.booleans(),
    )
    def choose(self, resources: Resources, worker: str, person: str, anew: bool) -> None:
        self.storm.choose(resources, worker, person, anew=anew)

    @rule(person=st.sampled_from(["ana", "ben"]))
    def give_up(self, person: str) -> None:
        self.storm.give_up(person)

    @rule(place=PLACE)
    def submit_again(self, place: int) -> None:
        self.storm.submit_again(place)

    @rule(verb=st.sampled_from(VERBS), place=PLACE, index=st.none() | st.integers(0, 2))
    def act(self, verb: str, place: int, index: int | None) -> None:
        self.storm.act(verb, place, index)

    @rule(
        place=PLACE,
        priority=st.integers(-3, 3) | st.sampled_from([-100, 100, 200]),
        index=st.none() | st.integers(0, 2),
    )
    def set_priority(self, place: int, priority: int, index: int | None) -> None:
        self.storm.set_priority(place, priority, index)

    @rule(place=PLACE, values=st.lists(st.integers(0, 3), min_size=1, max_size=3))
    def add_tasks(self, place: int, values: list[int]) -> None:
        self.storm.add_tasks(place, values)

    @rule(person=st.sampled_from(["ana", "ben"]), tasks=st.sampled_from([-1, 1, 2]), weight=st.sampled_from([1.0, 3.0]))
    def set_person(self, person: str, tasks: int, weight: float) -> None:
        self.storm.set_person(person, ShareChange(tasks=tasks, weight=weight))

    @rule(gpus=st.sampled_from([-1, 0, 1]))
    def limit_project(self, gpus: int) -> None:
        self.storm.limit_project(ShareChange(gpus=gpus))

    @rule(allowed=st.sampled_from([True, True, False]))
    def allow_preemption(self, allowed: bool) -> None:
        self.storm.allow_preemption(allowed=allowed)

    @rule(agent=AGENT, action=st.sampled_from(["drain", "undrain", "undrain", "revoke"]))
    def set_worker(self, agent: int, action: str) -> None:
        self.storm.set_worker(self.storm.agents[agent], action)

    @rule(paused=st.booleans())
    def pause_project(self, paused: bool) -> None:
        self.storm.pause_project(paused=paused)

    @rule(agent=AGENT)
    def connect(self, agent: int) -> None:
        self.storm.connect(self.storm.agents[agent])

    @rule(agent=AGENT)
    def disconnect(self, agent: int) -> None:
        self.storm.disconnect(self.storm.agents[agent])

    @rule(agent=AGENT)
    def crash(self, agent: int) -> None:
        self.storm.agents[agent].crash()

    @rule(agent=AGENT)
    def obey(self, agent: int) -> None:
        self.storm.agents[agent].obey()

    @rule(agent=AGENT)
    def step(self, agent: int) -> None:
        self.storm.step(self.storm.agents[agent])

    @rule()
    def step_all(self) -> None:
        for agent in self.storm.agents:
            self.storm.step(agent)

    @rule(agent=AGENT, state=ENDS, log_bytes=st.sampled_from([0, 0, 7]))
    def end(self, agent: int, state: AttemptState, log_bytes: int) -> None:
        self.storm.agents[agent].end(state, log_bytes)

    @rule(agent=AGENT)
    def flush(self, agent: int) -> None:
        self.storm.agents[agent].flush()

    @rule(agent=AGENT)
    def store_logs(self, agent: int) -> None:
        self.storm.agents[agent].store_logs()

    @rule(agent=AGENT, place=PLACE)
    def repeat(self, agent: int, place: int) -> None:
        self.storm.repeat(self.storm.agents[agent], place)

    @rule(agent=AGENT, place=PLACE, state=STATES)
    def lie(self, agent: int, place: int, state: AttemptState) -> None:
        self.storm.lie(self.storm.agents[agent], place, state)

    @rule(milliseconds=st.sampled_from([500, 3_000, 15_000, 61_000]), beating=st.sampled_from([True, True, False]))
    def pass_time(self, milliseconds: int, beating: bool) -> None:
        self.storm.world.pass_ms(milliseconds, beating=beating)

    @invariant()
    def holds(self) -> None:
        self.storm.check()

    def teardown(self) -> None:
        self.storm.settle()


class LargeFleetMachine(FleetMachine):
    """The same, but as where there are so many workers that only those that have changed are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._before = schedule.JUDGED_A_TICK
        schedule.JUDGED_A_TICK = 0

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            schedule.JUDGED_A_TICK = self._before


TestFleet = FleetMachine.TestCase
TestLargeFleet = LargeFleetMachine.TestCase
TestFleet.settings = TestLargeFleet.settings = settings(
    stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
