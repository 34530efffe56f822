"""A transfer goes on as long as it gets ahead, and always ends."""

from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.stream.persistence import (
    FIRST_DELAY_S,
    PROGRESS_BYTES,
    TRIES_MAX,
    TRIES_WITHOUT_PROGRESS_MAX,
    Persistence,
)


def test_without_progress_it_waits_longer_and_longer_and_gives_up() -> None:
    persistence = Persistence()
    delays = [persistence.lost(0) for _ in range(TRIES_WITHOUT_PROGRESS_MAX)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, None]
    assert 60 < sum(delay for delay in delays if delay) < 180


def test_progress_begins_anew() -> None:
    persistence = Persistence()
    for _ in range(TRIES_WITHOUT_PROGRESS_MAX - 1):
        persistence.lost(PROGRESS_BYTES - 1)
    assert persistence.lost(PROGRESS_BYTES) == FIRST_DELAY_S
    assert persistence.lost(0) == 2 * FIRST_DELAY_S


@given(st.lists(st.integers(0, 2 * PROGRESS_BYTES)))
def test_it_always_ends(moved: list[int]) -> None:
    persistence = Persistence()
    went_on = 0
    for size in [*moved, *[PROGRESS_BYTES] * TRIES_MAX]:
        if persistence.lost(size) is None:
            break
        went_on += 1
    assert went_on < TRIES_MAX
