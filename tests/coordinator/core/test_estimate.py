"""How long like jobs took."""

from random import Random

import pytest

from opsconsole_coordinator.core import estimate
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_protocol.ids import AttemptId, JobId, WorkerId
from opsconsole_protocol.link import Observed
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState


def record(fleet: Fleet, name: str, worker: str, took_ms: int | None, **fields: str) -> Job:
    spec = JobSpec(command=("a",), name=name, **fields)  # type: ignore[arg-type]
    job = Job(id=JobId("j"), spec=spec, seq=1, submitted_by="", created_at_ms=0, priority=0)
    seen = Observed(
        attempt_id=AttemptId("a"), state=AttemptState.SUCCEEDED, started_at_ms=1_000,
        finished_at_ms=None if took_ms is None else 1_000 + took_ms,
    )  # fmt: skip
    attempt = Attempt(
        id=AttemptId("a"), job_id=job.id, index=0, number=0, worker_id=WorkerId(worker), worker_name=worker, seen=seen
    )
    estimate.record(fleet, job, attempt)
    return job


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(Random(0).getrandbits)  # noqa: S311 - chance that repeats itself


def test_nobody_knows_what_never_ran(fleet: Fleet) -> None:
    job = record(fleet, "train", "w1", None)
    assert estimate.estimate(fleet, job.spec) is None
    assert job.mean_duration_ms is None


def test_the_newest_counts_more_each_time(fleet: Fleet) -> None:
    record(fleet, "train", "w1", 1_000)
    job = record(fleet, "train", "w1", 2_000)
    assert estimate.estimate(fleet, job.spec, WorkerId("w1")) == pytest.approx(1_300)


def test_each_worker_has_its_own_and_all_together_a_mean(fleet: Fleet) -> None:
    record(fleet, "train", "w1", 1_000)
    job = record(fleet, "train", "w2", 3_000)
    known = estimate.Estimates(fleet, job.spec)
    assert [known.on(WorkerId(one)) for one in ("w1", "w2", "w3")] == [1_000, 3_000, 2_000]
    assert estimate.estimate(fleet, job.spec, WorkerId("w3")) == 2_000


def test_alike_are_jobs_of_one_project_with_one_template_or_name(fleet: Fleet) -> None:
    record(fleet, "a", "w1", 1_000, template="t")
    assert estimate.estimate(fleet, JobSpec(command=("x",), name="b", template="t")) == 1_000
    assert estimate.estimate(fleet, JobSpec(command=("x",), name="a")) is None
    assert estimate.estimate(fleet, JobSpec(command=("x",), template="t", project="p")) is None


def test_a_clock_that_was_set_back_gives_no_negative_time(fleet: Fleet) -> None:
    assert record(fleet, "a", "w1", -5).mean_duration_ms == 0


def test_the_oldest_kinds_are_forgotten(fleet: Fleet) -> None:
    for number in range(estimate.KINDS_MAX + 10):
        record(fleet, f"n{number}", "w1", 1)
    assert len(fleet.durations) == estimate.KINDS_MAX
