"""Going through all stored jobs for what a filter wants, newest first, in steps that are small whatever the store holds.

A step looks at HEADS_AT_ONCE jobs in an index that has what most filters ask about, and reads only the rows of those that
are left. What SQLite can decide is decided there; the filter itself has the last word on every job.

Every answer of SQLite is one row: the interpreter's lock is given up at each, and a busy coordinator takes its time to give it
back.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec

from opsconsole_coordinator.store.blob import damaged, reader, text_reader
from opsconsole_coordinator.store.query import EncodedRow
from opsconsole_protocol.api import JobRow, job_filter
from opsconsole_protocol.filter import Filter
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.pattern import compile_pattern
from opsconsole_protocol.requirement import Requirement
from opsconsole_protocol.state import TaskState

HEADS_AT_ONCE = 5_000
ROWS_AT_ONCE = 500
WORK_MAX = 50_000
"""How much is looked at for one answer: a job in the index counts 1, and ROW_WORK where its row is read as well."""
ROW_WORK = 10

_ID_RANGE = 3
"""How much of an id is known at least, for looking only at the jobs that begin with it."""


class Head(NamedTuple):
    """What the index has of a job."""

    job_id: str
    name: str
    project: str
    state: str
    submitted_by: str
    created_at_ms: int
    finished_at_ms: int | None


class Place(NamedTuple):
    """Where the next step goes on: with what is older than this. At first nothing is."""

    created_at_ms: int = 1 << 62
    job_id: str = "~"


class Step(NamedTuple):
    """What a step found: the rows that are to be told, and how many match. `place` is None where all has been looked at."""

    rows: list[EncodedRow]
    matched: int
    work: int
    place: Place | None


_heads = text_reader(list[Head], "a job")
_row = reader(JobRow, "a job")
_HEAD = ", ".join(Head._fields)
_INDEXED = "jobs INDEXED BY jobs_listed"
_KEY = "(created_at_ms, job_id)"
_IN_INDEX = frozenset({*Head._fields, "id", "user", "created", "finished"}) - {"job_id"}
_TIMES = ("created_at_ms", "finished_at_ms")
_AGES = {"created": "created_at_ms", "finished": "finished_at_ms"}
FOLD_TO_ASCII = "ßŉſǰẖẗẘẙẚẞ\N{KELVIN SIGN}ﬀﬁﬂﬃﬄﬅﬆİ"
"""Letters that count as ASCII ones, wholly or in part, where case doesn't."""
_NOT_SIMPLE = re.compile(r"[^\w \-.,:/@=^$?*+]")
_LITERAL = re.compile(r"\^([0-9a-z]+)")


