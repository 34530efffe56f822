"""The notes of what changed, and moves that the tables don't have."""

import pytest

from opsconsole_coordinator.core.question import Answer, Question
from opsconsole_protocol import link
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.state import AttemptState, TaskState
from tests.coordinator.core.world import World, state, task_of


def test_an_illegal_move_changes_nothing_and_carries_the_story(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    with pytest.raises(IllegalTransition) as error:
        world.fleet.set_task(job, task_of(job), TaskState.UNSCHEDULABLE, "no")
    assert error.value.message == (
        "000000000a/task-0 can't go from running to unschedulable: attempt 0 assigned to w1: the only one that accepts; running on w1"
    )
    with pytest.raises(IllegalTransition, match="can't go from running to building"):
        world.fleet.set_attempt(attempt, AttemptState.BUILDING)
    assert (state(job), task_of(job).reason, attempt.state) == ("running", "", AttemptState.RUNNING)
    assert not world.fleet.is_dirty


def test_a_drain_hands_everything_over_once(world: World) -> None:
    world.submit(num_tasks=2, turn=False)
    batch = world.fleet.drain()
    assert [job.id for job in batch.jobs_added] == ["000000000a"]
    assert batch.tasks == [], "they come with their job"
    assert batch.must_commit
    assert batch.seq == batch.events[-1].seq == world.fleet.seq
    assert not world.fleet.is_dirty
    empty = world.fleet.drain()
    assert not empty.must_commit
    assert (empty.jobs, empty.events, empty.sends) == ([], [], [])


def test_memory_follows_live_work(world: World) -> None:
    worker = world.worker(slots=4)
    for _ in range(5):
        job = world.submit(num_tasks=3, after=())
        for attempt in [worker.started() for _ in range(3)]:
            worker.succeed(attempt)
        assert job.is_finished
    assert not world.fleet.jobs
    assert not world.fleet.attempts
    assert not world.fleet.dependents
    assert not worker.record.live
    assert not worker.record.ended
    assert len(world.fleet.stories) == 1
    assert world.fleet.stories.tell("w1")


def test_a_finished_job_stays_while_something_of_it_is_about_to_be_committed(world: World) -> None:
    job = world.submit(turn=False)
    world.act("cancel", job)
    assert job.id not in world.fleet.jobs
    world.fleet.evict((), (job.id,))


def test_the_same_question_about_an_input_has_one_number(world: World) -> None:
    worker, questions = world.worker().id, world.fleet.questions
    one, other = Question(worker, link.QuestionKind.INPUT, "a"), Question(worker, link.QuestionKind.INPUT, "b")
    first = questions.number_of(one)
    assert questions.number_of(one) == first
    assert questions.number_of(other) != first
    assert not questions.note_answer(first, WorkerId("another"), Answer(True, "found", world.now_ms))
    assert questions.note_answer(first, worker, Answer(True, "found", world.now_ms))
    assert questions.number_of(one) != first
