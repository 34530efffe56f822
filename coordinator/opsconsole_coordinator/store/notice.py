"""Notices that wait to be delivered, and how far events were looked at: written together, so that each is made exactly once.

They are values of the meta table: `notice.RULE.ID` is a notice as JSON, `notices_seen` the last event and time looked at, and
`notices_begun.TIME.JOB` the number of the event with which a job began to wait anew.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import msgspec

from opsconsole_coordinator.notice.rule import REST_KINDS, WAIT_KINDS, Notice, NoticeRule, Wait, job_of
from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.blob import text_reader
from opsconsole_protocol.api import EventRow, JobRow

_SEEN = "notices_seen"
_BEGUN = "notices_begun."
_TURNS = tuple(WAIT_KINDS | REST_KINDS)
_notice = text_reader(Notice, "a notice")


class Seen(msgspec.Struct, frozen=True):
    """How far was looked: the number of the last event, and the time in Unix milliseconds up to which waits were judged."""

    seq: int
    at_ms: int


_seen = text_reader(Seen, "how far notices are")


class Look(NamedTuple):
    """What is new: events in their order with the rows of their jobs, and jobs that may wait too long."""

    events: list[EventRow]
    jobs: dict[str, JobRow]
    waiting: list[Wait]


def begin(connection: sqlite3.Connection, now_ms: int, rule_keys: Collection[str]) -> Seen:
    """How far was looked; from now on where that was never done. Notices of rules that are gone go too."""
    for key in [key for key in waiting(connection) if key not in rule_keys]:
        connection.execute("DELETE FROM meta WHERE key >= ? AND key < ?", (f"notice.{key}.", f"notice.{key}/"))
    text = query.meta(connection, _SEEN)
    if text:
        return _seen(text)
    seen = Seen(query.committed_seq(connection), now_ms)
    _put_seen(connection, seen)
    return seen


def is_used(connection: sqlite3.Connection) -> bool:
    """Whether anything is kept for notices."""
    return bool(query.meta(connection, _SEEN))


def forget(connection: sqlite3.Connection) -> None:
    """Nobody wants notices any more."""
    connection.execute("DELETE FROM meta WHERE key = ? OR (key >= 'notice.' AND key < 'notice/')", (_SEEN,))
    _forget_begun(connection, None)


def look(
    connection: sqlite3.Connection, seen: Seen, kinds: Collection[str], waits: tuple[int, int] | None, limit: int
) -> Look:
    """At most `limit` events of these kinds after those seen; and the jobs whose waits began between the two times of `waits`."""
    marks = ",".join("?" * len(kinds))
    found = connection.execute(
        f"SELECT seq, at_ms, actor, kind, text, subject FROM events WHERE seq > ? AND kind IN ({marks}) ORDER BY seq LIMIT ?",
        (seen.seq, *kinds, limit),
    )
    events = [EventRow(seq=q, at_ms=at, actor=a, kind=k, text=t, subject=s) for q, at, a, k, t, s in found]
    jobs: dict[str, JobRow] = {}
    for job_id in {job_of(event) for event in events}:
        if (row := query.job_row(connection, job_id)) is not None:
            jobs[job_id] = row
    return Look(events, jobs, [] if waits is None else list(_waits(connection, waits, events)))


def _waits(connection: sqlite3.Connection, between: tuple[int, int], new: Iterable[EventRow]) -> Iterator[Wait]:
    found = connection.execute(
        "SELECT job_id, created_at_ms FROM jobs WHERE is_live = 1 AND created_at_ms > ? AND created_at_ms <= ?", between
    )
    begun = [(job_id, at_ms, 0) for job_id, at_ms in found.fetchall()]
    begun += [(job_of(event), event.at_ms, event.seq) for event in new if event.kind in WAIT_KINDS]
    least, most = between
    found = connection.execute(
        "SELECT key, value FROM meta WHERE key >= ? AND key < ?", (_begun_key(least + 1), _begun_key(most + 1))
    )
    for key, seq in found.fetchall():
        at_ms, _, job_id = key.removeprefix(_BEGUN).partition(".")
        begun.append((job_id, int(at_ms), int(seq)))
    for job_id, at_ms, seq in begun:
        row = query.job_row(connection, job_id)
        if row is not None and _last_turn(connection, job_id) == seq:
            yield Wait(row, at_ms, seq)


def _last_turn(connection: sqlite3.Connection, job_id: str) -> int:
    """The number of the last event with which the job began to wait, or to rest; 0 where there is none."""
    marks = ",".join("?" * len(_TURNS))
    found = connection.execute(
        f"SELECT max(seq) FROM events WHERE job_id = ? AND job_id <> '' AND kind IN ({marks})", (job_id, *_TURNS)
    )
    return int(found.fetchone()[0] or 0)


def add(
    connection: sqlite3.Connection,
    made: Iterable[tuple[NoticeRule, Notice]],
    begun: Iterable[EventRow],
    over_ms: int | None,
    seen: Seen,
) -> None:
    """Keep notices to be delivered, with which events waits began, and how far was looked. Waits from up to `over_ms` are over; None: all."""
    connection.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?,?)",
        [(f"{_begun_key(event.at_ms)}{job_of(event)}", str(event.seq)) for event in begun],
    )
    _forget_begun(connection, over_ms)
    connection.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?,?)",
        [(_key(rule.key, notice.id), msgspec.json.encode(notice).decode()) for rule, notice in made],
    )
    _put_seen(connection, seen)


def waiting(connection: sqlite3.Connection) -> dict[str, list[Notice]]:
    """What is still to be delivered, oldest first, by the key of its rule."""
    found: dict[str, list[Notice]] = {}
    for key, text in connection.execute("SELECT key, value FROM meta WHERE key >= 'notice.' AND key < 'notice/'"):
        found.setdefault(key.split(".")[1], []).append(_notice(text))
    for notices in found.values():
        notices.sort(key=lambda one: one.at_ms)
    return found


def done(connection: sqlite3.Connection, rule_key: str, ids: Iterable[str]) -> None:
    """These notices are delivered, or given up."""
    connection.executemany("DELETE FROM meta WHERE key = ?", [(_key(rule_key, one),) for one in ids])


def _forget_begun(connection: sqlite3.Connection, over_ms: int | None) -> None:
    last = f"{_BEGUN[:-1]}/" if over_ms is None else _begun_key(over_ms + 1)
    connection.execute("DELETE FROM meta WHERE key >= ? AND key < ?", (_BEGUN, last))


def _begun_key(at_ms: int) -> str:
    """What the keys of waits that began then begin with; they are in the order of time."""
    return f"{_BEGUN}{max(at_ms, 0):015d}."


def _key(rule_key: str, ident: str) -> str:
    return f"notice.{rule_key}.{ident}"


def _put_seen(connection: sqlite3.Connection, seen: Seen) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (_SEEN, msgspec.json.encode(seen).decode()))
