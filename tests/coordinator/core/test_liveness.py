"""What time alone brings about."""

from typing import Any

import pytest

from opsconsole_coordinator.core import liveness
from opsconsole_coordinator.core.liveness import TICK_MS, WORKER_LOST_AFTER_MS
from opsconsole_coordinator.core.schedule import schedule
from opsconsole_protocol import link
from opsconsole_protocol.link import SILENT_AFTER_MS, Mode
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import World, state, task_of


def test_a_worker_is_first_silent_then_lost_then_back(world: World) -> None:
    worker = world.worker()
    seen = []
    for _ in range(14):
        world.pass_ms(5_000, beating=False)
        if worker.record.connection not in seen:
            seen.append(worker.record.connection)
    assert seen == ["connected", "silent", "lost"]
    worker.heartbeat()
    assert worker.record.connection == "connected"
    kinds = [(event.kind, event.text) for event in world.events if event.subject == "w1"]
    assert kinds == [
        ("joined", "worker w1 joined"),
        ("silent", "worker w1 is silent: nothing heard for 12s"),
        ("lost", "worker w1 is lost: nothing heard for 1m"),
        ("returned", "worker w1 answers again"),
    ]


def test_heartbeats_keep_a_worker_and_touch_no_store(world: World) -> None:
    worker = world.worker()
    events = len(world.events)
    worker.heartbeat(host=link.Host(cpu_percent=50), usage={"unknown": link.TaskUsage(cpu_percent=1)})
    assert not world.fleet.is_dirty
    for _ in range(20):
        world.pass_ms(SILENT_AFTER_MS - 1_000)
    assert worker.record.connection == "connected"
    assert worker.record.host.cpu_percent == 0.0
    assert len(world.events) == events
    worker.heartbeat()
    batch_must_commit = world.fleet.drain().must_commit
    assert not batch_must_commit


def test_usage_is_kept_with_the_attempt(world: World) -> None:
    worker = world.worker()
    world.submit()
    attempt = worker.started()
    usage = link.TaskUsage(current_memory_mb=5, cpu_percent=99.0)
    worker.heartbeat(usage={attempt.id: usage})
    assert attempt.usage == usage


@pytest.mark.parametrize("lost_after_ms", [13_000, 30_000, 120_000])
def test_when_a_task_is_given_up_is_for_its_job_to_say(world: World, lost_after_ms: int) -> None:
    worker = world.worker()
    job = world.submit(lost_after_ms=lost_after_ms)
    worker.started()
    world.pass_ms(lost_after_ms - 500, beating=False)
    assert state(job) == "running"
    world.pass_ms(1_500, beating=False)
    assert state(job) == "pending"


