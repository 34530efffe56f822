"""Calls that can be given up on."""

import threading

import pytest

from opsconsole_agent.probe.timed_call import TimedCall
from tests.waiting import until_sync


def test_results_and_errors_come_through() -> None:
    assert TimedCall(lambda: 42, timeout_s=10).call() == 42

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        TimedCall(fail, timeout_s=10).call()


def test_a_call_that_hangs_is_not_started_twice_and_its_late_result_is_dropped() -> None:
    release = threading.Event()
    calls: list[int] = []

    def hang() -> int:
        calls.append(len(calls))
        release.wait(30)
        return len(calls)

    call = TimedCall(hang, timeout_s=0.05)
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        call.call()
    with pytest.raises(TimeoutError):
        call.call()
    assert calls == [0]
    release.set()

    def answered() -> int | None:
        try:
            return call.call()
        except TimeoutError:
            return None

    until_sync(lambda: answered() == 2, what="a fresh result")
