"""What the console does with the signals that stop and continue it (the terminal itself: tests/terminal/test_odd.py)."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from textual.driver import Driver

from opsconsole_console.app.resume import stop_and_continue


class _Driver:
    """What is asked of Textual's driver on Linux; it notes what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.exit_event = threading.Event()
        self._key_thread = threading.Thread(target=self.exit_event.wait)
        self._key_thread.start()
        self._must_signal_resume = False
        self._auto_restart = True

    def lend(self) -> None:
        self._auto_restart = False

    def suspend_application_mode(self) -> None:
        self.disable_input()
        self.said.append("let go")

    def disable_input(self) -> None:
        self.said.append("threw keys away")

    def stop(self, *_: object) -> None:
        if self._auto_restart:
            self.disable_input()
            self._must_signal_resume = True
        self.said.append("stopped")

    def resume(self, *_: object) -> None:
        self._must_signal_resume = False
        self.said.append("resumed")

    def close(self) -> None:
        self.exit_event.set()
        self._key_thread.join()


@pytest.fixture
def driver() -> Iterator[_Driver]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT)}
    driver = _Driver()
    signal.signal(signal.SIGTSTP, driver.stop)
    signal.signal(signal.SIGCONT, driver.resume)
    yield driver
    for number, handler in before.items():
        signal.signal(number, handler)
    driver.close()


def _raise(driver: _Driver, *numbers: signal.Signals) -> list[list[str]]:
    """What was said within each signal's handler, and at last what was said once the loop had turned."""

    async def raise_all() -> list[list[str]]:
        stop_and_continue(cast("Driver", driver))
        heard: list[list[str]] = []
        for number in numbers:
            signal.raise_signal(number)
            heard.append(list(driver.said))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [*heard, list(driver.said)]

    return asyncio.run(raise_all())


def test_a_handler_waits_for_no_lock_that_the_interrupted_may_hold(driver: _Driver) -> None:
    *heard, after = _raise(driver, signal.SIGTSTP, signal.SIGTSTP, signal.SIGCONT)
    assert heard == [[], [], []]
    assert after == ["threw keys away", "stopped", "resumed"]


def test_after_a_stop_unheard_keys_typed_at_once_stay(driver: _Driver) -> None:
    *heard, after = _raise(driver, signal.SIGCONT)
    assert heard == [[]]
    assert after == ["let go", "resumed"]
    assert not driver.exit_event.is_set()
    driver.disable_input()
    assert driver.said[-1] == "threw keys away", "only for this time"


def test_who_lent_the_terminal_stops_with_the_borrower(driver: _Driver) -> None:
    driver.lend()
    *heard, after = _raise(driver, signal.SIGTSTP, signal.SIGCONT)
    assert heard[0] == ["stopped"]
    assert after == ["stopped"], "what was lent comes back when the borrower ends"