def test_a_lost_worker_that_returns_goes_on_as_if_nothing_had_been(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    worker.disconnect()
    world.pass_ms(WORKER_LOST_AFTER_MS + 1_000)
    assert (state(job), attempt.lost) == ("pending", True)
    worker.connect()
    worker.take(link.Registered)
    [desired] = worker.take(link.DesiredSet).attempts
    assert desired.attempt_id == attempt.id
    assert (state(job), attempt.lost, attempt.error, task_of(job).attempts) == ("running", False, "", 1)
    worker.succeed(attempt)


@pytest.mark.parametrize("verb", ["hold", "pause"])
def test_what_was_held_while_its_worker_was_lost_comes_back_to_stand_still(world: World, verb: str) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    worker.disconnect()
    world.pass_ms(WORKER_LOST_AFTER_MS + 1_000)
    world.act(verb, job)
    worker.connect()
    worker.take(link.Registered)
    assert worker.take(link.SetWant).want.mode is Mode.PAUSE
    [desired] = worker.take(link.DesiredSet).attempts
    assert desired.want.mode is Mode.PAUSE
    worker.report(attempt, AttemptState.PAUSED)
    assert state(job) == "paused"
    world.act("resume", job)
    assert worker.take(link.SetWant).want.mode is Mode.RUN
    worker.report(attempt, AttemptState.RUNNING)
    worker.succeed(attempt)


def test_what_was_resumed_while_its_worker_was_lost_comes_back_to_run(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    world.act("pause", job)
    worker.take(link.SetWant)
    worker.report(attempt, AttemptState.PAUSED)
    worker.disconnect()
    world.pass_ms(WORKER_LOST_AFTER_MS + 1_000)
    assert state(job) == "held"
    world.act("resume", job)
    worker.connect()
    worker.take(link.Registered)
    worker.take(link.SetWant)
    [desired] = worker.take(link.DesiredSet).attempts
    assert desired.want.mode is Mode.RUN
    worker.report(attempt, AttemptState.RUNNING)
    worker.succeed(attempt)


def test_a_socket_that_comes_alive_again_is_asked_what_it_has(world: World) -> None:
    worker = world.worker()
    job = world.submit(lost_after_ms=13_000)
    attempt = worker.started()
    world.pass_ms(15_000, beating=False)
    assert state(job) == "pending"
    worker.heartbeat()
    assert state(job) == "pending", "a heartbeat doesn't say what became of it"
    worker.take(link.Observe)
    worker.observe()
    assert state(job) == "running"
    worker.succeed(attempt)


def test_the_end_of_an_older_session_means_nothing(world: World) -> None:

    worker = world.worker()
    old = worker.session
    assert old is not None
    worker.connect()
    worker.take(link.Registered)
    worker.ends.clear()
    world.reactor.on_disconnected(worker.record, old)
    assert worker.record.session == worker.session


# --- scheduling time-out -------------------------------------------------------------------------------------------


def test_a_task_that_finds_no_worker_in_time_is_unschedulable(world: World) -> None:
    job = world.submit(scheduling_timeout_ms=10_000, requirements=("zone=a",))
    world.worker()
    world.pass_ms(9_500)
    assert state(job) == "pending"
    world.pass_ms(1_500)
    assert state(job) == "unschedulable"
    words = "found no worker within 10s: no worker fits: w1 doesn't meet zone=a: zone is not set"
    assert world.rows[job.id].reason == words


def test_after_its_dependency_a_job_has_its_whole_time(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    second = world.submit(after=(first,), scheduling_timeout_ms=10_000)
    attempt = worker.started()
    world.pass_ms(60_000)
    world.submit(priority=9)
    worker.succeed(attempt)
    other = worker.started()
    world.pass_ms(9_000)
    assert state(second) == "pending"
    worker.succeed(other)
    worker.succeed(worker.started())


def test_a_paused_project_does_not_use_up_the_time(world: World) -> None:
    world.set_project("paused")
    job = world.submit(scheduling_timeout_ms=10_000)
    world.pass_ms(60_000)
    world.set_project("active")
    world.pass_ms(9_000)
    assert state(job) == "pending"
    world.pass_ms(2_000)
    assert state(job) == "unschedulable"


def test_a_held_task_does_not_use_up_the_time(world: World) -> None:
    job = world.submit(scheduling_timeout_ms=10_000, held=True)
    world.pass_ms(60_000)
    world.act("release", job)
    world.pass_ms(9_000)
    assert state(job) == "pending"


def test_only_the_first_attempt_has_to_find_a_worker_in_time(world: World) -> None:
    worker = world.worker()
    job = world.submit(scheduling_timeout_ms=10_000, max_retries_failure=1)
    worker.fail(worker.started())
    worker.disconnect()
    world.pass_ms(120_000)
    assert state(job) == "pending"


def test_what_a_held_up_coordinator_did_not_hear_is_nobody_s_silence(world: World) -> None:
    worker = world.worker()
    world.now_ms += 300_000
    world.reactor.on_held_up(299_000, world.now_ms)
    world.pass_ms(500, beating=False)
    assert worker.record.connection == "connected"
    world.pass_ms(SILENT_AFTER_MS, beating=False)
    assert worker.record.connection == "silent"
    world.reactor.on_held_up(10**9, world.now_ms)
    assert worker.record.heard_at_ms == world.now_ms, "nobody is heard in the future"


def test_a_queue_that_nobody_could_take_is_left_alone_by_ticks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinator with a long queue and no worker was told twice a second why all of it waits."""
    passes = 0

    def counted(*args: Any, **fields: Any) -> None:
        nonlocal passes
        passes += 1
        schedule(*args, **fields)

    monkeypatch.setattr(liveness, "schedule", counted)
    job = world.submit()
    reason = job.reason
    assert reason
    for _ in range(20):
        world.pass_ms(TICK_MS)
    assert (passes, job.reason) == (0, reason)
    worker = world.worker()
    assert worker.started().job_id == job.id
    world.pass_ms(TICK_MS)
    assert passes > 0
    worker.take_all()
