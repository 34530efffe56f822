"""A worker in trouble is said to be so within a heartbeat, gets nothing new, and what waits for it says so (hard use 61)."""

import pytest

from opsconsole_coordinator.core import view
from opsconsole_protocol import link
from opsconsole_protocol.api import JobRow, WorkerRow
from opsconsole_protocol.link import Mode, Trouble, TroubleCode
from tests.coordinator.core.world import FakeWorker, World, state

SILENT = Trouble(code=TroubleCode.KEEPER_SILENT, text="its keeper (pid 7) doesn't answer: look whether it is stopped")
NEARLY = Trouble(code=TroubleCode.DISK_FULL, text="1 GB is left of its disk", blocks=False)


def beat(worker: FakeWorker, *troubles: Trouble) -> None:
    message = link.Heartbeat(at_ms=worker.world.now_ms, troubles=troubles)
    worker.world.reactor.on_heartbeat(worker.record, message, worker.world.now_ms)
    worker.world.turn()


def row(world: World, worker: FakeWorker) -> WorkerRow:
    return view.worker_row(world.fleet, worker.record, world.now_ms)


def job_row(world: World, job_id: str) -> JobRow:
    return next(one for one in world.rows.values() if one.id == job_id)


def test_it_is_shown_and_nothing_new_goes_there(world: World) -> None:
    worker = world.worker()
    beat(worker, SILENT)
    assert row(world, worker).attention == f"takes no new tasks: {SILENT.text}"
    assert row(world, worker).status == "busy"
    assert world.events[-1].kind == "trouble"
    job = world.submit()
    assert state(job) == "pending"
    assert SILENT.text in job.reason
    assert SILENT.text in world.why(job)
    beat(worker)
    assert world.events[-2].kind == "recovered"
    assert row(world, worker).attention == ""
    worker.succeed(worker.started())
    assert state(job) == "succeeded"


def test_what_was_assigned_says_why_it_does_not_start(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.take(link.JobAssignment)
    beat(worker, SILENT)
    assert job_row(world, job.id).reason == f"w1: {SILENT.text}"
    assert state(job) == "assigned"
    beat(worker)
    assert job_row(world, job.id).reason == ""


def test_a_cancel_says_what_it_waits_for(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    beat(worker, SILENT)
    world.act("cancel", job)
    assert worker.take(link.SetWant).want.mode is Mode.STOP
    assert job_row(world, job.id).reason == f"ending: cancelled by ana (waits for w1: {SILENT.text})"
    assert world.why(job).endswith(f"(waits for w1: {SILENT.text})")
    beat(worker)
    assert job_row(world, job.id).reason == "ending: cancelled by ana"
    worker.killed(attempt)


def test_a_cancel_of_what_runs_out_of_reach_says_so(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.started()
    worker.disconnect()
    world.pass_ms(20_000)
    world.act("cancel", job)
    assert "waits for w1, which is silent" in job_row(world, job.id).reason


def test_what_only_wants_looking_at_stops_nothing(world: World) -> None:
    worker = world.worker()
    beat(worker, NEARLY)
    assert row(world, worker).attention == NEARLY.text
    assert row(world, worker).status == "available"
    job = world.submit()
    worker.succeed(worker.started())
    assert state(job) == "succeeded"


@pytest.mark.parametrize("code", ["keeper_silent", "something_of_a_newer_agent"])
def test_a_trouble_is_known_from_the_first_message_on(world: World, code: str) -> None:
    worker = world.worker(troubles=(Trouble(code=code),))
    job = world.submit()
    assert code.replace("_", " ") in job.reason
    assert not worker.record.live
    world.act("cancel", job)
