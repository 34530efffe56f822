"""Messages made of rows that are encoded already: a row is encoded once, however many people are told of it.

An encoder takes a `msgspec.Raw` wherever a message wants a value. Such messages are good for nothing else.
"""

from collections.abc import Iterable
from typing import TypeVar, cast

import msgspec
from msgspec import Raw

from opsconsole_protocol import api

R = TypeVar("R", bound=api.Row)

_pack = msgspec.msgpack.Encoder().encode


def encode(value: msgspec.Struct) -> Raw:
    """The value, encoded."""
    return Raw(_pack(value))


def rows(encoded: Iterable[Raw], kind: type[R]) -> tuple[R, ...]:
    """Encoded rows of a kind, in the place of rows."""
    del kind
    return cast("tuple[R, ...]", tuple(encoded))


def answer(value: api.AnyAnswer) -> api.AnyAnswer:
    """The answer, encoded, in the place of an answer."""
    return cast("api.AnyAnswer", encode(value))
