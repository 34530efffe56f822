"""Keeps the console running when it makes a mistake of its own: nothing that a widget's handler raises ends the app.

Textual would end it, and with it an embedded coordinator and everybody who needs that one. The guard stands where
messages are handed to widgets and where Textual reports what was raised, so it covers whatever is built later too.
"""

from collections.abc import Awaitable, Callable

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import WorkerFailed

_PAINTING = ("_compositor.py", "_styles_cache.py")


def guard(pump: MessagePump, on_error: Callable[[Exception], None]) -> None:
    """Let what a widget's handlers raise go to `on_error`; without it, the widget hears no message any more."""
    dispatch: Callable[[Message], Awaitable[None]] = pump._dispatch_message  # noqa: SLF001 - Textual has no other place

    async def guarded(message: Message) -> None:
        try:
            await dispatch(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is noted
            on_error(error)

    vars(pump)["_dispatch_message"] = guarded


def unwrapped(error: Exception) -> Exception:
    """What was raised in the first place: Textual wraps what its workers raise."""
    return error.error if isinstance(error, WorkerFailed) and isinstance(error.error, Exception) else error


def is_painting(error: BaseException) -> bool:
    """Whether the error was raised while a screen was being painted: such a screen can't show a toast either."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(_PAINTING):
            return True
        trace = trace.tb_next
    return False
