"""The folders of a job's tasks, `task-N`, and what a pattern that counts from the job's folder means in one of them."""

import re
from collections.abc import Sequence

from opsconsole_protocol.content.glob import matches

_FIRST = re.compile(r"task-(\d+)\Z")
_FOLDER = re.compile(rb"task-(0|[1-9][0-9]{0,5})(?:/(.*))?", re.DOTALL)


def task_folder(index: int) -> bytes:
    """What a task's folder is called."""
    return f"task-{index}".encode()


def split_task_folder(path: bytes) -> tuple[int | None, bytes]:
    """The task in whose folder a path is, and the path below that; None and the path where it is in none."""
    found = _FOLDER.fullmatch(path)
    return (None, path) if found is None else (int(found[1]), found[2] or b"")


def task_patterns(patterns: Sequence[str], index: int) -> tuple[str, ...] | None:
    """Patterns as they count from one task's folder; None where none of them can match anything in it.

    A pattern counts from the job's folder, and from each task's.
    """
    own: list[str] = []
    for pattern in patterns:
        first, slash, rest = pattern.partition("/")
        if _FIRST.match(first) is None:
            own.append(pattern)
        if first != "**" and matches(first, task_folder(index)):
            own.append(rest if slash and rest else "**")
    return None if patterns and not own else tuple(dict.fromkeys(own))
