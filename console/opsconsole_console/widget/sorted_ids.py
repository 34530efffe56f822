"""Row ids in the order of a value and, where values are equal, of age. Pure.

Values and ages stand in lists of their own beside the ids, so that places are found by bisecting plain values; a batch is
taken out or put in by cutting the lists at its places, once.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

IdT = TypeVar("IdT", bound=str)

_FEW = 32
"""How many ids are moved one by one: cutting the lists anew touches every row."""


class SortedIds(Generic[IdT]):
    """`ids[i]` has `values[i]` and `ages[i]`; no two have the same age."""

    def __init__(self, ids: list[IdT], values: list[Any], ages: list[int]) -> None:
        self.ids = ids
        self.values = values
        self.ages = ages

    def __len__(self) -> int:
        return len(self.ids)

    def place(self, value: Any, age: int, start: int = 0) -> int:
        """Where a row of this value and age stands, or would, at or after `start`."""
        first = bisect_left(self.values, value, start)
        last = bisect_right(self.values, value, first)
        return bisect_left(self.ages, age, first, last)

    def extend(self, ids: Sequence[IdT], value: Any, ages: Sequence[int]) -> None:
        """Add rows at the end, where the caller knows that they belong there."""
        self.ids.extend(ids)
        self.values.extend([value] * len(ids))
        self.ages.extend(ages)

    def take_out(self, places: Sequence[int]) -> None:
        """Remove what stands at `places`, which are sorted."""
        if len(places) <= _FEW:
            for place in reversed(places):
                del self.ids[place], self.values[place], self.ages[place]
            return
        self.ids = _without(self.ids, places)
        self.values = _without(self.values, places)
        self.ages = _without(self.ages, places)

    def put_in(self, coming: Sequence[tuple[Any, int, IdT]]) -> None:
        """Add (value, age, id), which are sorted."""
        if len(coming) <= _FEW:
            for value, age, row_id in coming:
                place = self.place(value, age)
                self.ids.insert(place, row_id)
                self.values.insert(place, value)
                self.ages.insert(place, age)
            return
        ids: list[IdT] = []
        values: list[Any] = []
        ages: list[int] = []
        start = 0
        for value, age, row_id in coming:
            place = self.place(value, age, start)
            ids += self.ids[start:place]
            values += self.values[start:place]
            ages += self.ages[start:place]
            ids.append(row_id)
            values.append(value)
            ages.append(age)
            start = place
        self.ids = ids + self.ids[start:]
        self.values = values + self.values[start:]
        self.ages = ages + self.ages[start:]


def _without(items: list[Any], places: Sequence[int]) -> list[Any]:
    left: list[Any] = []
    start = 0
    for place in places:
        left += items[start:place]
        start = place + 1
    left += items[start:]
    return left
