"""What a function returned or raised in a task: read from the task's results, on its worker or as the coordinator has collected it."""

from __future__ import annotations

import json
from typing import Any

from opsconsole.ask import Requester, ask
from opsconsole.call import PICKLE_FILE, RESULT_BYTES_MAX, RESULT_FILE
from opsconsole.outcome import RECOVERABLE
from opsconsole_protocol.api import FilePartAnswer, ReadFilePart, TaskRow
from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import (
    InvalidRequest,
    JobFailedError,
    LimitExceeded,
    NotFound,
    ProtocolError,
    Unavailable,
)
from opsconsole_protocol.file_listing import PartQuery
from opsconsole_protocol.state import TaskState
from opsconsole_protocol.stream.message import FileRoot, RootKind

_LINE_CHARACTERS_MAX = 500


class TaskError(JobFailedError):
    """What a function raised in a task.

    `type`: the error's type, as `ValueError` or `package.module.Name`. `traceback`: the last lines of its traceback there, which
    are also a note of this error. Further as JobFailedError; `job` is the task's id.
    """

    def __init__(self, task: str, kind: str, text: str, traceback: str) -> None:
        line = " ".join(text.split())
        said = cut(f"{task} raised {kind}{': ' * bool(line)}{line}", _LINE_CHARACTERS_MAX)
        super().__init__(said, TaskState.FAILED, job=task, exit_code=1)
        self.type = kind
        self.traceback = traceback
        self.add_note(traceback)


async def read_result(requester: Requester, job_id: str, task: TaskRow, *, trust_pickle: bool = False) -> Any:
    """What the function of a task that has ended returned.

    Raises TaskError for what it raised, JobFailedError where the task didn't come to its end, InvalidRequest for a pickle that
    isn't trusted, NotFound where the task succeeded and left no result, and Unavailable where nobody who has it can be asked.
    """
    if task.state not in {TaskState.SUCCEEDED, TaskState.FAILED}:
        raise _failure(task)
    try:
        said = parse(task.id, await _read(requester, job_id, task, RESULT_FILE))
    except NotFound:
        if task.state == TaskState.FAILED:
            raise _failure(task) from None
        raise NotFound(
            f"{task.id} has left no result: only what a PythonFunction calls, and returns, leaves one"
        ) from None
    error = said.get("error")
    attempt = (error if isinstance(error, dict) else said).get("attempt")
    if task.attempt is not None and attempt != str(task.attempt):  # an earlier attempt has left it
        if task.state == TaskState.FAILED:
            raise _failure(task)
        raise Unavailable(f"the result of {task.id} isn't in its place yet: ask for it again")
    if isinstance(error, dict):
        kind, message, traceback = (str(error.get(name, "")) for name in ("type", "message", "traceback"))
        raise TaskError(task.id, kind, message, traceback)
    if task.state == TaskState.FAILED:
        raise _failure(task)
    if "value" in said:
        return said["value"]
    return await _unpickled(requester, job_id, task, str(said.get("pickle", ""))[:200], trust_pickle=trust_pickle)


async def _unpickled(requester: Requester, job_id: str, task: TaskRow, kind: str, *, trust_pickle: bool) -> Any:
    if not trust_pickle:
        raise InvalidRequest(
            f"{task.id} returned a {kind}, which JSON has no word for: to load the pickle runs what its worker put into it, so "
            f"give trust_pickle=True if you trust that worker, or return plain values"
        )
    import pickle

    data = await _read(requester, job_id, task, PICKLE_FILE)
    try:
        return pickle.loads(data)  # noqa: S301 - the caller trusts it
    except Exception as error:
        raise ProtocolError(f"the {kind} that {task.id} returned can't be loaded here: {error}") from error


def _failure(task: TaskRow) -> JobFailedError:
    why = f": {task.error or task.reason}" if task.error or task.reason else ""
    recoverable = task.state in RECOVERABLE
    return JobFailedError(
        f"{task.id} {task.state}{why}", task.state, recoverable=recoverable, job=task.id, exit_code=task.exit_code
    )


def parse(task: str, data: bytes) -> dict[str, Any]:
    """What the file of a task's result says. Raises ProtocolError."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the result of {task} can't be read: {cut(str(error), 200)}") from None
    if not isinstance(said, dict):
        raise ProtocolError(f"the result of {task} can't be read: its file {RESULT_FILE} is not as it was written")
    return said


async def _read(requester: Requester, job_id: str, task: TaskRow, name: str) -> bytes:
    """A file of a task's results. Raises NotFound, Unavailable, and LimitExceeded for one that is too large to be a result."""
    root = FileRoot(kind=RootKind.OUTPUT, job_id=job_id, task_index=task.index)
    data = bytearray()
    while True:
        query = PartQuery(root=root, path=name.encode(), offset=len(data))
        part = (await ask(requester, ReadFilePart(query=query), FilePartAnswer)).part
        data += part.data
        if len(data) > RESULT_BYTES_MAX + 4096:
            raise LimitExceeded(f"the result of {task.id} is too large to be one: bring {name} with `opsconsole get`")
        if not part.data or len(data) >= part.size:
            return bytes(data)
