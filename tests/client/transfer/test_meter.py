"""Rates and the time that is left."""

from opsconsole.transfer.meter import WINDOW_S, Meter


def test_little_is_known_at_first() -> None:
    meter = Meter()
    assert (meter.rate_bytes_s, meter.left_ms(10)) == (None, None)
    meter.count(0, 0.0)
    meter.count(10, 0.1)
    assert (meter.rate_bytes_s, meter.left_ms(10), meter.left_ms(0)) == (None, None, 0)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = Meter()
    for step in range(101):
        meter.count(step * 100, step * 0.1)
    assert round(meter.rate_bytes_s or 0) == 1_000
    assert meter.left_ms(5_000) == 5_000
    for step in range(101):
        meter.count(10_000 + step, 10 + step * 0.1)
    assert round(meter.rate_bytes_s or 0) == 10


def test_a_line_that_stands_still_has_no_end() -> None:
    meter = Meter()
    meter.count(50, 0.0)
    meter.count(50, 2 * WINDOW_S)
    assert (meter.rate_bytes_s, meter.left_ms(1)) == (0, None)
