"""What a transfer is called: by what travels, and from where or to where. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from opsconsole_protocol.content.glob import as_shown
from opsconsole_protocol.stream.message import FileRoot, RootKind

_BRACKETED = re.compile(r"\[([*?[])\]")
_FOLDERS = {RootKind.WORK: " (working folder)", RootKind.INPUT: " (inputs)"}


def names(things: Sequence[str]) -> str:
    """`model.pt`, or `model.pt and 2 more`; empty where there are none."""
    return f"{things[0]}{f' and {len(things) - 1:,} more' if len(things) > 1 else ''}" if things else ""


def of_patterns(patterns: Sequence[str]) -> str:
    """What patterns are about: those that `literal` made are the names that they match."""
    return names([as_shown(_BRACKETED.sub(r"\1", pattern)) for pattern in patterns])


def place(worker: str, root: FileRoot, below: bytes) -> str:
    """`alpha:lab/run7`, or of a job's folders `42f0k9x2mq/task-3:models`."""
    folder = below.decode("utf-8", "replace")
    if root.kind is RootKind.MOUNT:
        return f"{worker}:{root.mount}{f'/{folder}' if folder else ''}"
    task = "" if root.task_index is None else f"/task-{root.task_index}"
    return f"{root.job_id}{task}{f':{folder}' if folder else ''}{_FOLDERS.get(root.kind, '')}"
