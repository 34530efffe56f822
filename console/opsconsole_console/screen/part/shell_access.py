"""The way from a widget to the console around it, and work that ends with the widget that began it."""

from collections.abc import Callable, Coroutine
from typing import Any, cast

from textual.dom import DOMNode
from textual.worker import Worker

from opsconsole_console.service.shell import Shell


def shell(node: DOMNode) -> Shell:
    """What the app that a widget or screen belongs to can do for it."""
    return cast("Shell", node.app)


def run_exclusive(node: DOMNode, work: Callable[[], Coroutine[Any, Any, None]], group: str) -> Worker[None]:
    """Do something in the background for as long as a widget lives; what its group did before is cancelled."""
    worker: Worker[None] = node.run_worker(work, group=group, exclusive=True)
    return worker
