"""What jobs have in common that differ in their command, name and environment only: one object for all of them.

A hundred thousand jobs may wait, and most of them are like others. Of each only its own part is kept, encoded; its whole spec
is put together when somebody asks for it.
"""

from functools import lru_cache
from typing import Annotated
from weakref import WeakValueDictionary

import msgspec
from msgspec import Meta

from opsconsole_protocol import requirement
from opsconsole_protocol.bound import COMMAND_WORDS_MAX, NAME_CHARACTERS_MAX, VARIABLES_MAX
from opsconsole_protocol.dependency import Dependency
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.requirement import Requirement
from opsconsole_protocol.spec import JobSpec, check_bounds, check_own, check_spec

SPLIT_BYTES_MAX = 4_096
"""A longer spec is kept whole: what is its own is most of it."""
SPECS_PUT_TOGETHER = 1_024
"""How many whole specs are kept for the next one who asks."""

_OWN = frozenset({"command", "name", "environment"})
_COMMAND_KEY, _NAME_KEY = b"\xa7command", b"\xa4name"
_HEADER_BYTES_MAX = 5
"""Of a mapping, the bytes before its first key: a spec's command comes first."""
_NO_COMMAND = msgspec.Raw(b"\x91\xa0")  # one empty word

_Own = tuple[
    Annotated[tuple[str, ...], Meta(min_length=1, max_length=COMMAND_WORDS_MAX)],
    Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)],
    dict[str, str],
]
_pack = msgspec.msgpack.Encoder().encode
_spec = msgspec.msgpack.Decoder(JobSpec)
_own = msgspec.msgpack.Decoder(_Own)
_parts = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_NONE = msgspec.Raw(b"\xc0")
_EMPTY_NAME, _EMPTY_ENVIRONMENT = msgspec.Raw(b"\xa0"), msgspec.Raw(b"\x80")


class _Head(msgspec.Struct):
    """Of an encoded spec what is its own, and what says that it is kept whole."""

    command: msgspec.Raw
    name: msgspec.Raw = _EMPTY_NAME
    environment: msgspec.Raw = _EMPTY_ENVIRONMENT
    parameters: msgspec.Raw = _NONE
    task_commands: msgspec.Raw = _NONE


_head = msgspec.msgpack.Decoder(_Head)


class Terms(msgspec.Struct, frozen=True, eq=False, weakref=True):
    """A spec, and what follows from it. Of a job with a part of its own, that part isn't in it."""

    spec: JobSpec
    requirements: tuple[Requirement, ...]
    dependencies: tuple[Dependency, ...]
    fault: str
    """Why the spec, which was accepted once, can't be used; empty where it can."""
    is_plain: bool = False
    """Whether a job that waits with it waits for nothing but a worker, for any time, and brings nothing along."""


_known: WeakValueDictionary[bytes, Terms] = WeakValueDictionary()
_recent: dict[bytes, Terms] = {}
"""Some of those, which are found faster."""
_RECENT_MAX = 256


def terms_of(spec: JobSpec) -> Terms:
    """The terms of a spec that is kept whole."""
    try:
        check_bounds(spec)
        return Terms(spec, requirement.parse_all(spec.requirements), spec.dependencies, "", _is_plain(spec))
    except InvalidRequest as error:
        return Terms(spec, (), (), f"can't be placed: {error}. Cancel it and submit it anew")


def _is_plain(spec: JobSpec) -> bool:
    limits = (spec.job_timeout_ms, spec.scheduling_timeout_ms, spec.max_parallel, spec.bundle)
    return not (spec.names_jobs or spec.uploads or spec.gang) and all(one is None for one in limits)


def split_spec(spec: JobSpec) -> tuple[Terms, bytes]:
    """As `split`, for a spec that comes in."""
    return split(_pack(spec))


def split(data: bytes) -> tuple[Terms, bytes]:
    """The terms of an encoded spec, which others may share, and its own part: empty where the terms are the whole spec.

    Raises what msgspec raises for what is no spec.
    """
    if len(data) > SPLIT_BYTES_MAX:
        return terms_of(_spec.decode(data)), b""
    head = _head.decode(data)
    if head.parameters is not _NONE or head.task_commands is not _NONE:
        return terms_of(_spec.decode(data)), b""
    own = b"".join((b"\x93", head.command, head.name, head.environment))
    if len(_own.decode(own)[2]) > VARIABLES_MAX:
        return terms_of(_spec.decode(data)), b""
    part = b"".join((_COMMAND_KEY, head.command))
    if head.name is not _EMPTY_NAME:
        part = b"".join((part, _NAME_KEY, head.name))
    at = data.find(part)
    if head.environment is not _EMPTY_ENVIRONMENT or not 0 <= at <= _HEADER_BYTES_MAX:
        key = _rest(data)
    else:
        key = data[:at] + data[at + len(part) :]
    terms = _recent.get(key)
    if terms is None:
        terms = _known.get(key)
        if terms is None:
            terms = _known[key] = terms_of(_spec.decode(_rest(data, command=_NO_COMMAND)))
        if len(_recent) >= _RECENT_MAX:
            _recent.clear()
        _recent[key] = terms
    return terms, own


def _rest(data: bytes, **more: msgspec.Raw) -> bytes:
    """An encoded spec without its own part."""
    parts = _parts.decode(data)
    return _pack({key: value for key, value in parts.items() if key not in _OWN} | more)


def check_split(terms: Terms, own: bytes) -> None:
    """Check a spec that comes in, in its parts. Raises InvalidRequest."""
    if not own:
        check_spec(terms.spec)
        return
    command, _, environment = _own.decode(own)
    check_own(command, environment)
    _check_shared(terms)


@lru_cache(maxsize=256)
def _check_shared(terms: Terms) -> None:
    check_spec(msgspec.structs.replace(terms.spec, command=("-",)))


@lru_cache(maxsize=SPECS_PUT_TOGETHER)
def whole(terms: Terms, own: bytes) -> JobSpec:
    """The spec whose own part is `own`."""
    command, name, environment = _own.decode(own)
    return msgspec.structs.replace(terms.spec, command=command, name=name, environment=environment)
