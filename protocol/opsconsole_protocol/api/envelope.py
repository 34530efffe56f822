"""How requests, answers and updates travel: first a greeting both ways, then calls with a number and answers with the same number."""

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
    """The answer to the call of that number."""

    number: int
    answer: AnyAnswer


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """Why the call of that number was refused, or failed; `code` is an error's (`error.py`). `number` is 0 where no call could be read."""

    number: int
    code: str
    message: str


class Update(msgspec.Struct, frozen=True, tag="update", kw_only=True, omit_defaults=True):
    """The rows that changed since the update before, each as a whole: to fold one twice changes nothing."""

    seq: int
    workers: tuple[WorkerRow, ...] = ()
    workers_removed: tuple[str, ...] = ()
    jobs: tuple[JobRow, ...] = ()
    events: tuple[EventRow, ...] = ()


ClientMessage = Hello | Call
ServerMessage = Welcome | Answer | Failure | Update
