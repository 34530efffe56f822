"""Out of memory, or not, or not to be told."""

import signal

import pytest

from opsconsole_agent.keeper.oom import WINDOW_S, OomCounter

KILLED = int(signal.SIGKILL)
PASSED_ON = (128 + signal.SIGKILL) << 8
FAILED = 1 << 8


class Kernel(OomCounter):
    """One that says what the test wants."""

    def __init__(self, count: int | None) -> None:
        super().__init__()
        self.count = count

    def read(self, now_s: float) -> int | None:  # noqa: ARG002
        return self.count


@pytest.mark.parametrize(
    ("status", "before", "now", "verdict"),
    [
        (0, 3, 4, False),
        (KILLED, 3, 3, False),
        (KILLED, 3, 4, True),
        (PASSED_ON, 3, 4, True),
        (FAILED, 3, 3, False),
        (FAILED, 3, 4, None),
        (KILLED, None, 4, None),
        (KILLED, 3, None, None),
        (None, 3, 4, None),
    ],
)
def test_the_verdict(status: int | None, before: int | None, now: int | None, verdict: bool | None) -> None:
    assert Kernel(now).was_killed(status, before, 0.0) is verdict


def test_a_kill_of_long_ago_has_nothing_to_do_with_an_end_of_now() -> None:
    kernel = Kernel(3)
    kernel.update(0.0)
    kernel.count = 4  # another one's
    kernel.update(WINDOW_S - 1)
    assert kernel.was_killed(KILLED, 3, WINDOW_S - 1) is True
    kernel.update(WINDOW_S)
    assert kernel.was_killed(KILLED, 3, WINDOW_S) is True, "it may have been this one's"
    kernel.update(2 * WINDOW_S)
    assert kernel.was_killed(KILLED, 3, 2 * WINDOW_S) is False
    kernel.count = 5
    assert kernel.was_killed(KILLED, 3, 2 * WINDOW_S) is True


def test_the_kernel_is_asked_once_a_second() -> None:
    counter = OomCounter()
    first = counter.recent(100.0)
    counter._count = 12345
    assert counter.recent(100.5) == 12345
    assert counter.recent(101.5) == first
