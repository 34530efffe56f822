"""The rate of all relays together."""

from opsconsole_coordinator.transfer.rate import BURST_S, Rate


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_rate_nobody_waits() -> None:
    rate = Rate(0)
    assert rate.take(1 << 40) == 0


def test_over_time_no_more_passes_than_the_rate() -> None:
    clock = Clock()
    rate = Rate(1_000_000, clock)
    moved = 0
    while clock.now_s < 10:
        moved += 65_536
        clock.now_s += rate.take(65_536)
    assert 10_000_000 <= moved <= 10_000_000 * (1 + BURST_S / 10) + 2 * 65_536


def test_what_was_not_used_is_not_saved_up() -> None:
    clock = Clock()
    rate = Rate(1_000_000, clock)
    clock.now_s = 3_600
    assert rate.take(round(1_000_000 * BURST_S)) == 0
    assert rate.take(500_000) == 0.5
