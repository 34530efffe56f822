"""The fleet from the store is the fleet as it was, whatever its history."""

import shutil
import sqlite3
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opsconsole_coordinator.core import schedule, telling, view
from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.core.estimate import errors, estimate
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job, Project, Worker
from opsconsole_coordinator.core.reactor import Reactor
from opsconsole_coordinator.store import rebuild
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.store.schema import VERSION
from opsconsole_coordinator.trust.credential import CredentialRecord, InvitationRecord
from opsconsole_protocol.api import JobRow, Submission, TemplateRow
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId, WorkerId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState, TaskState
from tests.coordinator.core import invariant
from tests.coordinator.core.storm import Storm
from tests.coordinator.core.test_collecting import TREE, collected, end
from tests.coordinator.core.world import FakeWorker, World
from tests.coordinator.store.direct import Direct

OLD = Path(__file__).parent / "old"


def job_as_stored(job: Job) -> dict[str, Any]:
    fields = {**msgspec.structs.asdict(job), "spec": job.spec, "tasks": job.tasks, "fault": job.fault}
    for how_kept in ("terms", "own", "kept_tasks"):
        del fields[how_kept]
    # Kept for time-outs only, where nothing else changes with it.
    for only_timed in ("ready_since_ms", "turn_until_ms", "turns", "way_until_ms", "guess_ms"):
        del fields[only_timed]
    fields["ready"] = sorted(task.index for task in job.tasks if task.state is TaskState.PENDING)
    return fields


def attempt_as_stored(attempt: Attempt) -> dict[str, Any]:
    fields = msgspec.structs.asdict(attempt)
    for only_live in ("usage", "assigned_seq", "log_offsets"):
        del fields[only_live]
    return fields


def worker_as_stored(worker: Worker) -> dict[str, Any]:
    names = [
        "id",
        "name",
        "tags",
        "properties",
        "max_concurrent_jobs",
        "gpus",
        "maintenance",
        "revoked",
        "boot_id",
        "joined_at_ms",
    ]
    return {
        **{name: getattr(worker, name) for name in names}, "live": set(worker.live), "ended": set(worker.ended)
    }  # fmt: skip


def as_stored(fleet: Fleet) -> dict[str, Any]:
    """All that has to survive, in a form to compare."""
    return {
        "seq": fleet.seq,
        "adopting": fleet.adopting,
        "jobs": {job.id: job_as_stored(job) for job in fleet.jobs.values()},
        "attempts": {one.id: attempt_as_stored(one) for one in fleet.attempts.values()},
        "workers": {one.id: worker_as_stored(one) for one in fleet.workers.values()},
        "projects": fleet.projects,
        "people": fleet.people,
        "held": {whose: one.held for whose, one in fleet.usage.people.items() if one.held.tasks},
        "templates": {one.name: (one, fleet.templates.last_version(one.name)) for one in fleet.templates},
        "dependents": fleet.dependents,
        "timed_jobs": set(fleet.timed_jobs),
        "order": [job for job in fleet.order if fleet.jobs[job].counts.get(TaskState.PENDING)],
    }


def _extras(random: Random, steps: int) -> dict[str, Any]:
    """Every third length of a history has gangs, time-outs and a paused project; every third waits for parts and other ends of jobs.

    Without, chance is drawn as it always was.
    """
    if steps % 3 == 0:
        return {"gang": random.random() < 0.5, "job_timeout_ms": random.choice([None, 20_000])}
    if steps % 3 == 1:
        end = random.choice(["after", "after_failure", "after_any"])
        return {"end": end, "part": random.choice(["job", "task", "each"])}
    return {}


