"""Any history of commits, faults, removals and restarts: what the store answers is what a plain dictionary says."""

import copy
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.store import query, rebuild, removal
from opsconsole_coordinator.store.schema import analyze
from opsconsole_protocol.api import EventRow, JobRow
from opsconsole_protocol.ids import AttemptId, JobId
from opsconsole_protocol.state import AttemptState, is_task_finished
from tests.coordinator.core.storm import Storm
from tests.coordinator.store.direct import Direct

AGENT = st.integers(0, 2)
PLACE = st.integers(0, 5)


class Model:
    """What was committed, in dictionaries."""

    def __init__(self) -> None:
        self.rows: dict[JobId, JobRow] = {}
        self.tasks: dict[tuple[JobId, int], Task] = {}
        self.attempts: dict[AttemptId, Attempt] = {}
        self.events: list[EventRow] = []
        self.seq = 0

    def commit(self, batch: Batch, rows: dict[JobId, JobRow]) -> None:
        """A batch is in."""
        self.rows.update(rows)
        for job in batch.jobs_added:
            self.tasks.update({(job.id, task.index): copy.copy(task) for task in job.tasks})
        self.tasks.update({(job_id, task.index): copy.copy(task) for job_id, task in batch.tasks})
        self.attempts.update({attempt.id: copy.copy(attempt) for attempt in batch.attempts})
        self.events += batch.events
        self.seq = batch.seq

    def remove(self, job_id: JobId) -> None:
        """All of a job is gone."""
        del self.rows[job_id]
        self.tasks = {key: task for key, task in self.tasks.items() if key[0] != job_id}
        self.attempts = {key: one for key, one in self.attempts.items() if one.job_id != job_id}
        self.events = [event for event in self.events if event.subject.split("/", 1)[0] != job_id]

    def is_live(self, job_id: JobId) -> bool:
        """Whether it has to be in memory."""
        is_open = any(one.open for one in self.attempts.values() if one.job_id == job_id)
        return is_open or not all(is_task_finished(task.state) for key, task in self.tasks.items() if key[0] == job_id)


