"""Messages made of rows that are encoded already: a row is encoded once, however many people are told of it.

An encoder takes a `msgspec.Raw` in the place of any value. Messages with such values can only be encoded.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

import msgspec
from msgspec import Raw

from opsconsole_coordinator.store.query import EncodedRow
from opsconsole_protocol import api
from opsconsole_protocol.ids import JobId

R = TypeVar("R", bound=api.Row)

_pack = msgspec.msgpack.Encoder().encode


def encode(value: msgspec.Struct) -> Raw:
    """The value, encoded."""
    return Raw(_pack(value))


def rows(encoded: Iterable[Raw], kind: type[R]) -> tuple[R, ...]:
    """Encoded rows of a kind, in the place of rows."""
    del kind
    return cast("tuple[R, ...]", tuple(encoded))


def job_rows(stored: Iterable[EncodedRow], shown: Mapping[JobId, api.JobRow]) -> tuple[api.JobRow, ...]:
    """Stored rows of jobs in the place of rows. Where a later row is shown already, it is that one."""
    later = ((shown.get(row.job_id), row.data) for row in stored)
    return rows((encode(row) if row is not None else data for row, data in later), api.JobRow)


def answer(value: api.AnyAnswer) -> api.AnyAnswer:
    """The answer, encoded, in the place of an answer."""
    return cast("api.AnyAnswer", encode(value))
