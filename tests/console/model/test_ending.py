"""How a job's end is explained, by its cause, its exit code or its signal. Hard use, triage."""

import pytest
from msgspec.structs import replace

from opsconsole_console.model.ending import ending_words
from opsconsole_protocol.api import JobDetail
from opsconsole_protocol.end_cause import EndCause
from tests.console.app import recorded


def detail(name: str) -> JobDetail:
    return replace(recorded.DETAILS[name], events=())


def with_attempt(**changes: object) -> JobDetail:
    """A job of one task whose only attempt ended so."""
    found = detail("train-lr2")
    task = found.tasks[0]
    attempt = replace(task.attempts[0], **{"cause": EndCause.EXIT_CODE, **changes})
    task = replace(task, attempts=(attempt,), error=attempt.error, exit_code=attempt.exit_code)
    return replace(found, tasks=(task,))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"error": "exit code 127", "exit_code": 127}, "wasn't found on that worker"),
        ({"error": "exit code 137", "exit_code": 137}, "want of memory"),
        ({"error": "killed by SIGSEGV", "exit_code": None, "signal": 11}, "memory that isn't its own"),
        ({"error": "killed by the kernel: out of memory", "exit_code": None, "signal": 9}, "out of memory"),
        ({"error": "gpu-e was lost for 5m", "exit_code": None, "state": "worker_failed"}, "gpu-e was lost"),
        ({"error": "cancelled by ana", "exit_code": None, "signal": 9, "state": "killed"}, "cancelled by ana"),
    ],
)
def test_what_happened_is_said_in_words(changes: dict[str, object], said: str) -> None:
    words = ending_words(with_attempt(**changes))
    assert words[0] == changes["error"]
    assert said in " ".join(words)
    assert "on gpu-d, after " in " ".join(words)


def test_who_cancelled_is_no_riddle() -> None:
    words = ending_words(with_attempt(error="cancelled by ana", exit_code=None, signal=9, state="killed"))
    assert not [text for text in words if "nobody here sent it" in text]


@pytest.mark.parametrize(
    "cause", [EndCause.OUT_OF_MEMORY, EndCause.TIMED_OUT, EndCause.DISK_FULL, "of_a_newer_version"]
)
def test_a_signal_that_has_a_cause_is_no_riddle_either(cause: str) -> None:
    words = ending_words(with_attempt(error="it ended", exit_code=None, signal=9, cause=cause))
    assert not [text for text in words if "nobody here sent it" in text]


@pytest.mark.parametrize(
    ("cause", "said"),
    [(EndCause.COMMAND_NOT_FOUND, "wasn't found on that worker"), (EndCause.PERMISSION_DENIED, "is it executable?")],
)
def test_a_command_that_can_t_be_started_is_explained_by_its_cause(cause: str, said: str) -> None:
    assert said in " ".join(ending_words(with_attempt(error="it won't start", exit_code=None, cause=cause)))


def test_of_many_tasks_those_that_failed_are_named() -> None:
    words = ending_words(detail("grid-ablation-with-a-rather-long-name"))
    assert words[-1] == "of 8 tasks 1 failed: task 0; 2 running; 5 pending"


def test_one_that_never_started_says_so() -> None:
    found = detail("train-lr2")
    task = replace(found.tasks[0], attempts=(), error="", state="unschedulable", exit_code=None)
    job = replace(found.job, state="unschedulable", reason="no worker could take it within 1h")
    assert ending_words(replace(found, job=job, tasks=(task,))) == [
        "no worker could take it within 1h", "it never started",
    ]  # fmt: skip