class JobSearch:
    """Looks for the jobs of a project, or of all where it is empty, that a filter shows at a time (Unix milliseconds)."""

    def __init__(self, shown: Filter, project: str, now_ms: int) -> None:
        self._inverted = shown.inverted
        conditions = shown.conditions
        known = [one for one in conditions if one.key in _IN_INDEX]
        self._is_plain = len(known) == len(conditions) and not (shown.words or shown.without)
        """Whether the index has all that the filter asks about."""
        # An inverted filter shows what misses any of its conditions: none of them alone decides.
        tests = known if self._is_plain or not shown.inverted else []
        self._tests = [_test(one, now_ms) for one in tests]
        self._is_shown: Callable[[JobRow], bool] | None = shown.predicate(
            lambda row: job_filter.properties(row, now_ms), job_filter.haystack
        )
        self._where = _Where(project, Filter() if shown.inverted else shown, now_ms)

    def step(
        self, connection: sqlite3.Connection, place: Place, wanted: int,
        promising: Callable[[Sequence[Head]], list[Head]] | None = None,
    ) -> Step:  # fmt: skip
        """Look at the next jobs; `wanted` rows are told at most, none where it is 0 and matches are only counted.

        `promising` says of which of those that are shown the rows are of use; it is asked where the index alone tells who is shown.
        """
        lowest = self._lowest(connection, place)
        most = min(ROWS_AT_ONCE, wanted) if self._is_plain and wanted else ROWS_AT_ONCE
        heads = [head for head in self._heads(connection, place, lowest, most) if self._may_be_shown(head)]
        found: list[EncodedRow] = []
        matched, read = 0, 0
        if self._is_plain and promising is not None:
            heads = promising(heads)
        if self._is_plain and not wanted:
            matched, heads = len(heads), []
        is_cut = len(heads) > most
        heads = heads[:most]
        for head, data in _rows(connection, heads):
            read += 1
            row = _row(data)
            if not self._is_plain and self._is_shown is not None and not self._is_shown(row):
                continue
            matched += 1
            if wanted:
                found.append(EncodedRow(JobId(head.job_id), msgspec.Raw(data)))
            if wanted and len(found) == wanted:
                return Step(found, matched, _work(read), Place(head.created_at_ms, head.job_id))
        if is_cut:
            return Step(found, matched, _work(read), Place(heads[-1].created_at_ms, heads[-1].job_id))
        return Step(found, matched, HEADS_AT_ONCE + _work(read), lowest)

    def _lowest(self, connection: sqlite3.Connection, place: Place) -> Place | None:
        """The last of the jobs that this step looks at, None where it looks at all that are left."""
        if self._where.is_narrow:
            return None
        found = connection.execute(
            f"SELECT created_at_ms, job_id FROM {_INDEXED} WHERE {_KEY} < (?, ?) AND created_at_ms >= ? "
            f"ORDER BY created_at_ms DESC, job_id DESC LIMIT 1 OFFSET ?",
            (*place, self._where.since_ms, (ROWS_AT_ONCE if self._where.reads_rows else HEADS_AT_ONCE) - 1),
        ).fetchone()
        return Place(*found) if found is not None else None

    def _heads(self, connection: sqlite3.Connection, place: Place, lowest: Place | None, most: int) -> list[Head]:
        where = self._where
        table = "jobs" if where.is_narrow else _INDEXED
        # A sign keeps SQLite from going by age where it is to go by id.
        key = "(+created_at_ms, +job_id)" if where.is_narrow else _KEY
        conditions, values = [f"{key} < (?, ?)", *where.sql], [*place, *where.values]
        if lowest is not None:
            conditions.append(f"{_KEY} >= (?, ?)")
            values += lowest
        heads = f"SELECT {_HEAD} FROM {table} WHERE {' AND '.join(conditions)} ORDER BY created_at_ms DESC, job_id DESC"
        if not self._is_plain and not self._tests:
            heads += f" LIMIT {most + 1}"  # each of them is read
        (told,) = connection.execute(f"SELECT json_group_array(json_array({_HEAD})) FROM ({heads})", values).fetchone()
        return _heads(told)

    def _may_be_shown(self, head: Head) -> bool:
        return not self._tests or all(test(head) for test in self._tests) != self._inverted


