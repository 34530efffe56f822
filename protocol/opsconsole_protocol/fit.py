"""Cutting what a message says to what its type takes, so that a long path or a busy host never makes it unreadable.

For texts and lists that people look at. What must not be cut (ids, trees of properties) is refused where it comes from.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from opsconsole_protocol.bound import cut

S = TypeVar("S", bound=msgspec.Struct)
_Cut = Callable[[Any], Any]


def fitted(message: S) -> S:
    """The message, with every text and list in it as long as its type allows at most."""
    changes: dict[str, Any] = {}
    for name, fit in _plan(type(message)):
        value = getattr(message, name)
        new = fit(value)
        if new is not value:
            changes[name] = new
    return msgspec.structs.replace(message, **changes) if changes else message


@cache
def _plan(kind: type[msgspec.Struct]) -> tuple[tuple[str, _Cut], ...]:
    info = inspect.type_info(kind)
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    found = ((field.name, _fit_of(field.type)) for field in fields)
    return tuple((name, fit) for name, fit in found if fit is not None)


def _fit_of(kind: inspect.Type) -> _Cut | None:
    match kind:
        case inspect.StrType(max_length=int(most)):
            return lambda text: cut(text, most)
        case inspect.VarTupleType(item_type=item, max_length=int(most)):
            inner = _fit_of(item)
            return lambda items: _items(items[:most], inner)
        case inspect.StructType():
            return fitted
        case inspect.UnionType(types=types):
            fits = [fit for fit in map(_fit_of, types) if fit is not None]
            return (lambda value: None if value is None else fits[0](value)) if fits else None
        case _:
            return None


def _items(items: tuple[Any, ...], fit: _Cut | None) -> tuple[Any, ...]:
    new = items if fit is None else tuple(map(fit, items))
    return items if all(one is other for one, other in zip(items, new, strict=True)) else new
