"""What tasks say of themselves, in the core: shown at once, stored where it matters, and never a reason to fail."""

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.reporting import CHECKPOINT_EVENT_EVERY_MS, METRICS_SHOWN_MAX, note_reported
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import TaskProgress
from opsconsole_protocol.report import Checkpoint, Progress, Reported
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import World


def test_reported_progress_counts_more_than_what_the_output_looks_like(world: World) -> None:
    worker, job = world.worker(), world.submit()
    attempt = worker.started()
    note_reported(world.fleet, attempt.id, Reported(progress=Progress(10, 100), progress_at_ms=1_000), 1)
    worker.heartbeat(progress={attempt.id: TaskProgress(done=1, total=2)})
    row = view.job_row(world.fleet, job).advance
    assert row == TaskProgress(done=10, total=100)
    note_reported(world.fleet, attempt.id, Reported(progress=Progress(20, 100), progress_at_ms=3_000), 2)
    assert view.job_row(world.fleet, job).advance == TaskProgress(done=20, total=100, eta_ms=16_000)
    # It starts over: the time left is counted anew.
    note_reported(world.fleet, attempt.id, Reported(progress=Progress(0, 50), progress_at_ms=4_000), 3)
    assert view.job_row(world.fleet, job).advance == TaskProgress(done=0, total=50)
    worker.take_all()


def test_metrics_and_checkpoints_are_shown_of_the_task_and_kept_with_its_end(world: World) -> None:
    worker, job = world.worker(), world.submit()
    attempt = worker.started()
    world.fleet.drain()
    note_reported(world.fleet, attempt.id, Reported(metrics={"loss": 0.5}), 1)
    assert not world.fleet.drain().attempts, "metrics cost no commit"
    note_reported(world.fleet, attempt.id, Reported(metrics={"loss": 0.4}, checkpoint=Checkpoint("/c", 7, 5)), 2)
    batch = world.fleet.drain()
    assert [one.id for one in batch.attempts] == [attempt.id]
    assert [event.text for event in batch.events] == ["saved at step 7: /c"]
    row = view.task_row(job, job.tasks[0], [attempt])
    assert row.metrics == {"loss": 0.4}
    assert row.checkpoint is not None
    assert (row.checkpoint.path, row.checkpoint.step) == ("/c", 7)
    worker.take_all()


def test_a_task_that_saves_all_the_time_fills_no_audit_log(world: World) -> None:
    worker, _ = world.worker(), world.submit()
    attempt = worker.started()
    world.fleet.drain()
    for number in range(100):
        reported = Reported(checkpoint=Checkpoint("/c", number, number))
        note_reported(world.fleet, attempt.id, reported, CHECKPOINT_EVENT_EVERY_MS + number)
    assert len(world.fleet.drain().events) == 1
    assert attempt.checkpoint == Checkpoint("/c", 99, 99)
    worker.take_all()


def test_what_a_task_saved_last_is_told_however_soon_after_the_one_before(world: World) -> None:
    worker, _ = world.worker(), world.submit()
    attempt = worker.started()
    note_reported(world.fleet, attempt.id, Reported(checkpoint=Checkpoint("/c", 1, 1)), world.now_ms)
    ended = {"exit_code": 1, "error": "exit code 1", "finished_at_ms": world.now_ms}
    worker.report(attempt, AttemptState.FAILED, log_sizes={"report": 100}, **ended)
    world.fleet.drain()
    last = Reported(checkpoint=Checkpoint("/c", 2, 2))
    note_reported(world.fleet, attempt.id, last, world.now_ms + 1)
    note_reported(world.fleet, attempt.id, last, world.now_ms + 2)
    assert [event.text for event in world.fleet.drain().events] == ["attempt 0 had saved at step 2: /c"]
    worker.take_all()


def test_notes_and_faults_are_events_and_endless_metrics_are_cut(world: World) -> None:
    worker, job = world.worker(), world.submit()
    attempt = worker.started()
    world.fleet.drain()
    metrics = {f"m{number}": 1.0 for number in range(METRICS_SHOWN_MAX + 5)}
    reported = Reported(metrics=metrics, notes=[(1, "halved")], faults=["line 3: it is no JSON"], faults_left_out=6)
    note_reported(world.fleet, attempt.id, reported, 1)
    note_reported(world.fleet, AttemptId(f"{job.id}.0.9.gone"), reported, 1)
    assert [(event.actor, event.text) for event in world.fleet.drain().events] == [
        (f"task {job.id}/task-0", "note: halved"),
        (f"task {job.id}/task-0", "its report has a fault in line 3: it is no JSON"),
        (f"task {job.id}/task-0", "its report has 6 more faults"),
        (f"task {job.id}/task-0", "its report has 6 more faults"),  # which is found only when an attempt is gone
    ]
    assert len(attempt.metrics) == METRICS_SHOWN_MAX
    worker.take_all()


def test_time_left_is_what_the_task_says_and_a_new_whole_begins_anew(world: World) -> None:
    worker, _ = world.worker(), world.submit()
    attempt = worker.started()
    note_reported(world.fleet, attempt.id, Reported(progress=Progress(1, 10, 7_000), progress_at_ms=1_000), 1)
    assert attempt.progress is not None
    assert attempt.progress.eta_ms == 7_000
    note_reported(world.fleet, attempt.id, Reported(progress=Progress(50, 100), progress_at_ms=2_000), 2)
    assert attempt.progress.eta_ms is None
    note_reported(world.fleet, attempt.id, Reported(progress=Progress(60, 100), progress_at_ms=3_000), 3)
    assert attempt.progress.eta_ms == 4_000
    worker.take_all()


def test_rows_say_which_metrics_were_recognised(world: World) -> None:
    worker, _ = world.worker(), world.submit()
    attempt = worker.started()
    note_reported(world.fleet, attempt.id, Reported(metrics={"loss": 1, "acc": 2}, recognised={"acc"}), 1)
    assert view.attempt_row(attempt).recognised == ("acc",)
    worker.take_all()


def test_what_a_task_says_is_never_taken_for_what_its_worker_or_a_person_says(world: World) -> None:
    """A task's note read like the worker's own account of its end."""
    worker, job = world.worker(), world.submit()
    attempt = worker.started()
    world.fleet.drain()
    said = Reported(
        notes=[(1, "attempt 0 succeeded on w1"), (2, "paused by root")], faults=["x"], checkpoint=Checkpoint("/c", 1, 1)
    )
    note_reported(world.fleet, attempt.id, said, 1)
    events = world.fleet.drain().events
    assert len(events) == 4
    assert {event.actor for event in events} == {f"task {job.id}/task-0"}
    assert all(event.text.startswith("note: ") for event in events if "succeeded" in event.text or "root" in event.text)
    worker.take_all()
