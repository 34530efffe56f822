"""Results that are to outlive their worker: when they are wanted, from whom they are fetched, and what becomes of them."""

import pytest

from opsconsole_coordinator.core.collecting import RETRY_FIRST_MS, RETRY_LAST_MS
from opsconsole_coordinator.core.model import Attempt, Job, OutputCopy
from opsconsole_coordinator.core.output_copy import COLLECTS_AT_ONCE, OutputCopies
from opsconsole_protocol.api import CopyState
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, WorkerId
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, state

TREE = ContentId("5f" * 32)
SHARED = {"io_paths": {"output": "/out", "filesystem": "vast"}}


def end(worker: FakeWorker, attempt: Attempt, *, fails: bool = False) -> None:
    """The attempt ends and has left two files."""
    path = f"/out/jobs/{attempt.job_id}/task-{attempt.index}"
    finish = worker.fail if fails else worker.succeed
    finish(attempt, output_path=path, output_files=2, output_bytes=30)


def collected(world: World, *, content_id: ContentId | None = TREE) -> bool:
    """The shell has fetched the next of what it was told to, and keeps it."""
    copy, _ = world.collects.pop(0)
    files = 2 if content_id else 0
    is_kept = world.reactor.on_collected(
        copy.job_id, copy.index, copy.attempt_id, content_id, files, 15 * files, world.now_ms
    )  # fmt: skip
    world.turn()
    return is_kept


def failed(world: World, reason: str = "the connection was lost", *, is_final: bool = False) -> None:
    """The shell couldn't fetch the next of what it was told to."""
    copy, _ = world.collects.pop(0)
    world.reactor.on_collect_failed(
        copy.job_id, copy.index, copy.attempt_id, reason, world.now_ms, is_final=is_final
    )  # fmt: skip
    world.turn()


def made(world: World, worker: FakeWorker) -> Job:
    """A job of one task that has ended, and whose results are wanted."""
    job = world.submit(collect=("models/*",))
    end(worker, worker.started())
    return job


def test_results_are_fetched_when_the_job_ends(world: World) -> None:
    worker = world.worker()
    job = world.submit(collect=("models/*", "*.json"), num_tasks=2)
    end(worker, worker.started())
    assert not world.collects  # the job goes on
    end(worker, worker.started())
    assert state(job) == "succeeded"
    told = [(copy.index, copy.output_path, copy.patterns, at) for copy, at in world.collects]
    folder = f"/out/jobs/{job.id}"
    patterns = ("models/*", "*.json")
    assert told == [(0, f"{folder}/task-0", patterns, worker.id), (1, f"{folder}/task-1", patterns, worker.id)]
    assert world.fleet.output_copies.jobs() == {job.id}
    assert collected(world)
    assert collected(world, content_id=None)
    assert not world.fleet.output_copies.jobs()
    assert [(event.kind, event.text, event.subject) for event in world.events[-2:]] == [
        ("collected", "collected 2 files, 30 B, from w1 (models/*, *.json)", f"{job.id}/task-0"),
        ("collected", "collected nothing from w1 (models/*, *.json)", f"{job.id}/task-1"),
    ]
    assert not world.fleet.jobs


def test_a_job_without_patterns_leaves_everything_on_its_worker(world: World) -> None:
    worker = world.worker()
    world.submit()
    end(worker, worker.started())
    assert not world.collects
    assert not len(world.fleet.output_copies)


def test_what_a_failed_task_left_is_kept_too(world: World) -> None:
    worker = world.worker()
    world.submit(collect=("checkpoints/*",))
    end(worker, worker.started(), fails=True)
    assert len(world.collects) == 1


def test_a_task_that_left_nothing_or_never_ran_is_not_asked_for(world: World) -> None:
    worker = world.worker()
    world.submit(collect=("*",))
    worker.succeed(worker.started())  # its worker has no output folder, and says of no files
    cancelled = world.submit(collect=("*",), held=True)
    world.act("cancel", cancelled)
    assert not world.collects
    world.submit(collect=("*",))
    worker.succeed(worker.started(), output_files=3)  # kept in a store of the worker's own
    assert [copy.output_path for copy, _ in world.collects] == [""]


def test_results_are_fetched_once_their_worker_has_put_them_in_place(world: World) -> None:
    """As long as parts of the log are on their way the attempt is open, and its folder hasn't been published."""
    worker = world.worker()
    job = world.submit(collect=("*",))
    attempt = worker.started()
    path = f"/out/jobs/{job.id}/attempts/0.0.abcd"
    worker.report(attempt, AttemptState.SUCCEEDED, exit_code=0, log_sizes={"stdout": 9}, output_path=path)
    assert state(job) == "succeeded"
    assert not world.collects
    job.tasks[0].strays = (worker.id,)
    worker.rest(attempt)
    assert [copy.output_path for copy, _ in world.collects] == [f"/out/jobs/{job.id}"]


@pytest.mark.parametrize("count", [1, 2])
def test_an_accepted_result_is_looked_for_where_it_was_published(world: World, count: int) -> None:
    first, second = world.worker("w1"), world.worker("w2")
    job = world.submit(collect=("*",), num_tasks=count, lost_after_ms=1_000)
    lost = first.started()
    if count == 2:
        end(second, second.started())
    first.disconnect()
    world.pass_ms(20_000)
    attempt = second.started()
    path = f"/out/jobs/{job.id}/attempts/{attempt.index}.1.abcd"
    second.report(attempt, AttemptState.SUCCEEDED, exit_code=0, output_path=path)
    second.take_all()
    wanted = {copy.index: copy.output_path for copy, _ in world.collects}
    assert wanted[lost.index] == f"/out/jobs/{job.id}" + (f"/task-{lost.index}" if count == 2 else "")


