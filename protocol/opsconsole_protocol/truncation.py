"""Cutting the texts and lists of a message to what its type takes, so that a long path or a busy host never makes it unreadable.

Only what people look at is cut. What must not be cut (ids, trees of properties) is refused where it comes from.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from opsconsole_protocol.bound import cut

S = TypeVar("S", bound=msgspec.Struct)
_Cut = Callable[[Any], Any]


def truncated(message: S) -> S:
    """The message with every text and list cut to the most that its type allows. Where nothing is too long, it is the object that was given."""
    changes: dict[str, Any] = {}
    for name, cut_value in _plan(type(message)):
        value = getattr(message, name)
        new = cut_value(value)
        if new is not value:
            changes[name] = new
    return msgspec.structs.replace(message, **changes) if changes else message


@cache
def _plan(kind: type[msgspec.Struct]) -> tuple[tuple[str, _Cut], ...]:
    info = inspect.type_info(kind)
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    found = ((field.name, _cut_of(field.type)) for field in fields)
    return tuple((name, cut_value) for name, cut_value in found if cut_value is not None)


def _cut_of(kind: inspect.Type) -> _Cut | None:
    match kind:
        case inspect.StrType(max_length=int(most)):
            return lambda text: cut(text, most)
        case inspect.VarTupleType(item_type=item, max_length=int(most)):
            inner = _cut_of(item)
            return lambda items: _cut_items(items[:most], inner)
        case inspect.StructType():
            return truncated
        case inspect.UnionType(types=types):
            cuts = [cut_value for cut_value in map(_cut_of, types) if cut_value is not None]
            return (lambda value: None if value is None else cuts[0](value)) if cuts else None
        case _:
            return None


def _cut_items(items: tuple[Any, ...], cut_value: _Cut | None) -> tuple[Any, ...]:
    new = items if cut_value is None else tuple(map(cut_value, items))
    return items if all(one is other for one, other in zip(items, new, strict=True)) else new
