"""Against an oracle that looks at every job and every worker at each step: nobody is passed over, whatever was grouped or left out."""

from collections.abc import Iterator
from random import Random
from unittest import mock

import pytest

from opsconsole_coordinator.core import schedule
from opsconsole_coordinator.core.assignment import assign
from opsconsole_coordinator.core.demand import demand_of
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer, judge
from opsconsole_coordinator.core.model import Attempt, Job, ProjectStatus
from opsconsole_coordinator.core.quota import refusal, standing
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.link import Gang
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import TaskState
from tests.coordinator.core.world import World, gpus

PEOPLE = ("ana", "ben", "cleo")
PROJECTS = ("default", "vision")


def turn_key(fleet: Fleet, job: Job, now_ms: int) -> tuple[object, ...]:
    """By what it is whose turn comes first."""
    return (-job.priority, standing(fleet, job.spec.project, job.submitted_by, now_ms), job.seq)


def may_start(fleet: Fleet, job: Job, now_ms: int) -> bool:
    """Whether a task of a job could be placed at this moment."""
    if job.counts.get(TaskState.PENDING, 0) == 0 or fleet.waits_for(job):
        return False
    if fleet.project_status(job.spec.project) is not ProjectStatus.ACTIVE:
        return False
    demand = demand_of(job)
    if refusal(fleet, job.spec.project, job.submitted_by, demand):
        return False
    return any(judge(one, demand, fleet.questions.answers, "", now_ms).accepted for one in fleet.workers.values())


def passed_over(fleet: Fleet, job: Job, now_ms: int) -> Iterator[str]:
    """The jobs whose turn comes before this one's and that could be placed."""
    mine = turn_key(fleet, job, now_ms)
    for other in fleet.jobs.values():
        if other is not job and turn_key(fleet, other, now_ms) < mine and may_start(fleet, other, now_ms):
            yield f"{other.id} of {other.submitted_by} in {other.spec.project} before {job.id} of {job.submitted_by}"


def history(seed: int) -> list[str]:
    """A random fleet, random jobs, ends, limits and times: what was passed over at any assignment, and who waits in the end for nothing."""
    random = Random(seed)  # noqa: S311 - chance that repeats itself
    world = World(seed)
    wrong: list[str] = []

    def watched(
        fleet: Fleet, job: Job, task: Task, offer: Offer, now_ms: int, gang: Gang | None = None
    ) -> Attempt:  # fmt: skip
        wrong.extend(passed_over(fleet, job, now_ms))
        return assign(fleet, job, task, offer, now_ms, gang)

    workers = [
        world.worker(
            f"w{number}", slots=random.randint(1, 4), gpus=gpus(random.randint(0, 3)), properties={"cpus": 4, "memory_mb": 1_000}
        )
        for number in range(random.randint(1, 4))
    ]  # fmt: skip

    def share() -> None:
        change = ShareChange(
            weight=random.choice((None, 1.0, 2.0)),
            tasks=random.choice((None, -1, 1, 3)),
            gpus=random.choice((None, -1, 1)),
        )
        if random.random() < 0.5:
            world.reactor.on_set_person(random.choice(PEOPLE), change, "ana", world.now_ms)
        else:
            world.reactor.on_set_project(random.choice(PROJECTS), None, None, "ana", world.now_ms, change)
        world.turn()

    def submit() -> None:
        wanted = Resources(
            gpus=random.choice((0, 0, 1, 2)), cpus=random.choice((0, 0, 1, 3)), memory_mb=random.choice((0, 400))
        )
        world.submit(
            by=random.choice(PEOPLE),
            project=random.choice(PROJECTS),
            priority=random.choice((0, 0, 0, 1)),
            resources=wanted,
            num_tasks=random.choice((1, 1, 3)),
            max_parallel=random.choice((None, None, None, 1)),
        )

    def end() -> None:
        live = [(worker, one) for worker in workers for one in worker.record.live.values()]
        if live:
            worker, attempt = random.choice(live)
            worker.succeed(attempt)

    with mock.patch.object(schedule, "assign", watched):
        for _ in range(60):
            random.choice((submit, submit, end, end, share, lambda: world.pass_ms(random.choice((500, 60_000)))))()
            for worker in workers:
                while worker.inbox:
                    worker.started()
            world.check_invariants()
    return wrong


@pytest.mark.parametrize("judged", [2_000, 0], ids=["small fleet", "large fleet"])
def test_nobody_is_passed_over(judged: int) -> None:
    with mock.patch.object(schedule, "JUDGED_A_TICK", judged):
        for seed in range(25):
            assert not history(seed), f"seed {seed}"


def test_the_oracle_sees_turns_that_are_taken_out_of_order() -> None:
    with mock.patch.object(schedule, "Standings", return_value=mock.Mock(of=lambda *_: (0.0, 0.0))):
        assert any(history(seed) for seed in range(10))
