"""Hypothesis strategies for whatever travels, read off the types themselves."""

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from opsconsole_protocol import api, link

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)

AGENT_MESSAGES: tuple[type[msgspec.Struct], ...] = get_args(link.AgentMessage)
COORDINATOR_MESSAGES: tuple[type[msgspec.Struct], ...] = get_args(link.CoordinatorMessage)
CLIENT_MESSAGES: tuple[type[msgspec.Struct], ...] = get_args(api.ClientMessage)
SERVER_MESSAGES: tuple[type[msgspec.Struct], ...] = get_args(api.ServerMessage)
REQUESTS: tuple[type[msgspec.Struct], ...] = get_args(api.AnyRequest)
ANSWERS: tuple[type[msgspec.Struct], ...] = get_args(api.AnyAnswer)


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Valid values of a type that msgspec knows."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.Metadata(type=inner):
            return _of(inner)
        case inspect.UnionType(types=kinds):
            return st.one_of([_of(one) for one in kinds])
        case inspect.VarTupleType(item_type=item, min_length=least):
            return st.lists(_of(item), min_size=least or 0, max_size=max(least or 0, 2)).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*(_of(one) for one in items))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=2)
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _of(field.type) for field in fields})
        case _:
            return _plain(info)


def _plain(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.IntType(ge=low, le=high, lt=below):
            high = high if below is None else below - 1
            return st.integers(-(2**53) if low is None else low, 2**53 if high is None else high)
        case inspect.FloatType(ge=low, le=high):
            return st.floats(low, high, allow_nan=False)
        case inspect.StrType(pattern=None, min_length=least, max_length=most):
            return st.text(st.characters(codec="utf-8"), min_size=least or 0, max_size=min(12, most or 12))
        case inspect.StrType(pattern=pattern):
            return st.from_regex(str(pattern), fullmatch=True).filter(lambda text: text.isascii())
        case inspect.EnumType(cls=cls):
            return st.sampled_from(cls)
        case _:
            return {
                inspect.AnyType: PLAIN, inspect.NoneType: st.none(), inspect.BoolType: st.booleans(),
                inspect.BytesType: st.binary(max_size=12),
            }[type(info)]  # fmt: skip
