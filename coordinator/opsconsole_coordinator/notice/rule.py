"""Whom to tell what: rules, the notices that committed events make for them, and when a delivery is tried again. Pure."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

from opsconsole_protocol.api import EventRow, JobRow
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.state import TaskState

TRY_FIRST_MS = 5_000
TRY_LAST_MS = 600_000
GIVE_UP_AFTER_MS = 24 * 3_600_000
"""How old a notice gets: after that nobody is told, and what is found later than that makes none."""
EVENT_KINDS = frozenset({EventKind.FINISHED, EventKind.LOST, EventKind.SAVE_LATE})
"""The kinds of events that can make a notice."""
WAIT_KINDS = frozenset({EventKind.RELEASE, EventKind.UNBLOCKED})
"""The kinds of events with which a job's wait begins anew: before, it wasn't to run."""
REST_KINDS = frozenset({EventKind.HOLD, EventKind.BLOCKED})
"""The kinds of events with which it ends, though the job hasn't begun."""
_WELL = frozenset({TaskState.SUCCEEDED, TaskState.KILLED})
"""How a job ends that didn't fail: somebody who cancels it knows."""


class Occasion(StrEnum):
    """What somebody wants to be told of."""

    END = "end"
    """A job ended, however it did."""
    FAILURE = "failure"
    """A job ended, neither well nor because somebody cancelled it."""
    WAIT = "wait"
    """A job waits longer than the rule says, and hasn't begun."""
    ATTENTION = "attention"
    """A worker was given up on, or a task hasn't saved its checkpoint in time."""
    TEST = "test"
    """Nothing happened: the way is tried out."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to post notices. The secret is in a file or an environment variable, and is read for each delivery."""

    url: str
    secret_file: str = ""
    secret_env: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """The program that takes a notice, and its arguments. `hidden` are environment variables that it doesn't get."""

    words: tuple[str, ...]
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NoticeRule:
    """Who is told of what, and how. An empty person or project means all of them."""

    channel: Webhook | Command
    on: frozenset[Occasion]
    person: str = ""
    project: str = ""
    wait_ms: int | None = None

    @property
    def key(self) -> str:
        """The same as long as the rule is the same: 16 hexadecimal digits."""
        channel = [self.channel.url] if isinstance(self.channel, Webhook) else list(self.channel.words)
        told = [type(self.channel).__name__, channel, sorted(self.on), self.person, self.project, self.wait_ms]
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:16]

    def takes(self, person: str, project: str) -> bool:
        """Whether the rule is about this person's jobs in this project."""
        return self.person in {"", person} and self.project in {"", project}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What is told, as JSON. `id` is the same for every try and every rule; times are Unix milliseconds."""

    id: str
    kind: str
    """An Occasion."""
    at_ms: int
    coordinator: str
    job: str = ""
    name: str = ""
    project: str = ""
    person: str = ""
    state: str = ""
    reason: str = ""
    worker: str = ""
    created_at_ms: int | None = None
    started_at_ms: int | None = None
    finished_at_ms: int | None = None


class Wait(NamedTuple):
    """A job that hasn't begun, when its wait began (Unix milliseconds), and the number of the event that began it; 0: its submission."""

    row: JobRow
    begun_ms: int
    seq: int = 0


Found = Iterator[tuple[NoticeRule, Notice]]


def of_events(
    rules: Iterable[NoticeRule], events: Iterable[EventRow], jobs: Mapping[str, JobRow], origin: tuple[str, str]
) -> Found:
    """The notices that committed events make. `jobs` are the rows of their jobs now, `origin` the store's id and the coordinator's name.

    A job that was retried since it ended makes none: its next end will. Of a job that needs attention for many tasks at once,
    one is told.
    """
    rules = tuple(rules)
    told: set[tuple[str, str]] = set()
    for event in events:
        row = jobs.get(job_of(event))
        occasions, state, reason = _what(event, row)
        if not occasions or (row is not None and (row.id, event.kind) in told):
            continue
        if row is not None:
            told.add((row.id, event.kind))
        store, name = origin
        notice = _notice(f"{store}-{event.seq}-{event.at_ms}", occasions[-1], event.at_ms, name, row)
        notice = msgspec.structs.replace(notice, state=state, reason=reason)
        if row is None:
            notice = msgspec.structs.replace(notice, worker=event.subject)
        for rule in rules:
            if rule.on.intersection(occasions) and rule.takes(notice.person, notice.project):
                yield rule, notice


def of_waiting(
    rules: Iterable[NoticeRule], waits: Iterable[Wait], since_ms: int, now_ms: int, origin: tuple[str, str]
) -> Found:
    """The notices of jobs whose waiting got longer than a rule allows after `since_ms`, and not after `now_ms`."""
    waiting = [one for one in waits if one.row.waiting_since_ms is not None and one.row.state == TaskState.PENDING]
    for rule in rules:
        if Occasion.WAIT not in rule.on or rule.wait_ms is None:
            continue
        for row, begun_ms, seq in waiting:
            due_ms = begun_ms + rule.wait_ms
            if since_ms < due_ms <= now_ms and rule.takes(row.submitted_by, row.project):
                mark = f"-{seq}" if seq else ""
                notice = _notice(f"{origin[0]}-{row.id}-{rule.wait_ms}{mark}", Occasion.WAIT, due_ms, origin[1], row)
                words = f"waits for more than {spell_duration(rule.wait_ms)}"
                reason = f"{words}: {row.reason}" if row.reason else words
                yield rule, msgspec.structs.replace(notice, reason=reason)


def trial(name: str, nonce: str, now_ms: int) -> Notice:
    """What tries out a rule: nothing happened."""
    return Notice(
        id=f"test-{nonce}", kind=Occasion.TEST, at_ms=now_ms, coordinator=name, reason="a test: nothing happened"
    )


def job_of(event: EventRow) -> str:
    """The id of the job that an event is about, if it is about one."""
    return event.subject.split("/", 1)[0]


def delay_ms(failures: int) -> int:
    """How long to wait after a number of failures in a row, at least one."""
    return int(min(TRY_FIRST_MS * 2 ** min(failures - 1, 20), TRY_LAST_MS))


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256, in hexadecimal, of the timestamp, a full stop and the body."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _what(event: EventRow, row: JobRow | None) -> tuple[tuple[Occasion, ...], str, str]:
    if event.kind != EventKind.FINISHED:
        return (Occasion.ATTENTION,), row.state if row is not None else "", event.text
    if row is None or row.finished_at_ms is None:
        return (), "", ""
    if row.state in _WELL:
        return (Occasion.END,), row.state, row.reason
    return (Occasion.END, Occasion.FAILURE), row.state, row.reason


def _notice(ident: str, kind: Occasion, at_ms: int, coordinator: str, row: JobRow | None) -> Notice:
    if row is None:
        return Notice(id=ident, kind=kind, at_ms=at_ms, coordinator=coordinator)
    return Notice(
        id=ident, kind=kind, at_ms=at_ms, coordinator=coordinator, job=row.id, name=row.name, project=row.project,
        person=row.submitted_by, state=row.state, worker=row.worker or "", created_at_ms=row.created_at_ms,
        started_at_ms=row.started_at_ms, finished_at_ms=row.finished_at_ms,
    )  # fmt: skip
