"""Pauses that free what a task holds, and attempts that go on from its newest checkpoint."""

from typing import Any

import pytest

from opsconsole_coordinator.core import checkpointing, view
from opsconsole_coordinator.core.checkpoint import CopyCheckpoint
from opsconsole_coordinator.core.checkpointing import COPY_EVERY_MS
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.core.reporting import note_reported
from opsconsole_protocol import link
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.report import Checkpoint, Progress, Reported
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import AttemptState, TaskState
from opsconsole_protocol.task_selection import TaskSelection
from tests.coordinator.core.world import FakeWorker, World, state, task_of

TREE = ContentId("c" * 64)
LOST_MS = 61_000


@pytest.fixture
def copies(world: World) -> list[CopyCheckpoint]:
    """What the shell is told to copy."""
    found: list[CopyCheckpoint] = []
    world.on_commit = lambda batch, _: found.extend(batch.checkpoints)
    return found


def run(world: World, job: Job, worker: FakeWorker) -> Attempt:
    """The job's task runs, with folders of its own."""
    attempt = worker.assigned()
    assert attempt.job_id == job.id
    worker.report(
        attempt,
        AttemptState.RUNNING,
        started_at_ms=world.now_ms,
        output_path=f"/out/jobs/{job.id}",
        workdir=f"/state/{attempt.id}/work",
    )
    return attempt


def save(world: World, attempt: Attempt, step: float, path: str = "") -> Checkpoint:
    """The task reports a checkpoint."""
    checkpoint = Checkpoint(path or f"/out/jobs/{attempt.job_id}/models/step-{step:g}", step, world.now_ms)
    note_reported(world.fleet, attempt.id, Reported(checkpoint=checkpoint), world.now_ms)
    world.turn()
    return checkpoint


def copied(world: World, wanted: CopyCheckpoint, content_id: ContentId = TREE) -> None:
    """The coordinator has the copy that a batch asked for."""
    assert world.reactor.on_checkpoint_copied(wanted, content_id, 1_000, world.now_ms)
    world.reactor.on_kept([content_id], [], world.now_ms)
    world.turn()


def pause(world: World, job: Job, by: PauseBy | None = PauseBy.CHECKPOINT) -> str:
    words = world.reactor.on_act("pause", job.id, None, "ana", "", world.now_ms, by)
    world.turn()
    return words


def asked(worker: FakeWorker) -> link.Want:
    """The next message asks for a checkpoint."""
    want = worker.take(link.SetWant).want
    assert (want.mode, want.by) == (link.Mode.PAUSE, PauseBy.CHECKPOINT)
    return want


LATE = "hasn't saved a checkpoint within 10s: freeze it, cancel it, or wait on"


def late_words(world: World) -> list[str]:
    """What events said of tasks that are late."""
    return [event.text for event in world.events if "hasn't saved" in event.text]


def made_way(world: World, worker: FakeWorker, attempt: Attempt, **fields: Any) -> None:
    worker.report(
        attempt, AttemptState.FAILED, exit_code=85, error="exit code 85", finished_at_ms=world.now_ms, **fields
    )


def test_a_pause_by_checkpoint_frees_the_slot_and_a_resume_goes_on_from_there(
    world: World, copies: list[CopyCheckpoint]
) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=0, max_retries_preemption=0)
    attempt = run(world, job, worker)
    assert pause(world, job) == "paused by ana"
    assert asked(worker).reason == "paused by ana"
    assert (state(job), task_of(job).reason) == ("running", "asked to save a checkpoint by ana")
    saved = save(world, attempt, 120)
    note_reported(world.fleet, attempt.id, Reported(progress=Progress(120, 200), progress_at_ms=1), world.now_ms)
    made_way(world, worker, attempt, hint="none was asked for")
    worker.forget(attempt)
    assert (state(job), task_of(job).reason) == ("paused", "saved at step 120, paused by ana")
    assert view.job_row(world.fleet, job).advance == link.TaskProgress(done=120, total=200)
    assert not attempt.hint, "its worker doesn't know better"
    assert not worker.record.live, "a paused task holds nothing"
    assert attempt.state is AttemptState.PREEMPTED
    # Somebody else's job runs meanwhile.
    other = world.submit()
    worker.succeed(run(world, other, worker))
    assert world.act("resume", job) == "resumed by ana"
    again = worker.assigned()
    assert world.fleet.attempts[again.id].resumed_from == saved
    assert worker.desired[again.id].launch.resume == link.Resume(path=saved.path)
    assert (task_of(job).failures, task_of(job).preemptions) == (0, 0)
    worker.run(again)
    worker.succeed(again)
    assert task_of(job).latest is None
    assert "attempt 1 assigned to w1, goes on from step 120: the only one that accepts" in [
        event.text for event in world.events
    ]
    del copies


