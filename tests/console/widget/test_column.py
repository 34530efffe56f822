from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.column import Column, Slot, arrange


def column(key: str, width: int = 8, flex: int = 0, priority: int = 5, width_max: int = 10_000) -> Column[str]:
    return Column(key, key.upper(), str, width=width, flex=flex, priority=priority, width_max=width_max)


def test_columns_stand_side_by_side_behind_the_gutter() -> None:
    assert arrange([column("a", 4), column("b", 6)], 80) == (Slot(0, 1, 4), Slot(1, 7, 6))


def test_the_gap_is_smaller_where_it_is_narrow() -> None:
    assert arrange([column("a", 4), column("b", 6)], 40) == (Slot(0, 1, 4), Slot(1, 6, 6))


def test_the_least_important_column_goes_first_and_of_equals_the_rightmost() -> None:
    columns = [column("a", 10, priority=1), column("b", 10), column("c", 10), column("d", 10, priority=9)]
    assert [slot.column for slot in arrange(columns, 35)] == [1, 2, 3]
    assert [slot.column for slot in arrange(columns, 30)] == [1, 3]
    assert [slot.column for slot in arrange(columns, 12)] == [3]


def test_the_last_column_is_cut_to_what_there_is() -> None:
    assert arrange([column("a", 10)], 6) == (Slot(0, 1, 5),)
    assert arrange([column("a", 10)], 0) == (Slot(0, 1, 1),)


def test_spare_width_goes_to_flexible_columns_by_weight() -> None:
    slots = arrange([column("a", 10, flex=1), column("b", 10), column("c", 10, flex=3)], 80)
    assert [slot.width for slot in slots] == [21, 10, 43]


def test_what_one_may_not_take_another_gets() -> None:
    slots = arrange([column("a", 10, flex=1, width_max=12), column("b", 10, flex=1)], 80)
    assert [slot.width for slot in slots] == [12, 64]


def test_no_columns() -> None:
    assert arrange([], 80) == ()


made = st.builds(
    column,
    key=st.just("x"),
    width=st.integers(1, 30),
    flex=st.integers(0, 3),
    priority=st.integers(0, 9),
    width_max=st.integers(30, 60),
)


@given(st.lists(made, min_size=1, max_size=12), st.integers(2, 300))
def test_slots_never_overlap_nor_leave_the_table(columns: list[Column[str]], width: int) -> None:
    slots = arrange(columns, width)
    assert slots
    right = 0
    for slot in slots:
        assert slot.left > right - 1
        right = slot.left + slot.width
    assert right <= width
    assert max(column.priority for column in columns) == max(columns[slot.column].priority for slot in slots)
