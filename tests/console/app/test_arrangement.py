"""Where panes go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.screen.main.arrangement import arrange


def test_tables_alone_have_the_whole_width() -> None:
    plan = arrange(160, 45, logs=0, workers_wanted=17)
    assert (plan.stacked, plan.tables_cells, plan.workers_lines) == (False, None, 17)


def test_logs_stand_beside_the_tables_where_there_is_room() -> None:
    plan = arrange(160, 45, logs=2, workers_wanted=17)
    assert plan.tables_cells == 83
    assert (plan.log_columns, plan.logs_fitting) == (1, 7)


def test_logs_go_below_on_a_small_terminal_and_one_table_gives_way() -> None:
    plan = arrange(80, 24, logs=1, workers_wanted=17)
    assert plan.stacked
    assert plan.one_table
    assert plan.tables_lines == 11
    assert not arrange(80, 24, logs=0, workers_wanted=17).one_table


def test_a_wide_terminal_is_used() -> None:
    assert arrange(300, 70, logs=0, workers_wanted=17).side_by_side
    plan = arrange(300, 70, logs=4, workers_wanted=17)
    assert plan.log_columns == 2
    assert plan.tables_cells == 136


@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (100, 30), (120, 40), (139, 45), (160, 45), (220, 60), (300, 70)]
)
@pytest.mark.parametrize("logs", range(1, 9))
def test_a_log_that_is_shown_can_be_read(width: int, height: int, logs: int) -> None:
    """Hard use 31: four logs at 120 × 40 left 22 characters a pane."""
    plan = arrange(width, height, logs=logs, workers_wanted=17)
    room = width if plan.tables_cells is None else width - plan.tables_cells
    assert room // plan.log_columns >= 58
    lines = height - 2 - (plan.tables_lines or 0)
    assert lines // plan.log_rows >= 6


def test_four_logs_have_room_at_once_at_120_by_40() -> None:
    assert arrange(120, 40, logs=4, workers_wanted=17).logs_fitting >= 4


@given(st.integers(1, 400), st.integers(1, 120), st.integers(0, 12), st.integers(4, 300))
def test_every_size_has_an_arrangement(width: int, height: int, logs: int, workers: int) -> None:
    plan = arrange(width, height, logs, workers)
    assert plan.logs_fitting >= 1
    if plan.tables_cells is not None:
        assert 0 < plan.tables_cells <= width
    assert plan.workers_lines is None or plan.workers_lines >= 1
