"""The throttle: bounded failures per address, bounded memory, nobody shut out for ever."""

from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.trust.throttle import Throttle


def test_a_burst_then_a_trickle() -> None:
    throttle = Throttle(burst=3, refill_ms=1_000)
    for _ in range(2):
        throttle.failed("10.0.0.1", 0)
        assert throttle.wait_ms("10.0.0.1", 0) == 0
    throttle.failed("10.0.0.1", 0)
    assert throttle.wait_ms("10.0.0.1", 0) == 1_000
    assert throttle.wait_ms("10.0.0.1", 999) == 1
    assert throttle.wait_ms("10.0.0.1", 1_000) == 0
    throttle.failed("10.0.0.1", 1_000)
    assert throttle.wait_ms("10.0.0.1", 1_000) == 1_000
    assert throttle.wait_ms("10.0.0.2", 1_000) == 0


@given(st.integers(1, 5), st.lists(st.integers(0, 3_000), max_size=60))
def test_never_more_failures_than_the_burst_and_what_time_allows(burst: int, pauses: list[int]) -> None:
    throttle, now_ms, failures = Throttle(burst=burst, refill_ms=1_000), 0, 0
    for pause_ms in pauses:
        now_ms += pause_ms
        if throttle.wait_ms("10.0.0.1", now_ms) == 0:
            throttle.failed("10.0.0.1", now_ms)
            failures += 1
        assert failures <= burst + now_ms / 1_000
    assert throttle.wait_ms("10.0.0.1", now_ms) <= 1_000


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    throttle = Throttle(burst=1, addresses_max=100)
    for number in range(1_000):
        throttle.failed(f"10.0.{number // 250}.{number % 250}", 0)
    assert len(throttle) == 100
    assert throttle.wait_ms("10.0.0.0", 0) == 0
    assert throttle.wait_ms("10.0.3.249", 0) > 0


def test_an_address_is_a_host_not_a_spelling() -> None:
    throttle = Throttle(burst=1)
    throttle.failed("2001:db8::1", 0)
    assert throttle.wait_ms("2001:db8:0:0:ffff::2", 0) > 0
    assert throttle.wait_ms("2001:db8:0:1::1", 0) == 0
    throttle.failed("::ffff:10.0.0.1", 0)
    assert throttle.wait_ms("10.0.0.1", 0) > 0
    throttle.failed("odd", 0)
    assert throttle.wait_ms("odd", 0) > 0


def test_loopback_is_shared_and_never_blocked() -> None:
    throttle = Throttle(burst=1)
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        throttle.failed(address, 0)
        assert throttle.wait_ms(address, 0) == 0
    assert len(throttle) == 0
