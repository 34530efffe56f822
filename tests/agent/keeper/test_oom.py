"""Out of memory, or not, or not to be told."""

import signal

import pytest

from opsconsole_agent.keeper.oom import OomCounter

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
    assert Kernel(now).verdict(status, before, 0.0) is verdict


def test_the_kernel_is_asked_once_a_second() -> None:
    counter = OomCounter()
    first = counter.recent(100.0)
    counter._count = 12345
    assert counter.recent(100.5) == 12345
    assert counter.recent(101.5) == first
