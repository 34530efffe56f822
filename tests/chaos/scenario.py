"""Whole runs, for tests and for `python -m tests.chaos`: chaos, calm, and then everything has to hold."""

from collections import Counter
from contextlib import closing

from tests.chaos.fleet import Fleet, plan
from tests.process.lab import Lab
from tests.waiting import until_sync

OVER_S = 7.0
SLOTS = {"gpu-a": 4, "gpu-b": 4, "gpu-c": 4}


def kill(lab: Lab, seed: int, *, keepers: bool) -> Counter[str]:
    """Parts are killed while operators work; what was checked how often. Raises AssertionError with the whole story."""
    fleet = Fleet(lab, seed, SLOTS)
    with closing(fleet):
        try:
            return _kill(fleet, seed, keepers=keepers)
        except AssertionError as error:
            told = "\n".join(fleet.story)
            raise AssertionError(f"seed {seed}, keepers {keepers}\n{told}\n{error}") from error


def _kill(fleet: Fleet, seed: int, *, keepers: bool) -> Counter[str]:
    fleet.begin()
    fleet.operators.begin(OVER_S)
    fleet.suffer(plan(seed, SLOTS, keepers=keepers, over_s=OVER_S, every_s=0.6))
    fleet.say("calm")
    fleet.operators.finish()
    fleet.check_paused()
    fleet.say("what was paused stood still")
    fleet.settle()
    fleet.say("settled")
    return fleet.check()