class StoreMachine(RuleBasedStateMachine):
    """A storm over a fleet, each of its batches committed to both."""

    def __init__(self) -> None:
        super().__init__()
        self.storm, self.store, self.model = Storm(), Direct(), Model()
        self.removing: set[JobId] = set()
        self.storm.world.on_commit = self.commit
        for agent in self.storm.agents:
            self.storm.connect(agent)

    def commit(self, batch: Batch, rows: dict[JobId, JobRow]) -> None:
        """As the commit loop does, but at once."""
        self.store.commit(batch, rows)
        if batch.must_commit:
            self.model.commit(batch, rows)

    def teardown(self) -> None:
        self.store.connection.close()

    # --- what happens ----------------------------------------------------------------------------------------------

    @rule(
        tasks=st.integers(1, 3), kind=st.sampled_from(["plain", "gpu", "urgent"]), retries=st.integers(0, 1),
        after=st.lists(PLACE, max_size=1), project=st.sampled_from(["default", "vision"]), turns=st.integers(0, 3),
        log=st.sampled_from([0, 0, 7]),
    )  # fmt: skip
    def submit(
        self, tasks: int, kind: str, retries: int, after: list[int], project: str, turns: int, log: int
    ) -> None:  # fmt: skip
        """A job, and so many turns of work."""
        self.storm.submit(tasks, kind, after, max_retries_failure=retries, project=project)
        for _ in range(turns):
            self.work_off(log)

    @rule(verb=st.sampled_from(["pause", "resume", "cancel", "retry", "hold", "release"]), place=PLACE)
    def act(self, verb: str, place: int) -> None:
        self.storm.act(verb, place, None)

    @rule(place=PLACE, priority=st.integers(-3, 3))
    def set_priority(self, place: int, priority: int) -> None:
        self.storm.set_priority(place, priority)

    @rule()
    def step(self) -> None:
        for agent in self.storm.agents:
            self.storm.step(agent)

    @rule(
        agent=AGENT,
        state=st.sampled_from([AttemptState.SUCCEEDED] * 2 + [AttemptState.FAILED]),
        log=st.sampled_from([0, 7]),
    )
    def end(self, agent: int, state: AttemptState, log: int) -> None:
        self.storm.agents[agent].end(state, log)
        self.storm.agents[agent].flush()

    @rule(log=st.sampled_from([0, 0, 7]))
    def work_off(self, log: int) -> None:
        """What can run runs, and ends well; its log may be outstanding."""
        for agent in self.storm.agents:
            self.storm.step(agent)
            agent.end(AttemptState.SUCCEEDED, log)
            agent.flush()
            self.storm.step(agent)

    @rule(agent=AGENT)
    def store_logs(self, agent: int) -> None:
        self.storm.agents[agent].store_logs()

    @rule(milliseconds=st.sampled_from([500, 15_000, 61_000]), beating=st.booleans())
    def pass_time(self, milliseconds: int, beating: bool) -> None:
        self.storm.world.pass_ms(milliseconds, beating=beating)

    @rule(table=st.sampled_from(["jobs", "tasks", "attempts", "events", "meta"]))
    def fail_a_transaction(self, table: str) -> None:
        """Whatever it had written is not there."""
        connection = self.store.connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"DELETE FROM {table}")
        connection.execute("ROLLBACK")

    @rule()
    def look_at_the_tables(self) -> None:
        analyze(self.store.connection)

    @rule()
    def begin_removal(self) -> None:
        before = self.removal_candidates()
        found = [one for one in removal.ended(self.store.connection, None, 2) if one not in self.storm.world.fleet.jobs]
        assert set(found) <= before
        removal.begin_removal(self.store.connection, found)
        for job_id in found:
            self.removing.add(JobId(job_id))
            self.model.remove(JobId(job_id))

    def removal_candidates(self) -> set[str]:
        return {job_id for job_id in self.model.rows if not self.model.is_live(job_id)}

    @rule(rows=st.integers(1, 6))
    def go_on_removing(self, rows: int) -> None:
        counts = self.total()
        is_left = removal.continue_removal(self.store.connection, rows)
        assert 0 <= counts - self.total() <= rows
        if not is_left:
            self.removing.clear()

    def total(self) -> int:
        tables = ("tasks", "attempts", "events")
        return sum(int(self.ask(f"SELECT count(*) FROM {table}")[0][0]) for table in tables)

    def ask(self, sql: str) -> list[Any]:
        return self.store.connection.execute(sql).fetchall()

    # --- what holds ------------------------------------------------------------------------------------------------

    @invariant()
    def jobs_are_as_committed(self) -> None:
        connection, rows = self.store.connection, self.model.rows
        newest = sorted(rows.values(), key=lambda row: (row.created_at_ms, row.id), reverse=True)
        assert list(query.job_rows(connection, limit=1_000)) == newest
        assert (
            list(query.job_rows(connection, project="vision", limit=2))
            == [row for row in newest if row.project == "vision"][:2]
        )
        live = {job_id for job_id in rows if self.model.is_live(job_id)}
        told = [msgspec.msgpack.decode(row.data, type=JobRow) for row in query.encoded_live_rows(connection)]
        assert {row.id for row in told} == live
        ended = [row for row in newest if row.id not in live]
        assert list(query.job_rows(connection, ended_only=True, limit=1_000)) == ended
        counts: dict[str, dict[str, int]] = {}
        for row in newest:
            of_project = counts.setdefault(row.project, {})
            of_project[row.state] = of_project.get(row.state, 0) + 1
        assert query.count_jobs(connection) == counts
        assert query.states(connection, [*rows, "nothing"]) == {job_id: row.state for job_id, row in rows.items()}
        assert query.ids_with_prefix(connection, "", 1_000) == sorted(rows)

    @invariant()
    def tasks_and_attempts_are_as_committed(self) -> None:
        connection, model = self.store.connection, self.model
        for job_id in model.rows:
            expected = [task for key, task in sorted(model.tasks.items()) if key[0] == job_id]
            assert query.tasks(connection, job_id) == expected
            assert query.tasks(connection, job_id, 1, 1) == expected[1:2]
            found = query.attempts(connection, job_id)
            told = {one.id: one for of_task in found.values() for one in of_task}
            assert told.keys() == {one.id for one in model.attempts.values() if one.job_id == job_id}
            for attempt_id, attempt in told.items():
                meant = model.attempts[attempt_id]
                assert (attempt.state, attempt.open, attempt.seen, attempt.want) == (
                    meant.state, meant.open, meant.seen, meant.want,
                )  # fmt: skip
        known = query.ended(connection, [*model.attempts, AttemptId("nothing")])
        assert known == set(model.attempts)

    @invariant()
    def events_are_as_committed(self) -> None:
        connection, model = self.store.connection, self.model
        if not self.removing:
            assert query.events(connection, limit=10_000) == model.events[::-1]
            assert self.total() == len(model.tasks) + len(model.attempts) + len(model.events), "nothing is left over"
        for job_id in list(model.rows)[:2]:
            of_job = [event for event in model.events if event.subject.split("/", 1)[0] == job_id][::-1]
            assert query.events(connection, job_id=job_id, limit=10_000) == of_job

    @invariant()
    def a_restart_finds_what_is_live(self) -> None:
        fleet = rebuild.load(self.store.connection, self.storm.world.random.getrandbits, "lab", 0)
        assert set(fleet.jobs) == {job_id for job_id in self.model.rows if self.model.is_live(job_id)}
        assert fleet.seq == self.model.seq
        for job in fleet.jobs.values():
            for task in job.tasks:
                assert task == self.model.tasks[job.id, task.index]


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])
