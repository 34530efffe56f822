"""One stream as the coordinator knows it: who its two ends are, and what they tell each other until it stands."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from opsconsole_coordinator.transfer.message import Over
from opsconsole_protocol.error import LimitExceeded
from opsconsole_protocol.stream.message import Purpose

SIGNALS_QUEUED_MAX = 32
"""That one end of a stream hasn't taken."""
SIGNALS_MAX = 1_000
"""Of one stream in all."""


class PartyKind(StrEnum):
    """What is at an end of a stream."""

    PERSON = "person"
    """An operator's client; also one that offers trees."""
    WORKER = "worker"
    STORE = "store"
    """The coordinator's own."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who is at an end. `key`: the hash of a person's credential, or a worker's id. `name`: for people."""

    kind: PartyKind
    key: str
    name: str


STORE = Party(PartyKind.STORE, "", "the coordinator")


@dataclass(slots=True, eq=False)
class StreamEnd:
    """One of the two ends, with the signals that it hasn't taken; an agent is sent them at once."""

    party: Party
    signals: deque[bytes] = field(default_factory=deque)
    has_news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, body: bytes) -> None:
        """Queue a signal for it. Raises LimitExceeded."""
        if len(self.signals) >= SIGNALS_QUEUED_MAX:
            raise LimitExceeded(f"{self.party.name} hasn't taken {SIGNALS_QUEUED_MAX} signals: it seems to be gone")
        self.signals.append(body)
        self.has_news.set()

    def take(self) -> tuple[bytes, ...]:
        """All signals that it hasn't taken."""
        taken = tuple(self.signals)
        self.signals.clear()
        return taken


@dataclass(slots=True, eq=False)
class OpenStream:
    """A stream that was granted. It ends when the credential of one of its ends is revoked."""

    id: str
    purpose: Purpose
    what: str
    """For people: `data.csv` or `files of job 7k3m9q2w4t`."""
    subject: str
    """What its event is filed under: a job's or a worker's name."""
    initiator: StreamEnd
    responder: StreamEnd
    granted_s: float
    heard_s: float
    """When it was last heard of."""
    session_id: int | None = None
    """The session in which a worker was asked to be its responder."""
    is_answered: bool = False
    """Its responder has said something."""
    is_begun: bool = False
    """Its bytes flow through the transfer process."""
    has_passed: bool = False
    """They did, and don't any more."""
    is_over: bool = False
    stopped: str = ""
    """Why the coordinator has ended it, also where it stands between two others."""
    signals: int = 0
    when_over: Callable[[Over], None] | None = None
    """Told once what came of a stream that the coordinator has opened for itself."""

    @property
    def ends(self) -> tuple[StreamEnd, StreamEnd]:
        """The initiator, and the other one."""
        return self.initiator, self.responder

    def other_end(self, party: Party) -> StreamEnd | None:
        """The end that isn't this party's; None where it has no end here."""
        mine = self.end_of(party)
        if mine is None:
            return None
        return self.responder if mine is self.initiator else self.initiator

    def end_of(self, party: Party) -> StreamEnd | None:
        """The party's end; None where it has none."""
        found = [one for one in self.ends if (one.party.kind, one.party.key) == (party.kind, party.key)]
        return found[0] if found else None

    def over(self, stopped: str = "") -> None:
        """Nothing more comes: whoever waits for signals hears it, and why where the stream is to end."""
        self.is_over = True
        self.stopped = stopped
        for end in self.ends:
            end.has_news.set()