class _Where:
    """What SQLite looks at: never less than what the conditions let through."""

    def __init__(self, project: str, shown: Filter, now_ms: int) -> None:
        self.sql: list[str] = []
        self.values: list[object] = []
        self.since_ms = 0
        """Nothing older is looked at."""
        self.is_narrow = False
        """Whether so few jobs are meant that they are found by their ids."""
        self.reads_rows = False
        """Whether SQLite reads every job's row."""
        if project:
            self._add("project = ?", project)
        for one in shown.conditions:
            self._take(one, now_ms)
        for part in " ".join(shown.words).split():  # what stands side by side may be in two texts, a part is in one
            if part.isascii():
                self._take_word(part)

    def _take(self, one: Requirement, now_ms: int) -> None:
        match one.key:
            case "state":
                states = [str(state) for state in TaskState if one.matches({"state": str(state)})]
                self._add(f"state IN ({','.join('?' * len(states))})", *states)
            case "id":
                self._take_id(one)
            case "name" | "project" | "submitted_by" | "user" if one.value.isascii():
                self._take_text("submitted_by" if one.key == "user" else one.key, one)
            case "created_at_ms" | "created" | "finished_at_ms" | "finished":
                self._take_time(one, now_ms)

    def _take_word(self, word: str) -> None:
        # It is in one of the row's texts, and so in the row as it is stored; or a letter is that counts as one of its own.
        pieces = sorted({char.encode()[:2] for char in FOLD_TO_ASCII if set(char.casefold()) & set(word)})
        tests = ["instr(CAST(lower(CAST(row AS TEXT)) AS BLOB), CAST(? AS BLOB))"]
        tests += [f"instr(row, x'{piece.hex()}')" for piece in pieces]
        self._add(f"({' OR '.join(tests)})", word)
        self.reads_rows = True

    def _take_text(self, column: str, one: Requirement) -> None:
        # SQLite folds the case of ASCII letters only: what has others is left to the filter.
        has_others = f"{column} GLOB '*[^' || char(1) || '-~]*'"
        pieces = _pieces(one.value) if one.op == "~" else []
        if one.op == "=":
            self._add(f"({column} = ? COLLATE NOCASE OR {has_others})", one.value)
        elif pieces:
            self._add(f"({column} LIKE ? OR {has_others})", f"%{'%'.join(pieces)}%")

    def _take_id(self, one: Requirement) -> None:
        literal = _LITERAL.match(one.value) if one.op == "~" and one.value.isascii() else None
        whole = _LITERAL.fullmatch(one.value) is not None
        prefix = one.value.casefold() if one.op == "=" else literal[1] if literal is not None and whole else ""
        if len(prefix) >= _ID_RANGE and prefix.isalnum() and prefix.isascii():
            self.is_narrow = True
            self._add("job_id >= ? AND job_id < ?", prefix, prefix + "{")

    def _take_time(self, one: Requirement, now_ms: int) -> None:
        if one.op not in {">", ">=", "<", "<="} or not one.value.isdigit() or len(one.value) > 15:
            return
        column = one.key if one.key in _TIMES else f"{one.key}_at_ms"
        at_ms, op = int(one.value), one.op
        if one.key not in _TIMES:  # an age
            at_ms, op = now_ms - at_ms, op.translate(str.maketrans("<>", "><"))
        if column == "created_at_ms" and op in {">", ">="}:
            self.since_ms = max(self.since_ms, at_ms)
        self._add(f"{column} {op} ?", at_ms)

    def _add(self, sql: str, *values: object) -> None:
        self.sql.append(sql)
        self.values += values


def _pieces(pattern: str) -> list[str]:
    """Texts that are in all that a pattern matches, in this order; none where that can't be told simply."""
    if _NOT_SIMPLE.search(pattern) is not None:
        return []
    return [piece for piece in re.split(r"[.^$?*+]+", re.sub(r".[?*]", "^", pattern)) if piece]


def _test(one: Requirement, now_ms: int) -> Callable[[Head], bool]:
    """Whether a job of the index meets a condition: as `job_filter.properties` has it."""
    key = one.key
    value = attrgetter({"id": "job_id", "user": "submitted_by"}.get(key, _AGES.get(key, key)))
    if key in _AGES:
        return lambda head: one.matches({key: None if value(head) is None else now_ms - value(head)})
    if one.op == "~" and key not in _TIMES:
        matches = compile_pattern(one.value, ignore_case=True).matches
        return lambda head: matches(value(head))
    return lambda head: one.matches({key: value(head)})


def _rows(connection: sqlite3.Connection, heads: Sequence[Head]) -> Iterator[tuple[Head, bytes]]:
    """The encoded rows of these jobs, in their order."""
    if not heads:
        return
    marks = ",".join("?" * len(heads))
    sql = f"SELECT json_group_object(job_id, hex(row)) FROM jobs WHERE job_id IN ({marks})"
    (told,) = connection.execute(sql, [head.job_id for head in heads]).fetchone()
    found = _encoded(told)
    for head in heads:
        if head.job_id not in found:
            raise damaged("a job")
        yield head, bytes.fromhex(found[head.job_id])


_encoded = text_reader(dict[str, str], "a job")


def _work(rows: int) -> int:
    return ROW_WORK * rows
