"""What a job waits for of another: that it, one task of it, or for each task the same task of it ends in some way, or its results.

Written as `JOB`, `JOB/3` or `JOB:*`; results as `JOB` or `JOB:NAME`. JOB is an id, the start of one, or a name where jobs are
submitted together.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.input_name import check_input_name

_AFTER = re.compile(r"([^/:\s]+)(?:/(?:task-)?(0|[1-9][0-9]{0,8})|(:\*))?")
_TAKE = re.compile(r"([^/:\s]+)(?::(.+))?", re.DOTALL)
FOLDER = "the task's folder of inputs"


class End(StrEnum):
    """How what is waited for has to end. The values are the fields of a spec."""

    SUCCESS = "after"
    FAILURE = "after_failure"
    ANY = "after_any"
    RESULTS = "takes"
    """Well, and what it had collected has to be kept."""

    @property
    def option(self) -> str:
        """By which option it is asked for."""
        return "--take" if self is End.RESULTS else f"--{self.value.replace('_', '-')}"

    @property
    def words(self) -> str:
        """What stands before the job in a sentence: `after`, `after a failure of`."""
        return self.alone if self is End.SUCCESS else f"{self.alone} of"

    @property
    def alone(self) -> str:
        """The same where no job is named: `after`, `after a failure`."""
        return _ALONE[self]


_ALONE = {
    End.SUCCESS: "after",
    End.FAILURE: "after a failure",
    End.ANY: "after any end",
    End.RESULTS: "with the results",
}


class Dependency(NamedTuple):
    """One thing that a job waits for. `task_index`: of the task that is named; `each`: task i waits for task i of that job."""

    job: str
    end: End
    task_index: int | None = None
    each: bool = False
    name: str = ""
    """Of results: by which name the task finds them; empty: by the job's id."""

    @property
    def text(self) -> str:
        """As it is written in a spec."""
        if self.end is End.RESULTS:
            return f"{self.job}:{self.name}" if self.name else self.job
        if self.each:
            return f"{self.job}:*"
        return self.job if self.task_index is None else f"{self.job}/task-{self.task_index}"


def read_dependency(text: str, end: End) -> Dependency:
    """What was written after one of the options. Raises InvalidRequest."""
    if end is End.RESULTS:
        match = _TAKE.fullmatch(text)
        if match is None:
            raise InvalidRequest(f"--take {text[:60]!r}: write JOB or JOB:NAME")
        if match[2] is not None:
            try:
                check_input_name(match[2], FOLDER)
            except InvalidRequest as error:
                raise InvalidRequest(f"--take: {error.message}") from None
        return Dependency(match[1], end, name=match[2] or "")
    match = _AFTER.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"{end.option} {text[:60]!r}: write JOB, JOB/3 for its task 3, or JOB:* for task by task")
    return Dependency(match[1], end, int(match[2]) if match[2] else None, each=bool(match[3]))


def renamed(text: str, end: End, rename: Callable[[str], str], *, keep_name: bool = False) -> str:
    """The same of the job that `rename` gives for its job; results keep the name that they had by it. Raises InvalidRequest."""
    one = read_dependency(text, end)
    name = one.name or one.job if keep_name and end is End.RESULTS else one.name
    return one._replace(job=rename(one.job), name=name).text
