"""What a worker says it has, held against what it should have."""

from typing import Any

import pytest

from opsconsole_protocol import PROTOCOL_VERSION, link
from opsconsole_protocol.error import (
    Conflict,
    InvalidRequest,
    OpsconsoleError,
    ProtocolError,
    Unavailable,
    VersionMismatch,
)
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import SILENT_AFTER_MS, Mode, Observed
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, gpus, state, task_of

UNKNOWN = AttemptId("000000000z.0.0.abcd")


def test_registering_is_answered_with_the_whole_desired_set(world: World) -> None:
    worker = FakeWorker(world, "w1", tags=("lab=3",), properties={"zone": "a"}, gpus=gpus(1))
    world.workers["w1"] = worker
    worker.connect()
    registered = worker.take(link.Registered)
    assert (registered.protocol, registered.coordinator, registered.store_id) == (PROTOCOL_VERSION, "lab", "store")
    record = worker.record
    assert (record.name, record.tags, record.properties, record.gpus) == ("w1", ("lab=3",), {"zone": "a"}, gpus(1))
    assert (record.connection, record.status, record.joined_at_ms) == ("connected", "available", world.now_ms)


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"protocol": 99}, VersionMismatch, "the agent speaks protocol 99 and the coordinator 1: install the same"),
        ({"worker_id": "other"}, Conflict, "there is a worker named w1 already: start this agent with another --name"),
        ({"run_id": "clone"}, Unavailable, "another agent with the identity of w1 is connected"),
    ],
)
def test_who_may_not_register_changes_nothing(
    world: World, fields: dict[str, Any], error: type[OpsconsoleError], words: str
) -> None:
    worker = world.worker()
    before = (worker.session, len(world.events))
    with pytest.raises(error) as refusal:
        worker.connect(**fields)
    assert words in refusal.value.message
    assert (worker.record.session, len(world.events)) == before
    assert len(world.fleet.workers) == 1


def test_an_agent_restarted_after_a_crash_of_its_host_is_let_in_once_the_first_is_silent(world: World) -> None:
    worker = world.worker()
    world.pass_ms(SILENT_AFTER_MS + 500, beating=False)
    worker.connect(run_id="run-2")
    worker.take(link.Registered)
    worker.ends.clear()


def test_a_second_connection_of_the_same_agent_ends_the_first(world: World) -> None:
    worker = world.worker()
    worker.connect()
    worker.take(link.Registered)
    assert worker.record.session == worker.session


def test_a_worker_may_change_its_name(world: World) -> None:
    worker = world.worker("w1")
    worker.connect(name="new")
    worker.take(link.Registered)
    assert worker.record.name == "new"


def test_what_nobody_wants_is_stopped_and_what_of_it_has_ended_forgotten(world: World) -> None:
    worker = world.worker()
    worker.say(Observed(attempt_id=UNKNOWN, state=AttemptState.RUNNING))
    message = worker.take(link.SetWant)
    assert (message.attempt_id, message.want.mode) == (UNKNOWN, Mode.STOP)
    assert message.want.reason == "the coordinator doesn't know this attempt"
    worker.say(Observed(attempt_id=UNKNOWN, state=AttemptState.KILLED))
    assert worker.take(link.Forget).attempt_ids == (UNKNOWN,)