def history(random: Random, steps: int) -> tuple[Storm, Direct]:
    """A storm of so many steps, committed as it went."""
    storm, store = Storm(), Direct()
    storm.world.on_commit = store.commit
    for agent in storm.agents:
        storm.connect(agent)
    for _ in range(steps):
        agent = random.choice(storm.agents)
        match random.choice(
            ["submit"] * 3 + ["step"] * 8 + ["end"] * 4 + ["act"] * 2 + ["time", "link", "logs", "drain"]
        ):
            case "submit":
                kind = random.choice(["plain", "gpu", "zone", "memory", "urgent"])
                after = [random.randrange(6) for _ in range(random.randrange(3))]
                storm.submit(
                    random.randint(1, 3),
                    kind,
                    after,
                    max_retries_failure=1,
                    held=random.random() < 0.1,
                    **_extras(random, steps),
                )
            case "step":
                storm.step(agent)
            case "end":
                end = random.choice([AttemptState.SUCCEEDED, AttemptState.SUCCEEDED, AttemptState.FAILED])
                agent.end(end, random.choice([0, 0, 5]))
                agent.flush()
            case "act":
                verb = random.choice(["pause", "resume", "cancel", "retry", "hold", "release"])
                storm.act(verb, random.randrange(9), random.choice([None, None, 0]))
                storm.set_priority(random.randrange(9), random.randint(-2, 2))
            case "time":
                storm.world.pass_ms(random.choice([500, 15_000, 61_000]), beating=random.random() < 0.7)
            case "link":
                storm.crash_or_connect(agent, random.random())
            case "logs":
                agent.store_logs()
            case _:
                storm.set_worker(agent, random.choice(["drain", "undrain"]))
                if steps % 3 == 0:
                    storm.pause_project(paused=storm.world.fleet.project_status("default") == "active")
        storm.check()
    return storm, store


@settings(max_examples=25)
@example(22, 22)  # an attempt that left memory while its job had ended, and the job was retried
@example(302894748, 38)  # a reason that was said and not written down
@given(st.integers(0, 2**32), st.integers(5, 60))
def test_the_fleet_rebuilt_is_the_fleet_before(seed: int, steps: int) -> None:
    storm, store = history(Random(seed), steps)  # noqa: S311 - chance that repeats itself
    fleet = storm.world.fleet
    rebuilt = rebuild.load(store.connection, fleet.random_bits, "lab", storm.world.now_ms)
    assert as_stored(rebuilt) == as_stored(fleet)
    now_ms = storm.world.now_ms
    had, found = (
        {whose: one.weight_ms(now_ms) for whose, one in (usage.people | usage.projects).items()}
        for usage in (fleet.usage, rebuilt.usage)
    )
    assert found == pytest.approx(had, rel=0.01), (
        "a day's worth fades as if it was had at the day's end, no more is lost"
    )
    assert invariant.check(rebuilt) == []
    assert all(one.session is None and one.connection == "silent" for one in rebuilt.workers.values())
    store.connection.close()


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_work_goes_on_after_a_restart_in_the_middle(seed: int) -> None:
    storm, store = history(Random(seed), 40)  # noqa: S311 - chance that repeats itself
    world = storm.world
    world.reactor = Reactor(rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms))
    for agent in storm.agents:
        agent.session = None
        agent.inbox.clear()
    storm.settle()
    assert store.connection.execute("SELECT count(*) FROM jobs WHERE is_live = 1").fetchone() == (0,)
    assert store.connection.execute("SELECT count(*) FROM attempts WHERE is_open = 1").fetchone() == (0,)
    store.connection.close()


