"""The store against the obvious way of doing it: sort and filter everything, every time."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.row_order import RowOrder

Row = tuple[int | None, bool]

row_ids = st.sampled_from([f"r{number}" for number in range(40)])
rows = st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.booleans())
steps = st.one_of(
    st.tuples(st.just("upsert"), st.dictionaries(row_ids, rows, max_size=6)),
    st.tuples(st.just("remove"), st.sets(row_ids, max_size=3)),
    st.tuples(st.just("replace"), st.dictionaries(row_ids, rows, max_size=40)),
    st.tuples(st.just("sort"), st.tuples(st.booleans(), st.booleans())),
    st.tuples(st.just("filter"), st.tuples(st.booleans(), st.booleans())),
)


def value(row: Row) -> int | None:
    return row[0]


def flag(row: Row) -> bool:
    return row[1]


class Naive:
    """What RowOrder promises, without any cleverness."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.key: Callable[[Row], int | None] | None = None
        self.reverse = False
        self.keep: Callable[[Row], bool] | None = None
        self.invert = False

    def ids(self) -> list[str]:
        ids = [i for i, row in self.rows.items() if self.keep is None or self.keep(row) is not self.invert]
        if self.key is not None:
            known = [i for i in ids if value(self.rows[i]) is not None]
            known.sort(key=lambda row_id: value(self.rows[row_id]) or 0)
            unknown = [i for i in ids if value(self.rows[i]) is None]
            return known[::-1] + unknown[::-1] if self.reverse else known + unknown
        return ids[::-1] if self.reverse else ids


@given(st.lists(steps, max_size=25))
def test_any_history_ends_in_the_order_of_a_full_sort(history: list[tuple[str, object]]) -> None:
    order: RowOrder[str, Row] = RowOrder()
    naive = Naive()
    for step, what in history:
        if step == "upsert":
            assert isinstance(what, dict)
            order.upsert(what)
            naive.rows.update(what)
        elif step == "remove":
            assert isinstance(what, set)
            order.remove(what)
            for row_id in what:
                naive.rows.pop(row_id, None)
        elif step == "replace":
            assert isinstance(what, dict)
            order.replace(what)
            naive.rows = dict(what)
        elif step == "sort":
            assert isinstance(what, tuple)
            naive.key, naive.reverse = (value if what[0] else None), what[1]
            order.sort(naive.key, reverse=naive.reverse)
        else:
            assert isinstance(what, tuple)
            naive.keep, naive.invert = (flag if what[0] else None), what[1]
            order.filter(naive.keep, invert=naive.invert)
        expected = naive.ids()
        assert list(order) == expected
        assert len(order) == len(expected)
        assert order.total == len(naive.rows)
        assert [order.position(row_id) for row_id in expected] == list(range(len(expected)))
        assert [order.id_at(position) for position in range(len(expected))] == expected
        assert order.ids_between(1, 4) == expected[1:4]


def filled(count: int) -> RowOrder[str, Row]:
    order: RowOrder[str, Row] = RowOrder()
    order.replace({f"r{number:03}": (number % 10, True) for number in range(count)})
    return order


def test_few_changes_among_many_are_merged_into_place() -> None:
    order = filled(500)
    order.sort(value)
    assert order.upsert({"r005": (9, True), "new": (4, True)})
    assert list(order) == sorted(order, key=lambda i: (value(order.get(i) or (0, True)), i == "new", i))


def test_a_change_that_moves_nothing_says_so() -> None:
    order = filled(10)
    order.sort(value)
    assert order.upsert({"r003": (3, False)}) is False
    assert order.upsert({"r003": (4, False)}) is True


def test_removing_what_is_not_there_says_so() -> None:
    order = filled(3)
    assert order.remove(["nobody"]) is False
    assert order.remove(["r001"]) is True
    assert order.position("r001") is None
    assert order.get("r001") is None


def test_removing_a_hidden_row_moves_nothing() -> None:
    order = filled(3)
    order.filter(lambda row: row[0] != 1)
    assert order.remove(["r001"]) is False
    assert order.total == 2


@pytest.mark.parametrize("position", [-1, 3])
def test_positions_outside_are_errors(position: int) -> None:
    with pytest.raises(IndexError):
        filled(3).id_at(position)
