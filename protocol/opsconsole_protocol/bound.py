"""How long and how large what comes from outside may be: one set of limits, from the command line over the wire to a worker.

What the coordinator takes from an operator (`spec.py`, `api/request.py`) an agent takes from the coordinator (`link/`), since
both use these types. A *tree* is free-form: nested mappings and lists of plain values, limited as a whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Annotated, Any

from msgspec import Meta

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import CONTENT_ID_PATTERN, ContentId

ID_CHARACTERS_MAX = 128
NAME_CHARACTERS_MAX = 200
"""Of the name of a worker, a person, a job or a template, and of a tag."""
PROJECT_CHARACTERS_MAX = 100
TEXT_CHARACTERS_MAX = 2_000
"""Of an error, a reason or any other text for people."""
PATH_CHARACTERS_MAX = 4_096
COMMAND_BYTES_MAX = 128 * 1024
COMMAND_WORDS_MAX = 10_000
ENVIRONMENT_BYTES_MAX = 1024 * 1024
VARIABLES_MAX = 10_000
INPUTS_MAX = 1_000
CONTENTS_MAX = 10_000
"""Trees of files that one message names."""
PORTS_MAX = 100
PORT_NAME_CHARACTERS_MAX = 64
PORT_MAX = 65_535
TAGS_MAX = 100
GPUS_MAX = 256
"""Of one worker."""
GPU_USERS_MAX = 64
ATTEMPTS_MAX = 100_000
"""On one worker: attempts that live, and those whose end the coordinator hasn't confirmed."""
TREE_DEPTH_MAX = 16
TREE_BYTES_MAX = 16 * 1024
WHOLE_MAX = 1 << 53
"""Of a count, a duration in milliseconds, a place in a sequence: every reader of JSON can hold it, and the store."""
TIME_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, after which Python has no dates."""
TERMINAL_SIDE_MAX = 10_000
"""Columns and rows of a terminal."""

Id = Annotated[str, Meta(max_length=ID_CHARACTERS_MAX)]
BoundedContentId = Annotated[ContentId, Meta(pattern=CONTENT_ID_PATTERN, max_length=ID_CHARACTERS_MAX)]
Label = Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
Text = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]
Path = Annotated[str, Meta(max_length=PATH_CHARACTERS_MAX)]
Whole = Annotated[int, Meta(ge=0, le=WHOLE_MAX)]
Moment = Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]
Signed = Annotated[int, Meta(ge=-WHOLE_MAX, le=WHOLE_MAX)]
Tags = Annotated[tuple[Label, ...], Meta(max_length=TAGS_MAX)]
Word = Annotated[str, Meta(max_length=COMMAND_BYTES_MAX)]
Command = Annotated[tuple[Word, ...], Meta(max_length=COMMAND_WORDS_MAX)]
Environment = Annotated[
    dict[
        Annotated[str, Meta(max_length=ENVIRONMENT_BYTES_MAX)], Annotated[str, Meta(max_length=ENVIRONMENT_BYTES_MAX)]
    ],
    Meta(max_length=VARIABLES_MAX),
]
Inputs = Annotated[tuple[Path, ...], Meta(max_length=INPUTS_MAX)]
Side = Annotated[int, Meta(ge=0, le=TERMINAL_SIDE_MAX)]
Port = Annotated[int, Meta(ge=1, le=PORT_MAX)]
PortName = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]{0,63}$", max_length=PORT_NAME_CHARACTERS_MAX)]
Tree = Annotated[dict[Label, Any], Meta(max_length=TREE_BYTES_MAX)]
"""The type limits only its keys: whoever takes a tree in calls `check_tree`."""


def cut(text: str, characters: int = TEXT_CHARACTERS_MAX) -> str:
    """The text, or where it is too long its beginning and `…`."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def check_length(what: str, text: str, characters: int) -> None:
    """Raise InvalidRequest for a text that is too long."""
    if len(text) > characters:
        raise InvalidRequest(f"{what} {text[:40]!r}… has {len(text)} characters, at most {characters} are taken")


def check_count(what: str, items: Sequence[object] | Mapping[Any, object], count: int) -> None:
    """Raise InvalidRequest for a list that is too long."""
    if len(items) > count:
        raise InvalidRequest(f"{len(items)} {what} are too many: at most {count} are taken")


def check_tree(what: str, tree: object) -> None:
    """Raise InvalidRequest for a tree that is too deep or too large, or holds what isn't a plain value.

    A plain value is one that JSON knows; msgpack could also carry times, bytes and types of the sender's own.
    """
    room = TREE_BYTES_MAX
    level: list[object] = [tree]
    for _ in range(TREE_DEPTH_MAX):
        below: list[object] = []
        for value in level:
            room -= _size(what, value)
            if room < 0:
                raise InvalidRequest(f"{what} are larger than {TREE_BYTES_MAX // 1024} KiB: leave something out")
            below.extend(_children(what, value))
        if not below:
            return
        level = below
    raise InvalidRequest(f"{what} are nested more than {TREE_DEPTH_MAX} deep: flatten them")


def is_plain_number(value: int | float) -> bool:  # noqa: PYI041 - they are told apart
    """Whether JSON has a word for it that everybody reads: it is finite, and a whole one has 64 bits at most."""
    return isfinite(value) if isinstance(value, float) else -(1 << 63) <= value < 1 << 64


def _size(what: str, value: object) -> int:
    if isinstance(value, str):
        return 1 + len(value.encode("utf-8", "replace"))
    if value is None or isinstance(value, (bool, list, tuple, dict)):
        return 9
    if isinstance(value, float):
        if not is_plain_number(value):
            raise InvalidRequest(f"{what} hold {value}, which JSON has no word for: give a finite number, or a text")
        return 9
    if isinstance(value, int):
        if not is_plain_number(value):
            raise InvalidRequest(f"{what} hold a number of more than 64 bits: give a smaller one, or a text")
        return 9
    raise InvalidRequest(
        f"{what} hold a value of a kind that JSON has no word for ({type(value).__name__}): leave it out"
    )


def _children(what: str, value: object) -> Iterable[object]:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise InvalidRequest(f"{what} have a key that is no text: name everything by words")
        return (*value, *value.values())
    return value if isinstance(value, (list, tuple)) else ()