def test_a_large_group_is_told_over_several_batches_why_it_waits_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row costs, and a hundred thousand may wait."""
    monkeypatch.setattr(telling, "TOLD_AT_ONCE", 5)
    monkeypatch.setattr(schedule, "TOLD_MAX", 3)
    world, store = World(), Direct()
    world.on_commit = store.commit
    jobs = [world.submit(name="same", turn=False).id for _ in range(40)]
    world.turn()
    before = {world.rows[job_id].reason for job_id in jobs}
    assert before == {"no worker has joined yet (opsconsole invite prints the line that joins one)"}
    worker = Worker(id=WorkerId("w1"), name="w1", maintenance=True)
    world.fleet.workers[worker.id] = worker
    world.fleet.touch_worker(worker)
    sizes: list[int] = []

    def note(batch: Batch, rows: dict[JobId, JobRow]) -> None:
        store.commit(batch, rows)
        sizes.append(len(rows))

    world.reactor = Reactor(rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms))
    world.fleet.workers[worker.id] = worker
    world.on_commit = note
    world.turn()
    assert max(sizes) <= 3 + 5
    assert sum(sizes) == 40
    after = {world.rows[job_id].reason for job_id in jobs}
    assert len(after) == 1
    assert after != before
    assert {world.fleet.jobs[job_id].reason for job_id in jobs} == after


def test_a_restart_counts_workers_as_heard_of_now() -> None:
    storm, store = history(Random(1), 10)  # noqa: S311 - chance that repeats itself
    later = storm.world.now_ms + 3_600_000
    fleet = rebuild.load(store.connection, storm.world.random.getrandbits, "lab", later)
    assert {one.heard_at_ms for one in fleet.workers.values()} == {later}
    assert fleet.must_schedule
    store.connection.close()


def restart(world: World, store: Direct, *workers: FakeWorker) -> None:
    """The coordinator starts anew, and the workers come back."""
    world.reactor = Reactor(rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms))
    for worker in workers:
        worker.session = None
        worker.connect()
        worker.take_all()


def test_a_job_time_out_goes_on_counting_after_a_restart() -> None:
    world, store = World(), Direct()
    world.on_commit = store.commit
    worker = world.worker()
    job = world.submit(job_timeout_ms=10_000)
    attempt = worker.started()
    world.pass_ms(6_000)
    world.act("pause", job)
    worker.take_all()
    worker.report(attempt, AttemptState.PAUSED)
    world.pass_ms(1_000)
    world.now_ms += 60_000
    restart(world, store, worker)
    world.act("resume", world.fleet.jobs[job.id])
    worker.take_all()
    worker.report(attempt, AttemptState.RUNNING)
    world.pass_ms(3_000)
    assert world.fleet.jobs[job.id].state == "running", "it stood still, also while the coordinator was gone"
    world.pass_ms(2_000)
    assert worker.stop(attempt).reason == "job timed out after 10s"
    restart(world, store, worker)
    worker.report(attempt, AttemptState.KILLED)
    assert world.rows[job.id].state == "failed"
    store.connection.close()


def test_what_blocks_a_chain_in_the_end_is_known_after_a_restart_whichever_came_first() -> None:
    world, store = World(), Direct()
    world.on_commit = store.commit
    worker = world.worker()
    ids = [world.new_id() for _ in range(4)]
    chain = [
        Submission(one, JobSpec(command=("a",), after=(ids[place - 1],) if place else ()))
        for place, one in enumerate(ids)
    ]
    world.reactor.on_submit(chain[::-1], {}, "ana", world.now_ms)
    world.turn()
    worker.fail(worker.started())
    fleet = world.fleet
    rebuilt = rebuild.load(store.connection, fleet.random_bits, "lab", world.now_ms)
    assert as_stored(rebuilt) == as_stored(fleet)
    assert invariant.check(rebuilt) == []
    assert view.why(rebuilt, rebuilt.jobs[ids[3]], 0)[0].startswith(f"{ids[0]} didn't succeed")


@pytest.mark.parametrize("is_kept", [True, False])
def test_results_that_were_handed_over_or_refused_are_so_after_a_restart(is_kept: bool) -> None:
    world, store = World(), Direct()
    world.on_commit = store.commit
    worker = world.worker()
    first = world.submit(collect=("models/*",))
    second = world.submit(takes=(f"{first.id}:model",), held=True)
    end(worker, worker.started())
    world.reactor.on_kept([TREE], [], world.now_ms)
    assert collected(world, content_id=TREE if is_kept else None)
    assert first.id not in world.fleet.jobs
    rebuilt = rebuild.load(store.connection, world.fleet.random_bits, "lab", world.now_ms)
    assert as_stored(rebuilt) == as_stored(world.fleet)
    assert [one.name for one in rebuilt.jobs[second.id].uploads] == ["model"] * is_kept
    assert bool(rebuilt.jobs[second.id].blocked_by) is not is_kept


def test_results_that_came_while_nobody_was_told_are_handed_over_at_the_start() -> None:
    world, store = World(), Direct()
    world.on_commit = store.commit
    worker = world.worker()
    first = world.submit(collect=("models/*",))
    end(worker, worker.started())
    world.reactor.on_kept([TREE], [], world.now_ms)
    assert collected(world)
    second = world.submit(takes=(first.id,))
    assert second.waiting_on, "and here the coordinator dies"
    rebuilt = rebuild.load(store.connection, world.fleet.random_bits, "lab", world.now_ms)
    assert [one.content_id for one in rebuilt.jobs[second.id].uploads] == [TREE]
    assert second.id in rebuilt.order


def test_a_gang_that_starts_over_does_so_after_a_restart() -> None:
    world, store = World(), Direct()
    world.on_commit = store.commit
    one, two = world.worker("w1"), world.worker("w2")
    job = world.submit(num_tasks=2, gang=True, max_retries_failure=1)
    first, second = one.started(), two.started()
    one.fail(first)
    two.stop(second)
    restart(world, store, one, two)
    two.killed(second)
    again = world.fleet.jobs[job.id]
    assert [str(task.state) for task in again.tasks] == ["pending", "pending"]
    assert [(task.failures, task.preemptions) for task in again.tasks] == [(1, 0), (0, 0)]
    world.pass_ms(2_000)
    assert again.state == "assigned"
    store.connection.close()


def test_what_is_kept_free_for_a_gang_is_not_stored() -> None:
    world, store = World(), Direct()
    world.on_commit = store.commit
    one, two = world.worker("w1"), world.worker("w2")
    world.submit(worker="w1")
    one.started()
    world.submit(num_tasks=2, gang=True)
    assert set(world.fleet.reserved) == {one.id, two.id}
    fleet = rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms)
    assert not fleet.reserved
    assert all(worker.reserved is None for worker in fleet.workers.values())
    store.connection.close()


def test_numbers_that_a_restored_store_gives_anew_are_of_another_epoch() -> None:
    world, store = World(), Direct()
    world.on_commit = store.commit

    def load() -> None:
        world.reactor = Reactor(rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms))

    def given() -> str:
        """The store comes further, and gives an attempt away."""
        world.fleet.audit(world.now_ms, "ana", EventKind.PROJECT, "x", "x")
        seal = world.fleet.seal.of_attempt("w1", "a", world.fleet.seq)
        world.commit()
        return seal

    load()
    kept = given()
    backup = store.connection.serialize()
    lost = [given()]
    load()
    lost.append(given())
    assert not any(world.fleet.seal.is_of_lost_epoch(one) for one in (kept, *lost))
    store.connection.deserialize(backup)
    load()
    anew = [given(), given(), given()]
    assert all(world.fleet.seal.is_of_lost_epoch(one) for one in lost)
    assert not any(world.fleet.seal.is_of_lost_epoch(one) for one in (kept, *anew))
    store.connection.close()


def fetch_all(statement: str, connection: sqlite3.Connection) -> list[tuple[bytes]]:
    return connection.execute(statement).fetchall()


def test_every_version_has_its_old_file() -> None:
    assert {path.name for path in OLD.glob("*.db")} == {f"v{number}.db" for number in range(1, VERSION + 1)}


@pytest.mark.parametrize("version", range(1, VERSION + 1))
async def test_a_store_of_an_old_version_opens(version: int, tmp_path: Path) -> None:
    path = tmp_path / "opsconsole.db"
    shutil.copy(OLD / f"v{version}.db", path)
    database = Database(path)
    await database.open()
    fleet = await database.read(lambda connection: rebuild.load(connection, Random(0).getrandbits, "lab", 5))  # noqa: S311
    assert invariant.check(fleet) == []
    assert {job.spec.title: str(job.state) for job in fleet.jobs.values()} == {
        "running": "running", "ended with logs outstanding": "succeeded", "blocked": "blocked",
        "after done": "pending", "held": "held", "paused": "paused",
    }  # fmt: skip
    assert {name: project.status for name, project in fleet.projects.items()} == {"p": "paused"}
    assert [(one.label, fleet.templates.last_version(one.name)) for one in fleet.templates] == [("t@1", 1)]
    assert set(fleet.people) == ({"ben"} if version >= 4 else set())
    assert sum(one.held.tasks for one in fleet.usage.people.values()) == sum(
        len(one.live) for one in fleet.workers.values()
    )
    tables = await database.read(partial(fetch_all, "SELECT name FROM sqlite_schema WHERE type = 'table'"))
    assert {("people",), ("usage",)} <= set(tables)
    fleet.usage.tick(120_000)
    assert bool(fleet.usage.take_dirty()), "what is held counts from now on"
    wanted = [(one.worker_name, one.output_path, one.patterns) for one in fleet.output_copies]
    assert wanted == ([("w1", "/out/jobs/a", ("models/*",))] if version >= 3 else [])
    assert fleet.store_id == "store"
    for table, kind in (
        ("credentials", CredentialRecord), ("invitations", InvitationRecord), ("projects", Project),
        ("templates", TemplateRow),
    ):  # fmt: skip
        statement = f"SELECT data FROM {table}"
        rows = await database.read(partial(fetch_all, statement))
        assert [type(msgspec.msgpack.decode(data, type=kind)) for (data,) in rows] == [kind]
    await database.close()


@pytest.mark.parametrize(
    "poison",
    [
        {"requirements": ("name~(a",)},
        {"requirements": ("x" * 100_000,)},
        {"requirements": ("name~(?=a)b",)},
        {"inputs": ("x" * 5_000,)},
        {"parameters": ({"a": {"b": "x" * 100_000}},)},
    ],
    ids=["pattern", "line", "look-ahead", "input", "tree"],
)
def test_a_stored_spec_that_is_no_longer_taken_stops_no_start(poison: dict[str, Any]) -> None:
    """Hard use 53: what was accepted once is unplaceable, and says so."""
    world, store = World(), Direct()
    world.on_commit = store.commit
    job = world.submit(turn=False)
    job.spec = msgspec.structs.replace(job.spec, **poison)
    world.commit()
    fleet = rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms)
    assert fleet.jobs[job.id].fault.startswith("can't be placed: ")
    assert fleet.jobs[job.id].requirements == ()
    store.connection.close()


@pytest.mark.parametrize("tree", [{"a": "x" * 10_000_000}, {"a": msgspec.msgpack.Ext(5, b"x")}], ids=["large", "ext"])
def test_stored_properties_that_would_break_every_list_are_left_out(tree: dict[str, Any]) -> None:
    """Hard use 59: a store from before they were refused."""
    world, store = World(), Direct()
    world.on_commit = store.commit
    worker = world.worker()
    worker.record.properties = tree
    world.fleet.touch_worker(worker.record)
    world.commit()
    fleet = rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms)
    assert fleet.workers[worker.id].properties == {}
    store.connection.close()


def test_what_like_jobs_took_and_what_was_expected_outlive_a_restart() -> None:
    world, store = World(), Direct()
    world.on_commit = store.commit
    worker = world.worker()
    for took_ms in (60_000, 61_000, 62_000, 63_000):
        world.submit(name="train")
        attempt = worker.started()
        world.now_ms += took_ms
        worker.succeed(attempt)
    fleet = rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms)
    spec = JobSpec(command=("/bin/true",), name="train")
    assert estimate(fleet, spec) == estimate(world.fleet, spec)
    assert errors(fleet, 10) == errors(world.fleet, 10)
    assert errors(fleet, 10)[0].judged == 3
