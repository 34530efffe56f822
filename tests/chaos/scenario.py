"""Whole runs, for tests and for `python -m tests.chaos`: chaos, calm, and then everything has to hold."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing

from tests.chaos.fleet import Fleet
from tests.chaos.strike import Nemesis, Strike, plan
from tests.process.lab import Lab

OVER_S = 5.0
EVERY_S = 0.4
SLOTS = {"gpu-a": 4, "gpu-b": 4, "gpu-c": 4}


def chaos(lab: Lab, seed: int, hows: Sequence[str]) -> Counter[str]:
    """Parts are struck while operators work; what was checked how often. Raises AssertionError with the whole story."""
    fleet = Fleet(lab, seed, SLOTS, behind_proxies=True)
    with closing(fleet):
        try:
            return _run(fleet, plan(seed, SLOTS, hows, over_s=OVER_S, every_s=EVERY_S))
        except AssertionError as error:
            told = "\n".join(fleet.story)
            raise AssertionError(f"seed {seed} of {', '.join(hows)}\n{told}\n{error}") from error


def _run(fleet: Fleet, strikes: Sequence[Strike]) -> Counter[str]:
    fleet.begin()
    fleet.operators.begin(OVER_S)
    Nemesis(fleet).strike(strikes)
    fleet.say("calm")
    fleet.operators.finish()
    fleet.check_paused()
    fleet.say("what was paused stood still")
    fleet.settle()
    fleet.say("settled")
    return fleet.check()
