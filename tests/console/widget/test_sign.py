import unicodedata

import pytest
from rich.cells import cell_len

from opsconsole_console.theme import _DOMAIN
from opsconsole_console.widget.sign import TASK_SIGNS, WORKER_SIGNS, Sign, sign, tally
from opsconsole_protocol.state import AttemptState, TaskState

SIGNS = {**TASK_SIGNS, **WORKER_SIGNS}


@pytest.mark.parametrize("state", [*AttemptState, *TaskState])
def test_every_state_of_the_protocol_has_a_sign(state: str) -> None:
    assert sign(state).glyph != "?"


@pytest.mark.parametrize("one", SIGNS.values(), ids=SIGNS)
def test_a_sign_takes_one_cell_and_no_terminal_draws_it_wide(one: Sign) -> None:
    assert cell_len(one.glyph) == 1
    assert unicodedata.east_asian_width(one.glyph) in {"N", "A", "Na"}
    assert one.glyph not in "⏸⚠⏹⏺"
    assert one.word


@pytest.mark.parametrize("one", SIGNS.values(), ids=SIGNS)
def test_a_sign_has_a_tone_the_themes_know(one: Sign) -> None:
    assert one.tone in _DOMAIN


def test_states_of_tasks_are_told_apart_without_colour() -> None:
    assert len({one.glyph for one in TASK_SIGNS.values()}) == len(TASK_SIGNS)
    assert len({one.word for one in WORKER_SIGNS.values()}) == len(WORKER_SIGNS)


def test_an_unknown_state_shows_as_itself() -> None:
    assert sign("time_warped") == Sign("?", "time warped", "text-muted")


def test_tally_leaves_zeros_out() -> None:
    assert tally({"pending": 17, "running": 4, "failed": 0, "succeeded": 11}).text == "▶ 4  ✓ 11  ⋯ 17"
    assert tally({"running": 12_034, "odd": 1}).text == "▶ 12,034  ? 1"
    assert tally({}).text == ""