def test_what_a_worker_that_is_away_holds_is_fetched_when_it_is_back(world: World) -> None:
    worker = world.worker()
    made(world, worker)
    worker.disconnect()
    failed(world)
    world.pass_ms(600_000)
    assert not world.collects
    assert len(world.fleet.output_copies) == 1
    worker.connect()
    worker.take_all()
    assert len(world.collects) == 1
    assert collected(world)


def test_a_fetch_that_fails_is_tried_again_later_each_time(world: World) -> None:
    worker = world.worker()
    made(world, worker)
    wait_ms = RETRY_FIRST_MS
    for _ in range(3):
        failed(world)
        world.pass_ms(wait_ms - 1_000)
        assert not world.collects
        world.pass_ms(1_500)
        assert len(world.collects) == 1
        wait_ms *= 2
    copy = world.collects[0].copy
    for _ in range(20):
        copy.tries += 1
    failed(world)
    assert copy.not_before_ms == world.now_ms + RETRY_LAST_MS
    assert copy.reason == "the connection was lost"
    world.pass_ms(RETRY_LAST_MS)
    assert collected(world)


def test_what_can_never_be_had_is_given_up_and_says_why(world: World) -> None:
    worker = world.worker()
    job = made(world, worker)
    failed(world, "100 GB are more than the coordinator keeps", is_final=True)
    world.pass_ms(RETRY_LAST_MS)
    assert not world.collects
    words = "couldn't collect results from w1: 100 GB are more than the coordinator keeps"
    assert (world.events[-1].kind, world.events[-1].text) == ("collect failed", words)
    assert world.events[-1].subject == f"{job.id}/task-0"


def test_a_worker_that_is_removed_takes_what_it_holds_along(world: World) -> None:
    worker = world.worker()
    made(world, worker)
    worker.disconnect()
    failed(world)
    world.pass_ms(61_000)
    world.reactor.on_worker_removed("w1", "ana", world.now_ms)
    world.turn()
    assert not len(world.fleet.output_copies)
    assert world.events[-2].text == "couldn't collect results from w1: worker w1 was removed"


def test_another_worker_that_sees_the_folder_gives_it_if_the_writer_is_away(world: World) -> None:
    writer = world.worker("w1", properties=SHARED)
    made(world, writer)
    writer.disconnect()
    failed(world)
    other = world.worker("w2", properties={"io_paths": {"output": "/elsewhere", "filesystem": "vast"}})
    world.pass_ms(RETRY_FIRST_MS)
    assert not world.collects
    third = world.worker("w3", properties=SHARED)
    assert [at for _, at in world.collects] == [third.id]
    assert not other.inbox
    world.pass_ms(61_000)
    world.reactor.on_worker_removed("w1", "ana", world.now_ms)  # and the results stay wanted
    assert collected(world)


def test_a_task_that_runs_again_is_fetched_anew_and_an_older_answer_changes_nothing(world: World) -> None:
    worker = world.worker()
    job = world.submit(collect=("*",), num_tasks=2)
    for fails in (False, True):
        end(worker, worker.started(), fails=fails)
    kept, early = world.collects
    world.reactor.on_job_loaded(job, [world.attempts[copy.attempt_id] for copy, _ in world.collects], {})
    world.act("retry", job)
    assert world.fleet.output_copies.find(job.id, 1) is None
    attempt = worker.started()
    assert not world.reactor.on_collected(job.id, 1, early.copy.attempt_id, TREE, 1, 1, world.now_ms)
    world.reactor.on_collect_failed(job.id, 1, early.copy.attempt_id, "late", world.now_ms)
    end(worker, attempt)
    assert [copy.attempt_id for copy, _ in world.collects] == [
        kept.copy.attempt_id, early.copy.attempt_id, attempt.id
    ]  # fmt: skip
    assert not world.reactor.on_collected(job.id, 1, early.copy.attempt_id, TREE, 1, 1, world.now_ms)
    del world.collects[1]
    assert collected(world)
    assert collected(world)


def test_a_removed_job_is_not_fetched(world: World) -> None:
    worker = world.worker()
    job = made(world, worker)
    world.reactor.on_jobs_removed([job.id])
    world.turn()
    assert not len(world.fleet.output_copies)
    assert not collected(world)


def test_a_few_are_fetched_at_a_time(world: World) -> None:
    worker = world.worker(slots=50)
    world.submit(collect=("*",), num_tasks=3 * COLLECTS_AT_ONCE)
    for attempt in [worker.started() for _ in range(3 * COLLECTS_AT_ONCE)]:
        end(worker, attempt)
    assert len(world.collects) == COLLECTS_AT_ONCE
    assert collected(world)
    assert len(world.collects) == COLLECTS_AT_ONCE
    for left in range(3 * COLLECTS_AT_ONCE - 1, 0, -1):
        assert len(world.collects) == min(left, COLLECTS_AT_ONCE)
        assert collected(world)


def test_what_is_wanted_of_a_task_is_its_last_results() -> None:
    copies = OutputCopies()
    for attempt in (AttemptId("a"), AttemptId("b")):
        copies.add(
            OutputCopy(
                job_id=JobId("j"), index=0, attempt_id=attempt, worker_id=WorkerId("w"), worker_name="w", place="w"
            )
        )
    assert [copy.attempt_id for copy in copies] == ["b"]
    assert copies.discard((JobId("j"), 0)) is not None
    assert copies.discard((JobId("j"), 0)) is None
    assert next(iter(copies), None) is None
    assert [str(one) for one in CopyState] == ["wanted", "kept", "failed"]
