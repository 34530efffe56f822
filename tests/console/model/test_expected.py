"""Estimates in words."""

import pytest

from opsconsole_console.model.expected import takes_words
from opsconsole_protocol.estimate import Estimate

S, M = 1_000, 60_000


@pytest.mark.parametrize(
    ("low", "mid", "high", "words"),
    [
        (15 * S, 20 * S, 25 * S, "15s–25s, half of them within 20s"),
        (2 * S, 2 * S, 2 * S, "2s"),
        (30 * M, 30 * M + 4 * S, 30 * M + 20 * S, "30m"),
        (1 * S, 2 * S, 2 * S, "1s–2s"),
        (20 * M, 24 * M + 30 * S, 40 * M, "20m–40m, half of them within 24m 30s"),
    ],
)
def test_a_middle_is_told_only_where_it_says_more_than_the_ends(low: int, mid: int, high: int, words: str) -> None:
    assert takes_words(Estimate(low, mid, high)) == words
    assert takes_words(Estimate(low, mid, high, runs=1, alike="fit")) == f"{words} (by 1 run of fit)"
