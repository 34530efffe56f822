"""`kill -9` on every part, at random times, under load. `python -m tests.chaos` goes on for as long as you like."""

import pytest

from tests.chaos.scenario import chaos
from tests.chaos.strike import HANGS, KEEPERS, KILLS, NETWORK
from tests.process.lab import Lab

pytestmark = pytest.mark.timeout(300)  # a quarter of a minute or half, on a machine with nothing else to do


@pytest.mark.parametrize(
    ("seed", "hows"), [(8, KILLS), (29, (*KILLS, *HANGS, *NETWORK, *KEEPERS))], ids=["kills", "everything"]
)
def test_whatever_is_killed_nothing_is_lost_and_nothing_counts_twice(
    lab: Lab, seed: int, hows: tuple[str, ...]
) -> None:
    chaos(lab, seed, hows)
