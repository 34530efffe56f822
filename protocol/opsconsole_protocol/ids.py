"""Identities. Each is a string on the wire and a type of its own in the code."""

import re
from typing import NamedTuple, NewType

from opsconsole_protocol.error import InvalidRequest

JobId = NewType("JobId", str)
TaskId = NewType("TaskId", str)
AttemptId = NewType("AttemptId", str)
WorkerId = NewType("WorkerId", str)
ContentId = NewType("ContentId", str)
"""The id of a tree of files: the BLAKE3 hash of its manifest, in 64 hexadecimal digits."""
SessionId = NewType("SessionId", int)
"""One connection of one agent; a later connection of that worker has a higher number."""

CONTENT_ID_PATTERN = "^[0-9a-f]{64}$"
_CONTENT_ID = re.compile(CONTENT_ID_PATTERN)

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, without i, l, o and u: nobody mistakes 1 for l or 0 for o in an id."""

JOB_ID_LENGTH = 10
_JOB_ID = re.compile(f"[{ALPHABET}]{{{JOB_ID_LENGTH}}}")
_ATTEMPT_ID = re.compile(r"([0-9a-z]+)\.([0-9]{1,9})\.([0-9]{1,9})\.[0-9a-z]+", re.ASCII)
_INDEX = "(0|[1-9][0-9]{0,8})"
_TASK_ID = re.compile(rf"([{ALPHABET}]{{1,{JOB_ID_LENGTH}}})/(?:task-)?{_INDEX}")
_TASK_RANGE = re.compile(rf"(?:tasks?-)?{_INDEX}(?:-{_INDEX})?")


def spell(number: int, length: int) -> str:
    """Write the lowest `5 * length` bits of `number` in the alphabet."""
    return "".join(ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(length)))


def job_id(random_bits: int) -> JobId:
    """Make a job id from at least 50 random bits: unique across coordinators for all practical purposes."""
    return JobId(spell(random_bits, JOB_ID_LENGTH))


def check_job_id(text: str) -> JobId:
    """Return `text` as a whole job id or raise InvalidRequest."""
    if _JOB_ID.fullmatch(text) is None:
        raise InvalidRequest(f"{text[:40]!r} is not a job id: {JOB_ID_LENGTH} characters of {ALPHABET} are expected")
    return JobId(text)


def task_id(job: JobId, index: int) -> TaskId:
    """The id of a task: `{job_id}/task-{index}`."""
    return TaskId(f"{job}/task-{index}")


def split_task_id(text: str) -> tuple[str, int | None]:
    """Split `JOB`, `JOB/task-N` or `JOB/N`, where JOB may be a prefix, into JOB and N or None. Raises InvalidRequest for a bad task id."""
    if "/" not in text:
        return text, None
    match = _TASK_ID.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"{text[:60]!r} is neither a job id nor a task id of the form JOB/task-N")
    return match[1], int(match[2])


def task_range(text: str) -> tuple[int, int] | None:
    """The first and the last index in `3`, `task-3` or `3-7`; None where it is none. Raises InvalidRequest for `7-3`."""
    match = _TASK_RANGE.fullmatch(text)
    if match is None:
        return None
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise InvalidRequest(f"{text[:40]}: the first task of a range comes before the last one")
    return first, last


def attempt_id(job: JobId, index: int, attempt: int, random_bits: int) -> AttemptId:
    """The id of an attempt: `{job_id}.{index}.{attempt}.{4 random characters}`.

    It is a valid file name, and unique even where a restored backup gives the number of an attempt once more.
    """
    return AttemptId(f"{job}.{index}.{attempt}.{spell(random_bits, 4)}")


class AttemptParts(NamedTuple):
    """What an attempt's id says of it. `number` counts within the task."""

    job_id: JobId
    task_index: int
    number: int


def split_attempt_id(text: str) -> AttemptParts:
    """What an attempt's id says. Raises InvalidRequest for what is none."""
    match = _ATTEMPT_ID.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"{text[:60]!r} is not the id of an attempt: JOB.TASK.NUMBER.CHARACTERS is expected")
    return AttemptParts(JobId(match[1]), int(match[2]), int(match[3]))


def check_content_id(text: str) -> ContentId:
    """Return `text` as the id of a tree, or raise InvalidRequest."""
    if _CONTENT_ID.fullmatch(text) is None:
        raise InvalidRequest(f"{text[:80]!r} is not the hash of a tree: 64 hexadecimal digits are expected")
    return ContentId(text)