def test_what_was_reported_once_and_is_gone_is_lost(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    worker.attempts.clear()
    worker.observe()
    worker.forget(attempt)
    assert (attempt.error, task_of(job).preemptions) == ("w1 no longer has it", 1)
    world.pass_ms(2_000)
    worker.succeed(worker.started())


def test_a_cancellation_that_never_arrived_is_part_of_the_desired_set(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    worker.disconnect()
    world.act("cancel", job)
    worker.connect()
    worker.take(link.Registered)
    [desired] = worker.take(link.DesiredSet).attempts
    assert (desired.want.mode, desired.want.reason) == (Mode.STOP, "cancelled by ana")
    worker.killed(attempt)
    assert state(job) == "killed"


def test_a_cancelled_task_that_never_reached_its_worker_ends_when_that_reconnects(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.disconnect()
    world.act("cancel", job)
    assert state(job) == "assigned"
    worker.connect()
    worker.take(link.Registered)
    worker.take(link.Forget)
    worker.take(link.DesiredSet)
    assert state(job) == "killed"


def test_states_may_be_skipped_but_not_turned_back(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.assigned()
    worker.succeed(attempt, started_at_ms=5)
    assert (state(job), job.started_at_ms) == ("succeeded", world.now_ms)


def test_building_is_shown(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.assigned()
    worker.report(attempt, AttemptState.BUILDING, build_started_ms=1)
    assert state(job) == "building"
    worker.run(attempt)
    worker.succeed(attempt)


def test_a_reason_that_the_agent_gives_is_shown(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.assigned()
    worker.report(attempt, AttemptState.ASSIGNED, reason="waiting for GPU 0")
    assert world.rows[job.id].reason == "waiting for GPU 0"


def test_late_logs_of_an_attempt_nobody_knows_change_nothing(world: World) -> None:
    world.reactor.on_logs_stored(UNKNOWN, "stdout", 7)
    assert not world.fleet.is_dirty


def test_log_offsets_travel_with_the_desired_set(world: World) -> None:
    worker = world.worker()
    world.submit()
    attempt = worker.started()
    world.reactor.on_logs_stored(attempt.id, "stdout", 7)
    worker.connect()
    worker.take(link.Registered)
    [desired] = worker.take(link.DesiredSet).attempts
    assert desired.log_offsets == {"stdout": 7}


# --- metadata ------------------------------------------------------------------------------------------------------


def test_metadata_that_changes_can_make_a_job_fit(world: World) -> None:
    worker = world.worker(properties={"zone": "a"})
    world.submit(requirements=("cuda=12", "zone=a", "tags=new"))
    message = link.UpdateMetadata(properties={"cuda": 12}, tags=("new",))
    world.reactor.on_update_metadata(worker.record, message, world.now_ms)
    world.turn()
    worker.take(link.MetadataUpdated)
    assert worker.record.properties == {"zone": "a", "cuda": 12}
    worker.started()


def test_maintenance_can_be_said_by_the_worker(world: World) -> None:
    worker = world.worker()
    for status, expected in (("maintenance", "maintenance"), ("available", "available"), ("busy", "available")):
        message = link.UpdateMetadata(properties={"status": status})
        world.reactor.on_update_metadata(worker.record, message, world.now_ms)
        world.turn()
        worker.take(link.MetadataUpdated)
        assert worker.record.status == expected
    assert "status" not in worker.record.properties


def test_a_status_that_is_none_is_refused(world: World) -> None:
    worker = world.worker()
    message = link.UpdateMetadata(properties={"status": "asleep", "x": 1})
    with pytest.raises(ProtocolError, match="'asleep' is not a status"):
        world.reactor.on_update_metadata(worker.record, message, world.now_ms)
    assert worker.record.properties == {}


def test_an_update_that_is_refused_for_its_tags_changes_nothing_else_either(world: World) -> None:
    worker = world.worker()
    message = link.UpdateMetadata(properties={"status": "maintenance", "x": 1}, tags=("two\nlines",))
    with pytest.raises(InvalidRequest, match="a tag"):
        world.reactor.on_update_metadata(worker.record, message, world.now_ms)
    assert (worker.record.properties, worker.record.tags, worker.record.status) == ({}, (), "available")
    assert not world.reactor.is_dirty


def test_a_registration_that_arrives_late_is_not_taken_for_the_present_one(world: World) -> None:
    """What it has to tell is old: what was started since is missing from it, and isn't lost."""
    worker = world.worker()
    worker.connect(dial=2)
    worker.take(link.Registered)
    world.submit()
    session, attempt = worker.record.session, worker.started()
    with pytest.raises(Unavailable, match="an older one"):
        worker.connect(dial=1, observed=())
    assert worker.record.session == session
    assert not attempt.is_finished
