"""The first jobs in the order of a field, found while a search goes through all that a filter shows."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from opsconsole_coordinator.store.blob import reader
from opsconsole_coordinator.store.job_search import ROWS_AT_ONCE, Head, JobSearch, Place
from opsconsole_coordinator.store.query import EncodedRow
from opsconsole_protocol.api import JobRow
from opsconsole_protocol.api.job_filter import check_sort, sort_value, sortable
from opsconsole_protocol.error import InvalidRequest

_row = reader(JobRow, "a job")
_OF_HEAD = {"created": "created_at_ms", "finished": "finished_at_ms", "user": "submitted_by", "name": "name",
            "project": "project", "state": "state"}  # fmt: skip


class Key(NamedTuple):
    """Where a job stands: by its value, then by its age and id, so that no two stand at one place."""

    value: tuple[int, float, str]
    created_at_ms: int
    job_id: str


class JobSort:
    """Keeps the first `limit` jobs of an order, of those behind `cursor`, and knows whether there are more."""

    def __init__(self, sort: str, *, ascending: bool, limit: int, cursor: str, now_ms: int) -> None:
        """Raises InvalidRequest for a field that jobs can't be sorted by, or a cursor that is none of an answer's."""
        check_sort(sort)
        self._sort, self._ascending, self._limit, self._now_ms = sort, ascending, limit, now_ms
        self._after = _read(cursor) if cursor else None
        self._head_field = _OF_HEAD.get(sort)
        self._found: list[tuple[Key, EncodedRow]] = []
        self._worst: Key | None = None

    def step(self, connection: sqlite3.Connection, search: JobSearch, place: Place) -> tuple[Place | None, int]:
        """Look at the next jobs of a search; returns where to go on, and how much work it was."""
        step = search.step(connection, place, ROWS_AT_ONCE, self._promising if self._head_field is not None else None)
        for encoded in step.rows:
            row = _row(bytes(encoded.data))
            key = Key(sort_value(row, self._sort, self._now_ms), row.created_at_ms, row.id)
            if self._is_wanted(key):
                self._found.append((key, encoded))
        if len(self._found) > 2 * (self._limit + 1):
            self._prune()
        return step.place, step.work

    def page(self) -> tuple[list[EncodedRow], bool, str]:
        """The rows in their order, whether there are more, and the cursor at which those begin."""
        self._prune()
        kept = self._found[: self._limit]
        more = len(self._found) > self._limit
        return [row for _, row in kept], more, msgspec.json.encode(kept[-1][0]).decode() if more else ""

    def _prune(self) -> None:
        self._found.sort(key=lambda one: one[0], reverse=not self._ascending)
        del self._found[self._limit + 1 :]
        if len(self._found) > self._limit:
            self._worst = self._found[-1][0]

    def _is_wanted(self, key: Key) -> bool:
        return (self._after is None or self._comes_before(self._after, key)) and (
            self._worst is None or self._comes_before(key, self._worst)
        )

    def _comes_before(self, one: Key, other: Key) -> bool:
        return one < other if self._ascending else one > other

    def _promising(self, heads: Sequence[Head]) -> list[Head]:
        return [head for head in heads if self._is_wanted(self._key_of(head))]

    def _key_of(self, head: Head) -> Key:
        return Key(sortable(getattr(head, str(self._head_field))), head.created_at_ms, head.job_id)


def _read(cursor: str) -> Key:
    try:
        return Key(*msgspec.json.decode(cursor, type=tuple[tuple[int, float, str], int, str]))
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise InvalidRequest("the cursor is none of a list's: leave it out, to begin at the beginning") from None
