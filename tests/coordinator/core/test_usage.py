"""What was had fades evenly, and is added up exactly, however often one looks."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.core import usage_view
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.core.terms import terms_of
from opsconsole_coordinator.core.usage import AHEAD_MS, CPUS_A_GPU, HALF_LIFE_MS, SETTLE_EVERY_MS, Usage
from opsconsole_coordinator.core.usage_day import DAY_MS, UsageDay
from opsconsole_protocol.ids import AttemptId, JobId, WorkerId
from opsconsole_protocol.spec import JobSpec

START_MS = 20_000 * DAY_MS


def job(person: str = "ana", project: str = "vision") -> Job:
    spec = JobSpec(command=("a",), project=project)
    return Job(id=JobId("j"), terms=terms_of(spec), seq=1, submitted_by=person, created_at_ms=0)


def attempt(gpus: int = 1, **promised: float) -> Attempt:
    gpu_ids = tuple(f"GPU-{number}" for number in range(gpus))
    return Attempt(
        id=AttemptId("a"), job_id=JobId("j"), index=0, number=0, worker_id=WorkerId("w"), worker_name="w", gpu_ids=gpu_ids,
        promised=promised, assigned_at_ms=START_MS,
    )  # fmt: skip


def test_a_day_of_two_gpus_weighs_half_as_much_a_week_later() -> None:
    usage = Usage()
    usage.begin(job(), attempt(2), START_MS)
    usage.end(job(), attempt(2), START_MS + 1_000)
    account = usage.people["vision", "ana"]
    assert account.weight_ms(START_MS + 1_000) == pytest.approx(2_000, rel=1e-5)
    assert account.weight_ms(START_MS + 1_000 + HALF_LIFE_MS) == pytest.approx(1_000, rel=1e-5)
    assert usage.projects["vision"].weight_ms(START_MS + 1_000) == pytest.approx(2_000, rel=1e-5)


def test_of_very_many_those_who_hold_something_and_who_had_most_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_view, "USAGE_ROWS_MAX", 3)
    fleet = Fleet(Random(0).getrandbits, store_id="store", name="lab")  # noqa: S311 - the same each time
    for number in range(5):
        fleet.usage.begin(job(f"p{number}"), attempt(), START_MS)
        if number != 2:
            fleet.usage.end(job(f"p{number}"), attempt(), START_MS + 1_000 * (number + 1))
    days = fleet.usage.take_dirty()
    answer = usage_view.usage_answer(fleet, days, 7, START_MS + 1_000)
    assert ({row.person for row in answer.rows}, answer.left_out) == ({"p2", "p3", "p4"}, 2)
    held = next(row for row in answer.rows if row.person == "p2")
    assert (held.gpus_now, held.cpus_asked_now, held.memory_mb_now) == (1, 0.0, 0.0)


def test_a_task_without_gpus_weighs_its_cpus() -> None:
    usage = Usage()
    usage.begin(job(), attempt(0, cpus=8.0), START_MS)
    usage.begin(job("ben"), attempt(0), START_MS)
    assert usage.people["vision", "ana"].held.weight == 8 / CPUS_A_GPU
    assert usage.people["vision", "ben"].held.weight == 1 / CPUS_A_GPU


def test_what_is_held_counts_at_once() -> None:
    usage = Usage()
    usage.begin(job(), attempt(3), START_MS)
    assert usage.people["vision", "ana"].standing(START_MS) == 3 * AHEAD_MS


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5 * 86_400_000)), min_size=1, max_size=30), st.randoms())
def test_looking_often_changes_nothing(steps: list[tuple[int, int]], random: Random) -> None:
    one, other = Usage(), Usage()
    now_ms, live = START_MS, list[Attempt]()
    for gpus, wait_ms in steps:
        made = attempt(gpus)
        ended = live.pop(random.randrange(len(live))) if live and random.random() < 0.5 else None
        for usage in (one, other):
            if ended is not None:
                usage.end(job(), ended, now_ms)
            usage.begin(job(), made, now_ms)
        live.append(made)
        for _ in range(random.randrange(4)):
            one.tick(now_ms + random.randrange(wait_ms + 1))
        now_ms += wait_ms
        one.tick(now_ms)
    assert one.people["vision", "ana"].weight_ms(now_ms) == pytest.approx(
        other.people["vision", "ana"].weight_ms(now_ms), abs=1
    )
    assert one.people["vision", "ana"].held == other.people["vision", "ana"].held


def test_days_add_up_to_what_was_held() -> None:
    usage, days = Usage(), dict[tuple[int, str], UsageDay]()
    usage.begin(job(), attempt(2, cpus=4.0), START_MS)
    for minute in range(1, 2 * 24 * 60):
        usage.tick(START_MS + minute * SETTLE_EVERY_MS)
        days |= {(day.day, day.person): day for day in usage.take_dirty()}
    usage.end(job(), attempt(2, cpus=4.0), START_MS + 2 * DAY_MS)
    days |= {(day.day, day.person): day for day in usage.take_dirty()}
    assert sum(day.gpu_ms for day in days.values()) == 2 * 2 * DAY_MS
    assert sum(day.cpu_ms for day in days.values()) == 4 * 2 * DAY_MS
    assert sum(day.tasks for day in days.values()) == 1
    assert sorted(number for number, _ in days) == [20_000, 20_001, 20_002]


def test_what_the_store_has_is_where_it_goes_on() -> None:
    before = Usage()
    before.begin(job(), attempt(2), START_MS)
    before.tick(START_MS + SETTLE_EVERY_MS)
    stored = before.take_dirty()
    after = Usage()
    after.restore(stored)
    after.resume(job(), attempt(2))
    later_ms = START_MS + 10 * SETTLE_EVERY_MS
    after.tick(later_ms)
    before.tick(later_ms)
    assert after.people["vision", "ana"].weight_ms(later_ms) == pytest.approx(
        before.people["vision", "ana"].weight_ms(later_ms), rel=1e-5
    )
    assert after.projects["vision"].held == before.projects["vision"].held
    assert after.held_by["ana"] == before.held_by["ana"]


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    usage = Usage()
    usage.begin(job(), attempt(), START_MS)
    usage.end(job(), attempt(), START_MS - 5_000)
    assert usage.people["vision", "ana"].weight_ms(START_MS) == 0
    assert all(day.gpu_ms >= 0 for day in usage.take_dirty())
