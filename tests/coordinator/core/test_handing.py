"""Results that jobs take of other jobs: when they are handed over, and what becomes of a job that can't have them."""

import msgspec
import pytest

from opsconsole_coordinator.core.handing import NOTHING_LEFT
from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.state import TaskState
from tests.coordinator.core.test_collecting import TREE, collected, end, failed
from tests.coordinator.core.world import World, state, task_of

OTHER = ContentId("6f" * 32)


def handed(job: Job) -> list[tuple[str, ContentId]]:
    """By which names a job finds which trees."""
    return [(one.name, one.content_id) for one in job.uploads]


def keep(world: World, content_id: ContentId) -> None:
    """The coordinator has a tree."""
    world.reactor.on_kept([content_id], [], world.now_ms)


def test_results_are_handed_over_once_they_are_kept(world: World) -> None:
    worker = world.worker()
    mine = Upload(name="a.csv", content_id=OTHER, size_bytes=1, files=1)
    keep(world, OTHER)
    first = world.submit(collect=("models/*",))
    second = world.submit(takes=(f"{first.id}:model",), uploads=(mine,))
    assert world.why(second) == f"waits for the results of {first.id}"
    end(worker, worker.started())
    assert state(first) == "succeeded"
    assert world.why(second) == f"waits for the results of {first.id}", "it has ended, and they aren't kept yet"
    keep(world, TREE)
    assert collected(world)
    assert handed(second) == [("a.csv", OTHER), ("model", TREE)]
    attempt = worker.assigned()
    assert attempt.job_id == second.id
    assert [one.content_id for one in world.reactor.contents_of(second)] == [OTHER, TREE]
    assert world.fleet.contents.jobs_with(TREE) == {second.id}
    world.act("cancel", second)
    worker.inbox.clear()


def test_of_several_tasks_each_gets_a_name(world: World) -> None:
    worker = world.worker()
    first = world.submit(collect=("models/*",), num_tasks=2)
    second = world.submit(takes=(first.id,), held=True)
    keep(world, TREE)
    keep(world, OTHER)
    end(worker, worker.started())
    end(worker, worker.started())
    assert collected(world, content_id=OTHER)
    assert second.waiting_on
    assert collected(world)
    assert handed(second) == [(f"{first.id}-0", OTHER), (f"{first.id}-1", TREE)]
    assert not second.waiting_on


@pytest.mark.parametrize("how", ["lost", "no match", "nothing written"])
def test_a_job_that_can_not_have_them_is_blocked_and_says_why(world: World, how: str) -> None:
    worker = world.worker()
    first = world.submit(collect=("models/*",))
    second = world.submit(takes=(first.id,))
    third = world.submit(after=(second,))
    if how == "nothing written":
        worker.succeed(worker.started())
    else:
        end(worker, worker.started())
        failed(world, "the disk is full", is_final=True) if how == "lost" else collected(world, content_id=None)
    assert (state(second), state(third)) == ("blocked", "blocked")
    words = f"the results of {first.id} can't be had: {'the disk is full' if how == 'lost' else NOTHING_LEFT}"
    assert world.why(second) == words
    assert world.why(third) == f"{words}; {second.id} is blocked by that, too"


def test_what_failed_and_is_retried_is_handed_over_as_it_ends_then(world: World) -> None:
    worker = world.worker()
    first = world.submit(collect=("models/*",))
    second = world.submit(takes=(first.id,))
    attempt = worker.started()
    end(worker, attempt, fails=True)
    keep(world, OTHER)
    assert state(second) == "blocked"
    assert collected(world, content_id=OTHER)
    assert state(second) == "blocked", "that it left something doesn't mean that it succeeded"
    assert task_of(second, 0).reason == f"{first.id} didn't succeed (retry it to unblock)"


def test_a_job_submitted_later_asks_the_store(world: World) -> None:
    worker = world.worker()
    first = world.submit(collect=("models/*",), num_tasks=2)
    end(worker, worker.started())
    worker.succeed(worker.started())
    copy, _ = world.collects[0]
    keep(world, TREE)
    assert collected(world)
    assert first.id not in world.fleet.jobs
    good, bad = world.submit(takes=(first.id,)), world.submit(takes=(first.id,))
    assert world.reactor.awaits_results() == {good.id: {first.id}, bad.id: {first.id}}
    world.reactor.on_results_found(bad.id, first.id, {0: copy}, world.now_ms)
    assert bad.state is TaskState.BLOCKED
    assert NOTHING_LEFT in world.why(bad)
    other = msgspec.structs.replace(copy)
    other.index = 1
    world.reactor.on_results_found(good.id, first.id, {0: copy, 1: other}, world.now_ms)
    assert handed(good) == [(f"{first.id}-0", TREE), (f"{first.id}-1", TREE)]
    world.turn()
    worker.inbox.clear()
