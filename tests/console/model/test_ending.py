"""How a job's end is explained, in its own words. Hard use, triage."""

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
    attempt = replace(task.attempts[0], **{"cause": EndCause.EXIT_CODE, "hint": "", **changes})
    task = replace(task, attempts=(attempt,), error=attempt.error, hint=attempt.hint, exit_code=attempt.exit_code)
    return replace(found, tasks=(task,))


def test_what_happened_what_to_do_and_where_is_said_in_words() -> None:
    changes = {"error": "exit code 1: ran out of GPU memory", "hint": "use a smaller batch", "exit_code": 1}
    happened, hint, where = ending_words(with_attempt(**changes))
    assert (happened, hint) == (changes["error"], changes["hint"])
    assert where.startswith("on gpu-d, after ")


def test_without_a_hint_there_is_none() -> None:
    words = ending_words(with_attempt(error="cancelled by ana", exit_code=None, signal=9, state="killed"))
    assert words[0] == "cancelled by ana"
    assert words[1].startswith("on gpu-d")


def test_of_many_tasks_those_that_failed_are_named() -> None:
    words = ending_words(detail("grid-ablation-with-a-rather-long-name"))
    assert words[-1] == "of 8 tasks 1 failed: task 0; 2 running; 5 pending"


def test_one_that_never_started_says_so() -> None:
    found = detail("train-lr2")
    task = replace(found.tasks[0], attempts=(), error="", hint="", state="unschedulable", exit_code=None)
    job = replace(found.job, state="unschedulable", reason="no worker could take it within 1h")
    assert ending_words(replace(found, job=job, tasks=(task,))) == [
        "no worker could take it within 1h", "it never started",
    ]  # fmt: skip
