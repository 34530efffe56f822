"""Ends in words."""

from typing import Any

import pytest

from opsconsole_agent.core.ending import PORT_TAKEN_WITHIN_MS, ending, leftover_words
from opsconsole_agent.core.event import AttemptExited
from opsconsole_agent.core.intent import Stop, StopCause
from opsconsole_agent.failure.explanation import signal_words
from opsconsole_agent.failure.last_lines import Printed, Tail
from opsconsole_protocol.ids import AttemptId


def exited(**fields: Any) -> AttemptExited:
    """An exit at 100 ms."""
    return AttemptExited(attempt_id=AttemptId("a"), at_ms=100, **fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"exit_code": 0}, ("succeeded", 0, "", "")),
        ({"exit_code": 3}, ("failed", 3, "exit code 3", "exit_code")),
        ({"signal": 9}, ("failed", None, "killed by signal 9 (SIGKILL)", "killed_by_signal")),
        ({"signal": 11}, ("failed", None, "killed by signal 11 (SIGSEGV)", "killed_by_signal")),
        ({"signal": 9, "out_of_memory": True}, ("failed", None, "killed by the kernel: out of memory", "out_of_memory")),
        ({"error": "command not found: foo", "cause": "command_not_found"}, ("failed", 127, "command not found: foo", "command_not_found")),
        ({"error": "permission denied: ./x is not executable", "cause": "permission_denied"}, ("failed", 126, "permission denied: ./x is not executable", "permission_denied")),
        ({"error": "working folder not found: /x"}, ("failed", None, "working folder not found: /x", "not_started")),
        ({"exit_known": False}, ("failed", None, "exit code unknown: nobody saw how it ended; its last lines may be missing", "exit_unknown")),
        ({"exit_known": False, "error": "the host restarted"}, ("failed", None, "exit code unknown: the host restarted; its last lines may be missing", "exit_unknown")),
        ({"exit_code": 1, "all_gone": False}, ("failed", 1, "exit code 1; some of its processes could not be killed", "exit_code")),
    ],
)  # fmt: skip
def test_every_end_has_a_state_a_code_and_words(
    fields: dict[str, Any], expected: tuple[str, int | None, str, str]
) -> None:
    assert ending(exited(**fields), None)[:4] == expected


@pytest.mark.parametrize(
    "tail",
    [
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n",
        "RuntimeError: CUDA error: out of memory",
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate",
    ],
)
def test_a_gpu_that_ran_out_of_memory_is_recognised(tail: str) -> None:
    printed = Printed(Tail(tail.encode()))
    end = ending(exited(exit_code=1), None, printed)
    assert end.error.startswith("exit code 1: ran out of GPU memory")
    assert (end.cause, end.hint.partition(",")[0]) == ("gpu_out_of_memory", "use a smaller batch")
    assert ending(exited(exit_code=0), None, printed).error == ""


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"exit_code": 127}, "wasn't found"),
        ({"exit_code": 137}, "want of memory"),
        ({"exit_code": 85}, "checkpoint"),
        ({"exit_code": 1}, ""),
        ({"signal": 11}, "memory that isn't its own"),
        ({"signal": 9, "out_of_memory": True}, "--memory"),
        ({"error": "it won't start", "cause": "command_not_found"}, "whole path"),
        ({"error": "it won't start", "cause": "permission_denied"}, "chmod +x"),
        ({"exit_code": 0}, ""),
    ],
)
def test_what_a_bare_number_means_is_the_hint(fields: dict[str, Any], hint: str) -> None:
    told = ending(exited(**fields), None).hint
    assert hint in told
    assert bool(hint) == bool(told)


def test_who_cancelled_is_no_riddle() -> None:
    assert ending(exited(signal=9), Stop(StopCause.WANTED, "cancelled by ana", 50, 5_000)).hint == ""


def test_what_it_said_comes_before_what_its_number_means() -> None:
    printed = Printed(Tail(b"usage: t.py [-h]\nt.py: error: unrecognized arguments: --lr\n"))
    end = ending(exited(exit_code=2), None, printed)
    assert end.error == "exit code 2: t.py: error: unrecognized arguments: --lr"
    assert "clone" in end.hint


@pytest.mark.parametrize(
    ("cause", "state", "told"),
    [
        (StopCause.WANTED, "killed", "cancelled"),
        (StopCause.TIMEOUT, "failed", "timed_out"),
        (StopCause.FENCE, "worker_failed", "fenced"),
    ],
)
def test_an_end_that_we_made_says_why(cause: StopCause, state: str, told: str) -> None:
    made = ending(exited(exit_code=0), Stop(cause, "because", 100, 5_000))
    assert (made.state, made.error, made.cause, made.stopped) == (state, "because", told, True)
    natural = ending(exited(exit_code=0), Stop(cause, "because", 101, 5_000))
    assert (natural.state, natural.stopped) == ("succeeded", False)


def test_an_out_of_memory_kill_is_not_taken_for_a_user_s_when_it_came_first() -> None:
    stop = Stop(StopCause.WANTED, "cancelled by ana", 101, 5_000)
    assert ending(exited(signal=9, out_of_memory=True), stop).error == "killed by the kernel: out of memory"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"leftovers": 1, "outlived": ("7 sleep",)}, "1 process outlived its parent and was ended: 7 sleep"),
        (
            {"leftovers": 7, "outlived": ("1 a", "2 b")},
            "7 processes outlived their parent and were ended: 1 a, 2 b, …",
        ),
        ({"leftovers": 2}, "2 processes outlived their parent and were ended"),
    ],
)
def test_who_outlived_its_parent_is_told_with_a_good_end_and_a_bad_one(fields: dict[str, Any], words: str) -> None:
    """It was ended without a word (hard use 30)."""
    assert leftover_words(exited(exit_code=0, **fields), None) == words
    assert ending(exited(exit_code=0, **fields), None).error == ""
    assert ending(exited(exit_code=2, **fields), None).error == f"exit code 2; {words}"
    cancelled = Stop(StopCause.WANTED, "cancelled by ana", 50, 5_000)
    assert leftover_words(exited(exit_code=0, **fields), cancelled) == "", "all of them were to end"


def test_what_cannot_be_known_is_said() -> None:
    """`succeeded`, while a process of it may live on (hard use 50)."""
    assert "may be of this task lives on" in leftover_words(exited(exit_code=0, all_gone=False), None)


def test_a_signal_without_a_name_is_a_number() -> None:
    assert signal_words(40).startswith("signal 40")
    assert signal_words(200) == "signal 200"


def test_a_failure_for_want_of_its_port_is_nobodys() -> None:
    """Hard use 43."""
    taken = exited(exit_code=1, started_at_ms=50, taken_port=31_000)
    end = ending(taken, None)
    assert (end.state, end.exit_code, end.cause) == ("worker_failed", 1, "port_taken")
    assert end.error == "port 31000 was taken by another program: it is tried again with others"
    late = exited(exit_code=1, started_at_ms=100 - PORT_TAKEN_WITHIN_MS - 1, taken_port=31_000)
    assert ending(late, None).state == "failed", "it had its port"


def test_a_failure_on_a_full_disk_is_of_the_disk_and_a_lost_host_is_of_the_host() -> None:
    full = ending(exited(exit_code=1), None, full_disk="/state")
    assert (full.cause, full.worker_fault, full.hint) == ("disk_full", True, "make room in /state")
    lost = ending(exited(exit_known=False, error="the host restarted", host_restarted=True), None)
    assert (lost.state, lost.cause) == ("worker_failed", "host_restarted")
