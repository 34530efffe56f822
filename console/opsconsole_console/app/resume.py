"""Being stopped by the terminal's suspend key or a SIGSTOP, and coming back.

Textual lets go of the terminal in the signal's handler. What was interrupted may hold the lock of what is written, and the
console would wait for itself for ever: so the handlers leave all work to the event loop.
Of a SIGSTOP it only hears the SIGCONT afterwards: it would read the keyboard with a second thread beside the first, and
paint changes over what the shell wrote meanwhile. Nor may what is typed right after the SIGCONT be lost: Textual throws
unread keys away when it lets go of the terminal.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

from textual.driver import Driver

Handler = Callable[[int, FrameType | None], object]


def stop_and_continue(driver: Driver) -> None:
    """Take over the driver's SIGTSTP and SIGCONT; it posts `SignalResume` after either. To be called on its event loop."""
    stop, resume = signal.getsignal(signal.SIGTSTP), signal.getsignal(signal.SIGCONT)
    if threading.current_thread() is not threading.main_thread() or not callable(stop) or not callable(resume):
        return
    _Stopping(driver, stop, resume).listen(asyncio.get_running_loop())


class _Stopping:
    """One driver's stops. `stop` and `resume` are its own handlers of SIGTSTP and SIGCONT."""

    def __init__(self, driver: Driver, stop: Handler, resume: Handler) -> None:
        self._driver = driver
        self._stop = stop
        self._resume = resume

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        def stopped(number: int, frame: FrameType | None) -> None:
            if self._is_lent:
                self._stop(number, frame)
            else:
                loop.call_soon_threadsafe(self._on_stop)

        def continued(*_: object) -> None:
            if not self._is_lent:
                loop.call_soon_threadsafe(self._on_continue)

        signal.signal(signal.SIGTSTP, stopped)
        signal.signal(signal.SIGCONT, continued)

    @property
    def _is_lent(self) -> bool:
        """Whether another program has the terminal: the loop may be waiting for it, and the driver has nothing to let go of."""
        return not vars(self._driver)["_auto_restart"]

    @property
    def _has_let_go(self) -> bool:
        """Whether the terminal isn't the driver's now."""
        return bool(vars(self._driver)["_must_signal_resume"])

    def _on_stop(self) -> None:
        if not self._has_let_go:
            self._stop(signal.SIGTSTP, None)

    def _on_continue(self) -> None:
        if not self._has_let_go:
            self._let_go_unread()
        self._resume(signal.SIGCONT, None)

    def _let_go_unread(self) -> None:
        """Let go of the terminal; keys that nobody has read yet stay for who reads next."""
        state = vars(self._driver)
        reader: threading.Thread | None = state["_key_thread"]
        is_over: threading.Event = state["exit_event"]

        def stop_reading() -> None:
            is_over.set()
            if reader is not None:
                reader.join()
            is_over.clear()

        state["disable_input"] = stop_reading
        try:
            self._driver.suspend_application_mode()
        finally:
            del state["disable_input"]
        state["_must_signal_resume"] = True
