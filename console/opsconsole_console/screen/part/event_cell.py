"""How an event is written. Pure."""

from collections.abc import Mapping, Sequence

from opsconsole_console import format as fmt
from opsconsole_console.model.clock import Clock
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_protocol.api import EventRow
from opsconsole_protocol.event_kind import EventKind

_TONES: Mapping[str, str] = {
    EventKind.SUBMITTED: "primary",
    EventKind.SUCCEEDED: "state-succeeded",
    EventKind.FAILED: "state-failed",
    EventKind.UNSCHEDULABLE: "state-failed",
    EventKind.TIMEOUT: "state-failed",
    EventKind.CANCEL: "state-killed",
    EventKind.KILLED: "state-killed",
    EventKind.PAUSE: "state-paused",
    EventKind.PAUSED: "state-paused",
    EventKind.LOST: "state-lost",
    EventKind.PREEMPTED: "state-lost",
    EventKind.SILENT: "state-silent",
    EventKind.DRAIN: "state-draining",
}
_PLAIN = "text-muted"
"""Everything else, kinds of another version included."""


def kind_cell(event: EventRow) -> Cell:
    """The kind in words, in colour where it tells of an end, of a loss or of somebody's wish."""
    return cell(event.kind.replace("_", " "), _TONES.get(event.kind, _PLAIN))


def event_columns(clock: Clock, *, subject: bool = True) -> Sequence[Column[EventRow]]:
    """When, who, what; about whom where that isn't clear."""
    about: tuple[Column[EventRow], ...] = (
        Column(
            "subject", "SUBJECT", lambda event: event.subject, 10, flex=1, width_max=28, priority=4, tone="text-muted"
        ),
    )
    return (
        Column("time", "TIME", lambda event: fmt.clock(event.at_ms), 8, priority=9, tone="text-muted",
               sort_key=lambda event: event.seq, descending=True),
        Column("age", "AGO", lambda event: fmt.age(event.at_ms, clock()), 4, align="right", priority=3,
               tone="text-muted"),
        Column("actor", "WHO", lambda event: event.actor, 11, flex=1, width_max=20, priority=8,
               sort_key=lambda event: event.actor),
        Column("kind", "KIND", kind_cell, 16, priority=5, sort_key=lambda event: event.kind),
        *(about if subject else ()),
        Column("text", "WHAT", lambda event: event.text, 24, flex=6, priority=10),
    )  # fmt: skip


def properties(event: EventRow) -> dict[str, object]:
    """What filter conditions look at."""
    return {"actor": event.actor, "kind": event.kind, "subject": event.subject, "text": event.text, "seq": event.seq}


def haystack(event: EventRow) -> str:
    """What free text is looked for in, lower case."""
    return f"{event.actor} {event.kind} {event.subject} {event.text}".casefold()
