"""Hundreds of fault schedules in every run; and a seed is the whole truth about one."""

import os
import subprocess
import sys

import pytest

from tests.simulation.plan import FAULTS, UNCHANGED, make_plan
from tests.simulation.world import run

SCHEDULES = int(os.environ.get("SCHEDULES", "1000"))
_CHUNK = 100
SHOWN = 40
PINNED: tuple[tuple[int, tuple[str, ...] | None, str], ...] = (
    (42, ("crash_after_commit",), "requests that a crash leaves unanswered are asked again"),
    (75, ("commit_failure",), "a log that was complete when the coordinator started over is complete"),
    (36, ("cut",), "a task that avoids a worker takes its GPU from the offers to the next task"),
    (100137, ("reboot",), "what a reboot took is lost, not failed"),
    (107, ("restore",), "an agent that forgot an end since the backup has no loss to explain"),
    (743, ("keeper_crash_at_start",), "what a dying keeper started and nobody noted has no log to wait for"),
    (5008, ("restore",), "a restored store that is noticed late can be confirmed late"),
    (2325, None, "a coordinator that has crashed fetches no results"),
    (3691, None, "an attempt of a job that a restored store has lost isn't stopped, however late its worker comes"),
    (5742, None, "an attempt that a restored store has lost isn't stopped where its task was given to another since"),
)
"""Seeds that once found something, with the kinds of their faults; None: as planned."""


@pytest.mark.parametrize("first", range(0, SCHEDULES, _CHUNK))
def test_nothing_is_lost_and_nothing_counts_twice(first: int) -> None:
    for seed in range(first, first + _CHUNK):
        outcome = run(make_plan(seed))
        assert not outcome.violation, f"python -m tests.simulation --seed {seed} --story: {outcome.violation}"


@pytest.mark.parametrize("kind", FAULTS)
def test_every_kind_of_fault_by_itself(kind: str) -> None:
    for seed in range(8):
        outcome = run(make_plan(seed, only=(kind,)))
        assert not outcome.violation, (
            f"python -m tests.simulation --seed {seed} --only {kind} --story: {outcome.violation}"
        )


@pytest.mark.parametrize(("seed", "kinds", "lesson"), PINNED)
def test_what_was_found_once_stays_mended(seed: int, kinds: tuple[str, ...] | None, lesson: str) -> None:
    assert seed in UNCHANGED
    outcome = run(make_plan(seed, only=kinds))
    assert not outcome.violation, f"{lesson}: {outcome.violation}"


def test_schedules_check_everything_that_is_promised() -> None:
    kinds = {kind for seed in range(SHOWN) for kind in run(make_plan(seed)).checks}
    assert kinds >= {
        "acknowledged means durable", "no acknowledged fact lost", "one live attempt", "one success", "ended means dead",
        "results are true", "losses count once", "losses are real", "slots", "GPUs", "every log byte once",
        "forget what is committed", "no attempt twice", "intent first", "memory is the store", "dependencies",
        "cancelled means dead", "gangs start together", "reservations expire", "job time-outs", "tasks are independent",
        "data can be had", "data before start", "results are collected whole", "results are kept", "no step lost",
        "saving is left alone", "limits", "weights",
    }  # fmt: skip


@pytest.mark.parametrize("seed", [144, 439, 524, 565])
def test_room_that_is_kept_for_one_job_or_a_gang_is_used_and_given_back_in_time(seed: int) -> None:
    outcome = run(make_plan(seed, only=()))
    assert not outcome.violation
    assert outcome.checks["backfill delays nobody"]


def test_a_seed_is_the_same_story_in_every_process() -> None:
    code = (
        "from tests.simulation.plan import make_plan\nfrom tests.simulation.world import run\n"
        "for seed in range(12): print(*run(make_plan(seed), with_story=True).story, sep='\\n')"
    )
    stories = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        stories.append(done.stdout.splitlines())
    assert len(stories[0]) > 500
    assert stories[0] == stories[1]
