"""How calls, answers and updates travel: each with a number, the greeting first."""

import msgspec

from opsconsole_protocol.api.answer import AnyAnswer
from opsconsole_protocol.api.request import AnyRequest
from opsconsole_protocol.api.row import EventRow, JobRow, WorkerRow
from opsconsole_protocol.bound import Label, Signed, Whole


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The client's first message."""

    protocol: Signed
    client: Label


class Call(msgspec.Struct, frozen=True, tag="call"):
    """A request and its number, unique within the connection."""

    number: Whole
    request: AnyRequest


class Welcome(msgspec.Struct, frozen=True, tag="welcome", kw_only=True):
    """The coordinator's first message."""

    protocol: int
    coordinator: str
    version: str
    store_id: str
    role: str
    actor: str


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """What was asked for."""

    number: int
    answer: AnyAnswer


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """Why not. `number` is 0 where the call couldn't even be read."""

    number: int
    code: str
    message: str


class Update(msgspec.Struct, frozen=True, tag="update", kw_only=True, omit_defaults=True):
    """Rows that changed, whole, since the last update; folding it twice changes nothing."""

    seq: int
    workers: tuple[WorkerRow, ...] = ()
    workers_removed: tuple[str, ...] = ()
    jobs: tuple[JobRow, ...] = ()
    events: tuple[EventRow, ...] = ()


ClientMessage = Hello | Call
ServerMessage = Welcome | Answer | Failure | Update
