"""How long like jobs took: ranges, on what they rest, and how wrong they were."""

import math
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.core import estimate
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.history import ENOUGH, RUNS_REMEMBERED, SURE, spread
from opsconsole_coordinator.core.model import Attempt, Job, Worker
from opsconsole_coordinator.core.terms import terms_of
from opsconsole_protocol.estimate import Estimate
from opsconsole_protocol.ids import AttemptId, JobId, WorkerId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.link import Gpu, Mode, Observed, TaskProgress, Want
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import AttemptState


def add_worker(fleet: Fleet, name: str, model: str = "") -> Worker:
    gpus = (Gpu(index=0, uuid=f"{name}-0", name=model, memory_total_mb=1),) if model else ()
    worker = fleet.workers[WorkerId(name)] = Worker(id=WorkerId(name), name=name, gpus=gpus)
    return worker


def spec_of(name: str = "train", **fields: Any) -> JobSpec:
    return JobSpec(command=("a",), name=name, **fields)


def record(
    fleet: Fleet, spec: JobSpec, took_ms: int | None, worker: str = "w1", expected: Estimate | None = None
) -> Job:
    job = Job(id=JobId("j"), terms=terms_of(spec), seq=1, submitted_by="", created_at_ms=0, priority=0)
    seen = Observed(
        attempt_id=AttemptId("a"), state=AttemptState.SUCCEEDED, started_at_ms=1_000,
        finished_at_ms=None if took_ms is None else 1_000 + took_ms,
    )  # fmt: skip
    there = fleet.workers.get(WorkerId(worker))
    gpu_ids = tuple(one.uuid for one in there.gpus) if there is not None and spec.resources.gpus_asked else ()
    attempt = Attempt(
        id=AttemptId("a"), job_id=job.id, index=0, number=0, worker_id=WorkerId(worker), worker_name=worker, seen=seen,
        gpu_ids=gpu_ids, estimate=expected,
    )  # fmt: skip
    estimate.record(fleet, job, attempt)
    return job


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(Random(0).getrandbits)  # noqa: S311 - chance that repeats itself


def told(fleet: Fleet, spec: JobSpec, worker: Worker | None = None) -> Estimate:
    found = estimate.estimate(fleet, spec, worker)
    assert found is not None
    return found


def test_nobody_knows_what_never_ran(fleet: Fleet) -> None:
    job = record(fleet, spec_of(), None)
    assert estimate.estimate(fleet, job.spec) is None
    assert job.mean_duration_ms is None
    assert estimate.errors(fleet, 10) == ()


def test_one_run_is_told_as_one_and_its_range_is_wide(fleet: Fleet) -> None:
    record(fleet, spec_of(), 1_000)
    assert told(fleet, spec_of()) == Estimate(500, 1_000, 2_000, 1, "train")


def test_alike_are_jobs_of_one_project_with_one_template_or_name(fleet: Fleet) -> None:
    record(fleet, spec_of("a", template="t"), 1_000)
    assert told(fleet, spec_of("b", template="t")).alike == "t"
    assert estimate.estimate(fleet, spec_of("a")) is None
    assert estimate.estimate(fleet, spec_of("a", template="t", project="p")) is None


def test_the_most_specific_likeness_counts_of_which_enough_runs_are_known(fleet: Fleet) -> None:
    big, small = add_worker(fleet, "big", "A100"), add_worker(fleet, "small", "T4")
    other = add_worker(fleet, "other", "A100")
    needs = Resources(gpus=1)

    def one(lr: float, size: int = 10) -> JobSpec:
        upload = Upload(name="d", content_id="b" * 64, size_bytes=size, files=1)  # type: ignore[arg-type]
        return spec_of(template="t", parameters=({"lr": lr},), resources=needs, uploads=(upload,))

    for _ in range(ENOUGH):
        record(fleet, one(0.1), 100, "big")
        record(fleet, one(0.1), 400, "small")
        record(fleet, one(0.2, 10_000), 1_000, "big")
    found = {
        words: (told(fleet, spec, worker).mid_ms, told(fleet, spec, worker).alike)
        for words, spec, worker in (
            ("the same", one(0.1), big), ("its model", one(0.1), other), ("another model", one(0.1), small),
            ("another size", one(0.2, 10), big), ("new parameters", one(0.3, 10_000), big), ("all new", one(0.3, 1 << 30), small),
            ("anywhere", one(0.1), None),
        )
    }  # fmt: skip
    assert found == {
        "the same": (100, "t with these parameters and inputs of this size on big"),
        "its model": (100, "t with these parameters and inputs of this size on A100"),
        "another model": (400, "t with these parameters and inputs of this size on small"),
        "another size": (1_000, "t with these parameters on big"),
        "new parameters": (1_000, "t with inputs of this size on big"),
        "all new": (400, "t on small"),
        "anywhere": (250, "t with these parameters and inputs of this size"),
    }
    record(fleet, one(0.3, 1 << 30), 5, "big")
    assert told(fleet, one(0.3, 1 << 30), big).runs == 2 * ENOUGH + 1, (
        "one run is not enough, and counts with the others"
    )