def test_a_paused_task_goes_on_where_its_copy_can_be_sent(world: World, copies: list[CopyCheckpoint]) -> None:
    first = world.worker("w1")
    job = world.submit()
    attempt = run(world, job, first)
    save(world, attempt, 7)
    (wanted,) = copies
    assert (wanted.latest.below, wanted.latest.output_path) == ("models/step-7", f"/out/jobs/{job.id}")
    copied(world, wanted)
    pause(world, job)
    asked(first)
    made_way(world, first, attempt)
    first.forget(attempt)
    first.disconnect()
    second = world.worker("w2")
    world.act("resume", job)
    again = second.assigned()
    resume = second.desired[again.id].launch.resume
    assert resume == link.Resume(path="models/step-7", content_id=TREE, size_bytes=1_000)
    last = [event.text for event in world.events if "attempt 1 assigned" in event.text]
    assert last == [
        "attempt 1 assigned to w2, which has none of its data yet, 1.0 kB, goes on from step 7: the only one that accepts"
    ]


def test_a_lost_attempt_is_replaced_by_one_that_goes_on_from_the_newest_copy(
    world: World, copies: list[CopyCheckpoint]
) -> None:
    first = world.worker("w1")
    job = world.submit()
    attempt = run(world, job, first)
    save(world, attempt, 100)
    copied(world, copies.pop())
    world.pass_ms(1_000)
    save(world, attempt, 200)
    assert not copies, "a task that runs is copied once a minute"
    first.disconnect()
    second = world.worker("w2")
    world.pass_ms(LOST_MS)
    again = second.assigned()
    resumed = world.fleet.attempts[again.id].resumed_from
    assert resumed is not None
    assert resumed.step == 100
    assert any("goes on from step 100: the newest, step 200, is lost" in event.text for event in world.events)


def test_a_failed_attempt_is_tried_again_from_its_checkpoint(world: World, copies: list[CopyCheckpoint]) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=1)
    attempt = run(world, job, worker)
    saved = save(world, attempt, 3)
    worker.fail(attempt)
    world.pass_ms(2_000)
    again = worker.assigned()
    assert again.resumed_from == saved
    del copies


def test_what_is_copied_is_the_newest_and_no_more_than_one_at_a_time(
    world: World, copies: list[CopyCheckpoint]
) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    save(world, attempt, 1)
    save(world, attempt, 2)
    (first,) = copies
    copies.clear()
    copied(world, first)
    task = task_of(job)
    assert task.kept is not None
    assert task.kept.checkpoint.step == 1
    world.pass_ms(COPY_EVERY_MS + 1_000)
    (second,) = copies
    assert second.latest.checkpoint.step == 2
    copied(world, second, ContentId("d" * 64))
    assert checkpointing.is_copied(task)
    assert not world.fleet.checkpoint_copies


