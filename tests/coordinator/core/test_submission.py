"""Jobs come in: all or none, and the same twice is one."""

from typing import Any

import pytest

from opsconsole_coordinator.core import submission
from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.api import Submission
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import TaskState
from tests.coordinator.core.world import World


def submit(world: World, *batch: Submission) -> list[str]:
    jobs = world.reactor.on_submit(batch, world.stored_states([]), "ana", world.now_ms)
    world.turn()
    return [job.id for job in jobs]


def one(job_id: str, **fields: Any) -> Submission:
    return Submission(JobId(job_id), JobSpec(**{"command": ("/bin/true",), **fields}))


A, B, C = "000000000a", "000000000b", "000000000c"


def test_the_same_submission_twice_is_one_job(world: World) -> None:
    assert submit(world, one(A, name="x")) == submit(world, one(A, name="x")) == [A]
    assert len(world.fleet.jobs) == 1
    assert [event.kind for event in world.events] == ["submitted"]


def test_repeating_a_submission_changes_nothing_of_a_job_that_has_gone_on(world: World) -> None:
    worker = world.worker()
    submit(world, one(A))
    attempt = worker.started()
    before = dict(world.rows)
    submit(world, one(A))
    assert world.rows == before
    worker.succeed(attempt)


def test_an_id_means_one_spec_for_ever(world: World) -> None:
    submit(world, one(A))
    with pytest.raises(Conflict, match="exists already with another spec"):
        submit(world, one(A, priority=1))


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (one("short"), InvalidRequest, "is not a job id"),
        (one(C, command=("",)), InvalidRequest, "command is empty"),
        (one(C, after=("000000000z",)), InvalidRequest, "--after 000000000z: there is no such job"),
        (one(C, after=(C,)), InvalidRequest, "wait for each other"),
        (one(B), InvalidRequest, "same id"),
        (one(C, requirements=("a b=",)), InvalidRequest, "can't read"),
    ],
)
def test_a_batch_is_all_or_nothing(world: World, bad: Submission, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        submit(world, one(A), one(B), bad)
    assert not world.fleet.jobs
    assert not world.fleet.is_dirty
    assert len(world.fleet.order) == 0


def test_jobs_of_one_batch_may_come_after_each_other_in_any_order(world: World) -> None:
    worker = world.worker()
    submit(world, one(A, after=(B,)), one(B, after=(C,)), one(C))
    for name in (C, B, A):
        attempt = worker.started()
        assert attempt.job_id == name
        worker.succeed(attempt)


def test_a_batch_after_a_blocked_job_is_blocked_in_any_order(world: World) -> None:
    worker = world.worker()
    failed = world.submit(id=JobId("000000000z"))
    worker.fail(worker.started())
    batch = [one(A, after=(B,)), one(B, after=(failed.id,))]
    jobs = world.reactor.on_submit(batch, world.stored_states([failed.id]), "ana", world.now_ms)
    assert [job.state for job in jobs] == [TaskState.BLOCKED, TaskState.BLOCKED]


def test_naming_a_dependency_twice_is_naming_it_once(world: World) -> None:
    submit(world, one(A, held=True), one(B, after=(A, A)))
    assert world.fleet.jobs[JobId(B)].after == (A,)


def test_a_runaway_loop_is_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "PENDING_TASKS_MAX", 10)
    submit(world, one(A, num_tasks=8, held=True))
    with pytest.raises(LimitExceeded, match="8 tasks wait already and at most 10 may"):
        submit(world, one(B, num_tasks=3))
    submit(world, one(B, num_tasks=2), one(A, num_tasks=8, held=True))


def test_a_job_that_waits_for_a_worker_has_few_containers_of_its_own(world: World) -> None:
    """A hundred thousand may wait: what most of them never need is made once it is needed, and what is empty is everybody's."""
    submit(world, one(A), one(B), one(C, after=(B,)))
    first, second, third = (world.fleet.jobs[JobId(name)] for name in (A, B, C))

    def owned(job: Job) -> set[str]:
        fields = [
            *job.__struct_fields__,
            "needs",
            "waiting_on",
            "blocked_by",
            "roots",
            "elements",
            "expected",
            "refused",
        ]
        values = {name: getattr(job, name) for name in fields}
        shared = {name for name, value in values.items() if value is getattr(first if job is second else second, name)}
        return {name for name, value in values.items() if name not in shared and isinstance(value, (list, dict, set))}

    assert owned(second) == set()
    assert second.is_fresh, "only the first of those that ask the same is looked at task by task"
    assert second.terms is first.terms
    assert second.counts is world.fleet.jobs[JobId(C)].counts
    assert third.waiting_on == {B}
    assert not first.waiting_on


def test_the_audit_log_says_who_submitted_what(world: World) -> None:
    submit(world, one(A, name="train", num_tasks=3, priority=2))
    [event] = world.events
    text = "submitted train, 3 tasks, priority 2"
    assert (event.actor, event.kind, event.text, event.subject) == ("ana", "submitted", text, A)