def test_what_a_gpu_is_called_says_nothing_of_a_task_without_one(fleet: Fleet) -> None:
    first, second = add_worker(fleet, "w1", "A100"), add_worker(fleet, "w2", "A100")
    for _ in range(ENOUGH):
        record(fleet, spec_of(), 100, "w1")
    assert told(fleet, spec_of(), first).alike.endswith("on w1")
    assert told(fleet, spec_of(), second).alike == "train with these parameters and inputs of this size"


def test_only_the_newest_runs_and_kinds_are_remembered(fleet: Fleet) -> None:
    for took_ms in range(RUNS_REMEMBERED + 10):
        record(fleet, spec_of(), took_ms)
    assert told(fleet, spec_of()).runs == RUNS_REMEMBERED
    assert told(fleet, spec_of()).low_ms >= 10
    for number in range(estimate.KINDS_MAX + 10):
        record(fleet, spec_of(f"n{number}"), 1)
    assert len(fleet.kinds) == estimate.KINDS_MAX
    assert estimate.estimate(fleet, spec_of("n0")) is None


def test_a_clock_that_was_set_back_gives_no_negative_time(fleet: Fleet) -> None:
    assert record(fleet, spec_of(), -5).mean_duration_ms == 0


@given(values=st.lists(st.floats(0, 1e9), min_size=1, max_size=50))
def test_a_range_is_in_order_and_holds_its_middle(values: list[float]) -> None:
    low, mid, high = spread(sorted(values))
    assert 0 <= low <= mid <= high


@pytest.mark.parametrize("count", [1, 2, 3, 5, SURE, 20, RUNS_REMEMBERED])
@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_a_range_holds_of_the_next_what_it_says(count: int, sigma: float) -> None:
    """Of durations that come by chance alike, eight of ten lie between the first and the last tenth: rather more than less."""
    chance = Random(count)  # noqa: S311
    held = tries = 0
    for _ in range(4_000):
        *known, following = [math.exp(chance.gauss(0, sigma)) for _ in range(count + 1)]
        low, _, high = spread(sorted(known))
        held += low <= following <= high
        tries += 1
    least = 0.77 if count >= SURE or sigma == 0.1 else 0.6
    assert least <= held / tries, held / tries
    if count >= SURE:
        assert held / tries <= 0.83


def test_how_wrong_estimates_were(fleet: Fleet) -> None:
    expected = Estimate(50, 100, 200, 9)
    for took_ms in (100, 110, 150, 300):
        record(fleet, spec_of(), took_ms, expected=expected)
    record(fleet, spec_of(), 1)
    [found] = estimate.errors(fleet, 10)
    assert (found.project, found.name, found.runs, found.judged, found.held, found.off_percent, found.median_ms) == (
        "default", "train", 5, 4, 3, 30, 110,
    )  # fmt: skip
    assert (told(fleet, spec_of()).judged, told(fleet, spec_of()).held) == (4, 3)
    record(fleet, spec_of("other"), 1)
    assert [one.name for one in estimate.errors(fleet, 1)] == ["other"]


# --- what is left of a run -------------------------------------------------------------------------------------------


def left(
    now_ms: int, expected: Estimate | None = None, eta_ms: int | None = None, **fields: Any
) -> tuple[int, ...] | None:
    job = Job(
        id=JobId("j"),
        terms=terms_of(spec_of(grace_ms=0, **fields)),
        seq=1,
        submitted_by="",
        created_at_ms=0,
        priority=0,
    )
    attempt = Attempt(
        id=AttemptId("a"), job_id=job.id, index=0, number=0, worker_id=WorkerId("w"), worker_name="w", estimate=expected,
        seen=Observed(attempt_id=AttemptId("a"), state=AttemptState.RUNNING, started_at_ms=0),
        progress=None if eta_ms is None else TaskProgress(done=1, total=2, eta_ms=eta_ms),
    )  # fmt: skip
    found = estimate.remaining(job, attempt, now_ms)
    frozen = msgspec.structs.replace(attempt, want=Want(mode=Mode.PAUSE))
    assert estimate.remaining(job, frozen, now_ms) is None
    return None if found is None else (found.low_ms, found.mid_ms, found.high_ms)


def test_what_is_left_of_a_run() -> None:
    expected = Estimate(100, 200, 400)
    assert left(0) is None
    assert left(50, expected) == (50, 150, 350)
    assert left(150, expected) == (0, 50, 250)
    assert left(300, expected) == (0, 50, 100)
    assert left(400, expected) is None, "longer than expected: nobody knows"
    assert left(50, expected, timeout_ms=250) == (50, 150, 200)
    assert left(50, None, timeout_ms=250) is None, "a bound is no expectation"
    assert left(50, None, eta_ms=100) == (50, 100, 200)
    assert left(50, expected, eta_ms=100) == (50, 100, 200)
    assert left(0, expected, eta_ms=60) == (60, 60, 120), "what a task says itself is the middle"
