"""Coming back from having been stopped by a SIGSTOP.

Textual puts the terminal right after a SIGTSTP, which it hears of. Of a SIGSTOP it only hears the SIGCONT afterwards: it
would read the keyboard with a second thread beside the first, and paint changes over what the shell wrote meanwhile.
"""

import asyncio
import signal
import threading
from types import FrameType
from typing import Any

from textual.driver import Driver


def restart_when_continued(driver: Driver) -> None:
    """Restart the driver after every SIGCONT; it then posts `SignalResume`. To be called on its event loop."""
    before: Any = signal.getsignal(signal.SIGCONT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        return
    loop = asyncio.get_running_loop()

    def restart() -> None:
        if not vars(driver).get("_must_signal_resume", True):
            driver.suspend_application_mode()
            vars(driver)["_must_signal_resume"] = True
            driver.resume_application_mode()

    def continued(number: int, frame: FrameType | None) -> None:
        if vars(driver).get("_must_signal_resume", True):
            before(number, frame)
        else:  # not here: what was interrupted may hold the lock of what is written
            loop.call_soon_threadsafe(restart)

    signal.signal(signal.SIGCONT, continued)
