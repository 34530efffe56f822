"""The app by its own type, for widgets that need more of it than Textual's."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from textual.dom import DOMNode
from textual.worker import Worker

if TYPE_CHECKING:
    from opsconsole_console.app.app import ConsoleApp


def home(node: DOMNode) -> "ConsoleApp":
    """The console that a widget or screen belongs to."""
    return cast("ConsoleApp", node.app)


def begin(node: DOMNode, work: Callable[[], Coroutine[Any, Any, None]], group: str) -> Worker[None]:
    """Do something in the background for as long as a widget lives; what the group did before is broken off."""
    worker: Worker[None] = node.run_worker(work, group=group, exclusive=True)
    return worker