def test_a_copy_that_fails_is_tried_again_unless_that_is_of_no_use(world: World, copies: list[CopyCheckpoint]) -> None:
    worker = world.worker()
    job = world.submit()
    save(world, run(world, job, worker), 1)
    world.reactor.on_checkpoint_failed(copies.pop(), "w1 is busy", world.now_ms, is_final=False)
    world.pass_ms(2_000)
    assert not copies
    world.pass_ms(5_000)
    world.reactor.on_checkpoint_failed(copies.pop(), "it is too large", world.now_ms, is_final=True)
    world.pass_ms(COPY_EVERY_MS)
    assert not copies
    assert task_of(job).uncopied == "it is too large"
    assert world.events[-1].text == "the coordinator has no copy of the checkpoint at step 1: it is too large"


def test_a_checkpoint_elsewhere_on_the_disk_binds_the_task_to_its_worker(
    world: World, copies: list[CopyCheckpoint]
) -> None:
    first = world.worker("w1")
    job = world.submit(max_retries_failure=1)
    attempt = run(world, job, first)
    saved = save(world, attempt, 5, "/data/elsewhere")
    assert not copies
    blocker = world.submit(worker="w1")
    second = world.worker("w2")
    first.fail(attempt)
    held = first.assigned()
    assert held.job_id == blocker.id
    world.pass_ms(70_000)
    assert not second.record.live
    assert "w2 doesn't have its checkpoint at step 5, which is on w1 alone (it lies outside" in world.why(job)
    first.run(held)
    first.succeed(held)
    world.pass_ms(1_000)
    assert first.assigned().resumed_from == saved


def test_it_waits_for_the_last_of_what_its_attempt_reported(world: World, copies: list[CopyCheckpoint]) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    made_way(world, worker, attempt, log_sizes={"report": 100})
    world.act("resume", job)
    world.pass_ms(3_000)
    assert state(job) == "pending"
    saved = save(world, attempt, 9)
    worker.rest(attempt)
    assert worker.assigned().resumed_from == saved
    del copies


def test_one_that_was_resumed_before_it_made_way_goes_on_at_once(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=0, max_retries_preemption=0)
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    world.act("resume", job)
    assert worker.take(link.SetWant).want.mode is link.Mode.RUN
    made_way(world, worker, attempt)
    worker.forget(attempt)
    worker.assigned()
    assert (task_of(job).failures, task_of(job).preemptions) == (0, 0)


