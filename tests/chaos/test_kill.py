"""`kill -9` on every part, at random times, under load. `python -m tests.chaos` goes on for as long as you like."""

import pytest

from tests.chaos.scenario import kill
from tests.process.lab import Lab


@pytest.mark.parametrize(("seed", "keepers"), [(1, False), (2, True)])
def test_whatever_is_killed_nothing_is_lost_and_nothing_counts_twice(lab: Lab, seed: int, *, keepers: bool) -> None:
    kill(lab, seed, keepers=keepers)
