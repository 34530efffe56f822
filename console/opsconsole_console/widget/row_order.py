"""Which rows a table shows, and in which order: the store behind `LiveTable`. Pure.

A batch of changed rows is merged into the sorted ones, so its price follows the batch and not the table.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from opsconsole_console.widget.sorted_ids import SortedIds

IdT = TypeVar("IdT", bound=str)
RowT = TypeVar("RowT")

_REBUILD_SHARE = 4
"""Merging is dearer a row than sorting: past one row in this many, everything is sorted."""

_HIDDEN = object()


class RowOrder(Generic[IdT, RowT]):
    """Rows by id, filtered and sorted. Positions count the shown rows from 0.

    Rows whose sort value is None come last, whichever way round the others are. Without a sort key rows stand in the order
    in which they came.
    """

    def __init__(self) -> None:
        self._rows: dict[IdT, RowT] = {}
        # In the order of the rows, too.
        self._ages: dict[IdT, int] = {}
        self._next_age = 0
        self._sort_key: Callable[[RowT], Any] | None = None
        self._reverse = False
        self._predicate: Callable[[RowT], bool] | None = None
        self._invert = False
        self._known: SortedIds[IdT] = SortedIds([], [], [])
        self._unknown: SortedIds[IdT] = SortedIds([], [], [])
        # The sort value of each shown row; None while every row is shown as it came.
        self._values: dict[IdT, Any] | None = None
        self._held: IdT | None = None

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)

    def __iter__(self) -> Iterator[IdT]:
        """Ids of the shown rows from the top."""
        for part in (self._known.ids, self._unknown.ids):
            yield from reversed(part) if self._reverse else part

    def __contains__(self, row_id: object) -> bool:
        """Whether a row is shown."""
        return row_id in (self._rows if self._values is None else self._values)

    @property
    def total(self) -> int:
        """Rows held, shown or not."""
        return len(self._rows)

    def get(self, row_id: IdT) -> RowT | None:
        """A row, shown or not."""
        return self._rows.get(row_id)

    def id_at(self, position: int) -> IdT:
        """The id at a position from 0 to `len - 1`; IndexError outside."""
        if not 0 <= position < len(self):
            raise IndexError(position)
        part = self._known.ids
        if position >= len(part):
            position -= len(part)
            part = self._unknown.ids
        return part[len(part) - 1 - position if self._reverse else position]

    def ids_between(self, start: int, end: int) -> list[IdT]:
        """The ids from position `start` up to but not including `end`, as far as there are any."""
        known, unknown = self._known.ids, self._unknown.ids
        offset = len(known)
        return self._cut(known, start, end) + self._cut(unknown, start - offset, end - offset)

    def position(self, row_id: IdT) -> int | None:
        """Where a row is shown, or None."""
        if row_id not in self:
            return None
        value = 0 if self._values is None else self._values[row_id]
        part = self._unknown if value is None else self._known
        place = part.place(0 if value is None else value, self._ages[row_id])
        if self._reverse:
            place = len(part) - 1 - place
        return place + (len(self._known) if value is None else 0)

    def replace(self, rows: Mapping[IdT, RowT]) -> None:
        """Hold exactly these rows; their order is the one of unsorted tables."""
        self._rows = dict(rows)
        self._ages = dict(zip(self._rows, range(len(self._rows)), strict=True))
        self._next_age = len(self._rows)
        self._rebuild()

    def upsert(self, rows: Mapping[IdT, RowT]) -> bool:
        """Add or replace rows; new ones come last where nothing is sorted. Returns whether any shown row moved."""
        fresh = [row_id for row_id in rows if row_id not in self._ages]
        for row_id in fresh:
            self._ages[row_id] = self._next_age
            self._next_age += 1
        self._rows.update(rows)
        if self._values is None:
            self._known.extend(fresh, 0, [self._ages[row_id] for row_id in fresh])
            return bool(fresh)
        now = self._values_of(rows)
        get = self._values.get
        moved = {row_id: value for row_id, value in now.items() if get(row_id, _HIDDEN) != value}
        self._move(moved)
        return bool(moved)

    def remove(self, row_ids: Iterable[IdT]) -> bool:
        """Forget rows; unknown ids are ignored. Returns whether any of them was shown."""
        gone = [row_id for row_id in set(row_ids) if row_id in self._rows]
        shown = {row_id: _HIDDEN for row_id in gone if row_id in self}
        self._move(shown)
        for row_id in gone:
            del self._rows[row_id], self._ages[row_id]
        return bool(shown)

    def hold(self, row_id: IdT | None) -> bool:
        """Keep one row where it is, whatever becomes of it, instead of the one held before.

        Return whether that one moved. A row keeps the sort value that it has now, and stays shown where the filter no
        longer lets it through.
        """
        before, self._held = self._held, row_id
        if before is None or before == row_id or before not in self or self._values is None:
            return False
        return self.upsert({before: self._rows[before]})

    def sort(self, sort_key: Callable[[RowT], Any] | None, *, reverse: bool = False) -> None:
        """Sort by a value of each row; None: in the order in which rows came."""
        self._held = None
        self._sort_key = sort_key
        self._reverse = reverse
        self._rebuild()

    def filter(self, predicate: Callable[[RowT], bool] | None, *, invert: bool = False) -> None:
        """Show only rows for which `predicate` is true (`invert`: false); None shows all."""
        self._held = None
        self._predicate = predicate
        self._invert = invert and predicate is not None
        self._rebuild()

    def _cut(self, part: list[IdT], start: int, end: int) -> list[IdT]:
        start, end = max(0, start), min(len(part), end)
        if start >= end:
            return []
        return part[len(part) - end : len(part) - start][::-1] if self._reverse else part[start:end]

    def _values_of(self, rows: Mapping[IdT, RowT]) -> dict[IdT, Any]:
        """The sort value of each of these rows, or that it is hidden."""
        predicate, invert, sort_key = self._predicate, self._invert, self._sort_key
        if predicate is None:
            found = {i: 0 if sort_key is None else sort_key(row) for i, row in rows.items()}
        else:
            found = {
                i: _HIDDEN if bool(predicate(row)) is invert else 0 if sort_key is None else sort_key(row)
                for i, row in rows.items()
            }
        return found | self._held_value(rows)

    def _held_value(self, rows: Mapping[IdT, RowT]) -> dict[IdT, Any]:
        """The value that the held row keeps, where it is among these and shown."""
        held = self._held
        if held is None or held not in rows or self._values is None or held not in self._values:
            return {}
        return {held: self._values[held]}

    def _rebuild(self) -> None:
        """Sort and filter everything."""
        if self._sort_key is None and self._predicate is None:
            self._values = None
            self._known = SortedIds(list(self._rows), [0] * len(self._rows), list(self._ages.values()))
            self._unknown = SortedIds([], [], [])
            return
        rows, predicate, invert = self._rows, self._predicate, self._invert
        kept = self._held_value(rows)
        if predicate is not None:
            rows = {row_id: row for row_id, row in rows.items() if row_id in kept or bool(predicate(row)) is not invert}
        values: dict[IdT, Any] = dict.fromkeys(rows, 0)
        if self._sort_key is not None:
            values = dict(zip(rows, map(self._sort_key, rows.values()), strict=True))
        self._arrange(values | kept)

    def _arrange(self, values: dict[IdT, Any]) -> None:
        """Put rows with these sort values in order; they are given by age."""
        self._values = values
        age = self._ages.__getitem__
        unknown = [row_id for row_id, value in values.items() if value is None]
        ids = [row_id for row_id, value in values.items() if value is not None] if unknown else list(values)
        if self._sort_key is not None:
            ids.sort(key=values.__getitem__)
        self._known = SortedIds(ids, list(map(values.__getitem__, ids)), list(map(age, ids)))
        self._unknown = SortedIds(unknown, [0] * len(unknown), list(map(age, unknown)))

    def _move(self, moved: Mapping[IdT, Any]) -> None:
        """Give rows new sort values, or hide them, and put them in their new places."""
        if not moved:
            return
        if len(moved) * _REBUILD_SHARE > len(self) and self._values is not None:
            values = {**self._values, **moved}
            by_age = sorted((i for i, value in values.items() if value is not _HIDDEN), key=self._ages.__getitem__)
            self._arrange({row_id: values[row_id] for row_id in by_age})
            return
        self._take_out([row_id for row_id in moved if row_id in self])
        self._put_in({row_id: value for row_id, value in moved.items() if value is not _HIDDEN})

    def _take_out(self, row_ids: Iterable[IdT]) -> None:
        values, ages = self._values, self._ages
        if values is None:
            self._known.take_out(sorted(self._known.place(0, ages[row_id]) for row_id in row_ids))
            return
        known, unknown = [], []
        for row_id in row_ids:
            value = values.pop(row_id)
            if value is None:
                unknown.append(self._unknown.place(0, ages[row_id]))
            else:
                known.append(self._known.place(value, ages[row_id]))
        self._known.take_out(sorted(known))
        self._unknown.take_out(sorted(unknown))

    def _put_in(self, coming: Mapping[IdT, Any]) -> None:
        if self._values is not None:
            self._values.update(coming)
        ages = self._ages
        self._known.put_in(sorted((value, ages[i], i) for i, value in coming.items() if value is not None))
        self._unknown.put_in(sorted((0, ages[i], i) for i, value in coming.items() if value is None))