def test_exit_code_85_means_nothing_where_nobody_asked(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    made_way(world, worker, attempt)
    worker.forget(attempt)
    assert state(job) == "failed"


def test_one_that_saves_nothing_can_be_frozen_instead_and_thaws(world: World) -> None:
    worker = world.worker()
    job = world.submit(save_within_ms=10_000)
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    world.pass_ms(20_000)
    assert late_words(world) == [LATE]
    assert (task_of(job).reason, view.job_row(world.fleet, job).save_late) == (LATE, (0,))
    worker.report(attempt, AttemptState.RUNNING, peak_memory_mb=1)
    assert task_of(job).reason == LATE, "what its worker says otherwise doesn't take it away"
    pause(world, job, PauseBy.FREEZE)
    want = worker.take(link.SetWant).want
    assert (want.mode, want.by) == (link.Mode.PAUSE, PauseBy.FREEZE)
    assert (task_of(job).reason, view.job_row(world.fleet, job).save_late) == ("paused by ana", ())
    worker.report(attempt, AttemptState.PAUSED)
    assert state(job) == "paused"
    assert worker.record.live, "a frozen task holds its slot"
    world.act("resume", job)
    worker.take(link.SetWant)
    worker.run(attempt)
    worker.succeed(attempt)


def test_one_that_is_late_is_given_as_long_again_and_told_of_again(world: World) -> None:
    worker = world.worker()
    job = world.submit(save_within_ms=10_000)
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    world.pass_ms(9_000)
    for by in (PauseBy.CHECKPOINT, None):  # the job's own kind is freezing: that alone gives it no more time
        words = "given 10s more by ana to save a checkpoint" if by else "paused by ana"
        assert pause(world, job, by) == words
        world.pass_ms(9_000)
    assert view.job_row(world.fleet, job).save_late == (0,)
    assert pause(world, job) == "given 10s more by ana to save a checkpoint"
    assert (task_of(job).reason, world.rows[job.id].save_late) == ("asked to save a checkpoint by ana", ())
    assert world.attempts[attempt.id].save_asked_ms == world.now_ms, "it is stored"
    world.pass_ms(12_000)
    assert late_words(world) == [LATE, LATE]
    assert world.rows[job.id].save_late == (0,)
    world.act("resume", job)
    worker.take(link.SetWant)
    assert (task_of(job).reason, world.rows[job.id].save_late) == ("resumed by ana", ())
    worker.succeed(attempt)


def test_which_tasks_are_late_is_said_of_each(world: World) -> None:
    worker = world.worker(slots=3)
    job = world.submit(num_tasks=3, save_within_ms=10_000)
    attempts = [worker.started() for _ in range(3)]
    world.reactor.on_act("pause", job.id, TaskSelection.of(1), "ana", "", world.now_ms, PauseBy.CHECKPOINT)
    world.turn()
    asked(worker)
    world.pass_ms(12_000)
    assert world.rows[job.id].save_late == (1,)
    for attempt in attempts:
        worker.succeed(attempt)
    assert world.rows[job.id].save_late == ()


def test_what_is_told_after_the_end_says_so_and_is_the_reason_of_the_pause(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    made_way(world, worker, attempt, log_sizes={"report": 9})
    assert (state(job), task_of(job).reason) == ("paused", "paused by ana"), "what it has saved is yet to be told"
    save(world, attempt, 90)
    assert task_of(job).reason == "saved at step 90, paused by ana"
    assert [event.text for event in world.events if "step 90" in event.text] == [
        f"attempt 0 had saved at step 90: /out/jobs/{job.id}/models/step-90"
    ]
    world.reactor.on_logs_stored(attempt.id, "report", 9)
    world.turn()
    worker.forget(attempt)


def test_one_whose_report_has_come_without_a_checkpoint_says_so(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    made_way(world, worker, attempt, log_sizes={"report": 9})
    assert task_of(job).reason == "paused by ana"
    world.reactor.on_logs_stored(attempt.id, "report", 9)
    world.turn()
    assert task_of(job).reason == "told of no checkpoint, paused by ana"
    worker.forget(attempt)


def test_one_that_made_way_without_a_checkpoint_says_so(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    made_way(world, worker, attempt)
    worker.forget(attempt)
    assert task_of(job).reason == "told of no checkpoint, paused by ana"


def test_a_parked_task_can_be_cancelled_and_paused_again_is_refused(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    made_way(world, worker, attempt)
    worker.forget(attempt)
    with pytest.raises(Conflict, match="nothing of it runs or waits"):
        pause(world, job)
    world.act("cancel", job)
    assert state(job) == "killed"


def test_one_that_had_saved_when_it_was_cancelled_stays_cancelled(world: World) -> None:
    """Its end came after the cancel, and brought it back to life (seed 1580 of the simulator)."""
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    world.act("cancel", job)
    worker.stop(attempt)
    made_way(world, worker, attempt)
    worker.forget(attempt)
    assert state(job) == "killed"


def test_the_job_says_how_it_is_paused_where_nobody_else_does(world: World) -> None:
    worker = world.worker()
    job = world.submit(pause_by=PauseBy.CHECKPOINT)
    run(world, job, worker)
    pause(world, job, None)
    asked(worker)


def test_what_has_not_started_has_nothing_to_save(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.assigned()
    pause(world, job)
    assert worker.take(link.SetWant).want.by is PauseBy.FREEZE


@pytest.mark.parametrize(
    ("sizes", "words"), [({}, "told of no checkpoint and made way"), ({"report": 50}, "attempt 0 made way")]
)
def test_nothing_is_said_of_a_checkpoint_before_all_was_told(world: World, sizes: dict[str, int], words: str) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    made_way(world, worker, attempt, log_sizes=sizes)
    worker.take_all()
    assert any(words in event.text for event in world.events)


def gang(world: World, **fields: Any) -> tuple[Job, list[FakeWorker], list[Attempt]]:
    """A gang of two that runs on two workers."""
    workers = [world.worker(name) for name in ("w1", "w2")]
    job = world.submit(gang=True, num_tasks=2, **fields)
    return job, workers, [run(world, job, worker) for worker in workers]


def states(job: Job) -> list[str]:
    return [str(task.state) for task in job.tasks]


def test_a_gang_makes_way_as_a_whole_and_goes_on_as_a_whole(world: World, copies: list[CopyCheckpoint]) -> None:
    job, workers, attempts = gang(world, max_retries_preemption=0)
    pause(world, job)
    for worker in workers:
        asked(worker)
    saved = [save(world, attempt, 120) for attempt in attempts]
    made_way(world, workers[0], attempts[0])
    workers[0].forget(attempts[0])
    assert states(job) == ["paused", "running"], "nobody ends the other one, which still saves"
    world.pass_ms(30_000)
    made_way(world, workers[1], attempts[1])
    workers[1].forget(attempts[1])
    assert (state(job), states(job)) == ("paused", ["paused", "paused"])
    assert not any(worker.record.live for worker in workers)
    for wanted in list(copies):
        copied(world, wanted)
    world.act("resume", job)
    again = [worker.assigned() for worker in workers]
    assert [world.fleet.attempts[one.id].resumed_from for one in again] == saved
    for worker, attempt in zip(workers, again, strict=True):
        worker.run(attempt)
    for worker, attempt in zip(workers, again, strict=True):
        worker.succeed(attempt)
    assert state(job) == "succeeded"


def test_a_gang_goes_on_only_where_all_its_checkpoints_can_be_had(world: World, copies: list[CopyCheckpoint]) -> None:
    job, workers, attempts = gang(world)
    pause(world, job)
    for worker, attempt in zip(workers, attempts, strict=True):
        asked(worker)
        save(world, attempt, 3)
        made_way(world, worker, attempt)
        worker.forget(attempt)
    copied(world, copies.pop(0))
    world.act("resume", job)
    assert world.why(job) == "its gang waits for task-1: its newest checkpoint is on its way here"
    copied(world, copies.pop(0))
    for worker in workers:
        worker.assigned()


def test_where_the_first_of_a_gang_saves_for_all_each_goes_on_from_that(
    world: World, copies: list[CopyCheckpoint]
) -> None:
    job, workers, attempts = gang(world)
    pause(world, job)
    for worker in workers:
        asked(worker)
    saved = save(world, attempts[0], 120)
    for worker, attempt in zip(workers, attempts, strict=True):
        made_way(world, worker, attempt)
        worker.forget(attempt)
    world.act("resume", job)
    assert world.why(job) == "its gang waits for task-0: its newest checkpoint is on its way here"
    copied(world, copies.pop(0))
    again = [world.fleet.attempts[worker.assigned().id] for worker in workers]
    assert [one.resumed_from for one in again] == [saved, saved]
    assert all(one.resume is not None for one in again)


def test_what_can_t_be_copied_is_for_the_task_alone_that_saved_it(world: World) -> None:
    job, workers, attempts = gang(world)
    pause(world, job)
    for worker in workers:
        asked(worker)
    saved = save(world, attempts[0], 120, "/elsewhere/checkpoint-120")
    for worker, attempt in zip(workers, attempts, strict=True):
        made_way(world, worker, attempt)
        worker.forget(attempt)
    world.act("resume", job)
    again = [world.fleet.attempts[worker.assigned().id] for worker in workers]
    assert [one.resumed_from for one in again] == [saved, None]


def test_a_gang_of_which_one_fails_while_it_saves_waits_for_an_operator(world: World) -> None:
    job, workers, attempts = gang(world, max_retries_failure=1)
    pause(world, job)
    for worker in workers:
        asked(worker)
    workers[0].fail(attempts[0])
    assert states(job) == ["held", "running"]
    made_way(world, workers[1], attempts[1])
    workers[1].forget(attempts[1])
    assert states(job) == ["held", "paused"]
    world.act("release", job)
    world.pass_ms(5_000)
    assert states(job) == ["pending", "paused"], "a gang goes on as a whole"
    world.act("resume", job)
    for worker in workers:
        worker.assigned()


def test_a_gang_that_is_frozen_after_one_has_failed_is_ended_for_the_next_round(world: World) -> None:
    job, workers, attempts = gang(world, max_retries_failure=1)
    pause(world, job)
    for worker in workers:
        asked(worker)
    workers[0].fail(attempts[0])
    pause(world, job, PauseBy.FREEZE)
    assert workers[1].take(link.SetWant).want.by is PauseBy.FREEZE
    assert workers[1].stop(attempts[1]).reason == "paused by ana"
    workers[1].killed(attempts[1])
    assert states(job) == ["held", "held"]


def test_a_gang_resumed_before_all_have_saved_begins_the_next_round_together(world: World) -> None:
    job, workers, attempts = gang(world)
    pause(world, job)
    for worker in workers:
        asked(worker)
    made_way(world, workers[0], attempts[0])
    workers[0].forget(attempts[0])
    world.act("resume", job)
    assert workers[1].take(link.SetWant).want.mode is link.Mode.RUN
    assert workers[1].stop(attempts[1]).reason == "resumed by ana"
    made_way(world, workers[1], attempts[1])
    workers[1].forget(attempts[1])
    for worker in workers:
        worker.assigned()
    assert [(task.failures, task.preemptions) for task in job.tasks] == [(0, 0), (0, 0)]


def test_a_gang_keeps_no_slot_for_what_hasn_t_started(world: World) -> None:
    workers = [world.worker(name) for name in ("w1", "w2")]
    job = world.submit(gang=True, num_tasks=2)
    running, started = run(world, job, workers[0]), workers[1].assigned()
    pause(world, job)
    asked(workers[0])
    assert workers[1].stop(started).reason == "paused by ana"
    workers[1].killed(started)
    assert states(job) == ["running", "held"]
    made_way(world, workers[0], running)
    workers[0].forget(running)
    assert states(job) == ["paused", "held"]
    world.act("resume", job)
    for worker in workers:
        worker.assigned()


def test_a_checkpoint_that_is_gone_gives_way_to_the_copy_before_it(world: World, copies: list[CopyCheckpoint]) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=5)
    attempt = run(world, job, worker)
    save(world, attempt, 1)
    copied(world, copies.pop())
    world.pass_ms(1_000)
    save(world, attempt, 2)
    worker.fail(attempt)
    world.pass_ms(2_000)
    again = worker.assigned()
    worker.report(again, AttemptState.WORKER_FAILED, error="gone", cause="checkpoint_gone", finished_at_ms=1)
    worker.forget(again)
    world.pass_ms(1_000)
    last = worker.assigned()
    assert last.resumed_from is not None
    assert last.resumed_from.step == 1
    assert worker.desired[last.id].launch.resume == link.Resume(path="models/step-1", content_id=TREE, size_bytes=1_000)
    assert task_of(job).failures == 1


def test_a_worker_on_which_the_checkpoint_lies_lacks_nothing_of_it(world: World, copies: list[CopyCheckpoint]) -> None:
    """It was said to have none of its data yet, and the copy that it is never sent counted against it."""
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    save(world, attempt, 54)
    made_way(world, worker, attempt)
    worker.forget(attempt)
    copied(world, copies.pop())
    world.worker("w2")
    world.act("resume", job)
    worker.assigned()
    assert (
        world.events[-1].text
        == "attempt 1 assigned to w1, which has 1.0 of 1.0 kB of its data, goes on from step 54: lacks least of its data"
    )


def test_a_path_below_the_working_folder_is_found_there(world: World, copies: list[CopyCheckpoint]) -> None:
    """A script that writes its report by hand names what it made as it did; that was taken for a checkpoint outside of its folders."""
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    for path in ("ck/4", "./ck/../ck/4"):
        save(world, attempt, 4, path)
        latest = task_of(job).latest
        assert latest is not None
        assert (latest.checkpoint.path, latest.below) == (f"/state/{attempt.id}/work/ck/4", "ck/4")
    assert [one.latest.below for one in copies] == ["ck/4"]
    save(world, attempt, 5, "../../etc")
    latest = task_of(job).latest
    assert latest is not None
    assert (latest.checkpoint.path, latest.root) == ("/state/etc", None)
    worker.take_all()


def test_a_checkpoint_that_is_gone_comes_back_from_its_copy(world: World, copies: list[CopyCheckpoint]) -> None:
    """Its copy was given up along with it, and the run began anew."""
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    save(world, attempt, 54)
    made_way(world, worker, attempt)
    worker.forget(attempt)
    copied(world, copies.pop())
    world.act("resume", job)
    again = worker.assigned()
    assert worker.desired[again.id].launch.resume == link.Resume(path=f"/out/jobs/{job.id}/models/step-54")
    worker.report(again, AttemptState.WORKER_FAILED, error="gone", cause="checkpoint_gone", finished_at_ms=1)
    worker.forget(again)
    row = view.task_row(job, task_of(job), [])
    assert row.checkpoint is not None
    assert (row.checkpoint.step, row.checkpoint.copied) == (54, True)
    world.pass_ms(1_000)
    last = worker.assigned()
    assert worker.desired[last.id].launch.resume == link.Resume(
        path="models/step-54", content_id=TREE, size_bytes=1_000
    )
    assert last.resumed_from == Checkpoint(f"/out/jobs/{job.id}/models/step-54", 54, row.checkpoint.at_ms)


def test_sentences_read_well_with_and_without_a_step() -> None:
    assert checkpointing.at_step(Checkpoint("/x", 120, 0)) == " at step 120"
    assert checkpointing.at_step(Checkpoint("/x", None, 0)) == checkpointing.at_step(None) == ""


def test_a_damaged_copy_is_made_anew(world: World, copies: list[CopyCheckpoint]) -> None:
    worker = world.worker()
    job = world.submit()
    save(world, run(world, job, worker), 1)
    copied(world, copies.pop())
    world.reactor.on_checkpoint_lost(job.id, 0, TREE, world.now_ms)
    world.turn()
    assert task_of(job).kept is None
    assert [one.latest.checkpoint.step for one in copies] == [1]


def test_a_job_begins_where_its_submitter_says(world: World) -> None:
    worker = world.worker()
    world.submit(resume_from="/ckpt/base")
    attempt = worker.assigned()
    assert worker.desired[attempt.id].launch.resume == link.Resume(path="/ckpt/base")


def test_a_checkpoint_that_was_never_there_is_refused_once(world: World) -> None:
    """A hundred attempts looked for it, one after the other."""
    worker = world.worker()
    job = world.submit(resume_from="/ckpt/base", max_retries_failure=3)
    attempt = worker.assigned()
    worker.report(attempt, AttemptState.WORKER_FAILED, error="not there", cause="checkpoint_gone", finished_at_ms=1)
    worker.forget(attempt)
    assert (state(job), task_of(job).reason) == (
        "failed",
        "the checkpoint /ckpt/base is not on w1: --worker names one that has it",
    )
    assert [event.text for event in world.events if event.kind == "failed"] == [
        "attempt 0 not started: the checkpoint /ckpt/base is not on w1: --worker names one that has it"
    ]


def test_a_task_is_finished_or_live_or_waits_or_is_parked(world: World) -> None:
    """A parked task survives the coordinator's restart as what it is."""
    worker = world.worker()
    job = world.submit()
    attempt = run(world, job, worker)
    pause(world, job)
    asked(worker)
    made_way(world, worker, attempt)
    worker.forget(attempt)
    world.fleet.attempts.clear()  # a store that has let go of the attempt
    world.act("resume", job)
    assert task_of(job).state is TaskState.ASSIGNED
    worker.take_all()
