"""One key after the other: what a key does is done before the next one is sent on its way.

Textual sends a key to whoever has the focus when it arrives, and looks for a binding once nobody has wanted it and it
has bubbled back to the app. So of `/prod` typed fast or pasted by a slow link in one piece, `p` would still go to the
table and come back as "pause". Here it waits until `/` has moved the focus.
The same holds of keys that are typed before the first screen is there: they wait until it has the focus where it belongs.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from textual.app import App
from textual.dom import DOMNode
from textual.events import Key
from textual.timer import Timer

KEY_WAIT_S = 10.0
"""How long a key is waited for whose widget is busy: a busy machine is no reason to let the next key overtake it."""
LOOK_S = 0.1
"""Between looks whether the widget that a key was sent to is still there. If it went away, its key never comes back."""
PASSES_MAX = 6
"""How often the way is gone behind a key, until nothing more comes of it."""


class KeyGate:
    """Lets the keys of an app through one at a time. `send` is what the app does with a key that just came in."""

    def __init__(self, app: App[int], send: Callable[[Key], Awaitable[None]]) -> None:
        self._app = app
        self._send = send
        self._waiting: deque[Key] = deque()
        self._number = 0
        self._is_open = False
        self._has_begun = False
        """Whether the first screen is as it will be: before that, the focus isn't where a key is meant for."""
        self._timer: Timer | None = None
        self._at: DOMNode = app
        """Whose queue the key under way, or what it caused, was followed into."""
        self._looks = 0

    async def receive(self, key: Key) -> None:
        """Send a key on now, or once those before it have done their work."""
        if self._is_open:
            await self._send_on(key)
            return
        self._waiting.append(key)
        self._start_timer()

    async def begin(self) -> None:
        """The first screen is there, and has the focus where it belongs."""
        if not self._has_begun:
            self._has_begun = True
            await self._send_next()

    def _start_timer(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._app.set_interval(LOOK_S, self._look)

    async def _send_on(self, key: Key) -> None:
        self._is_open = False
        self._number += 1
        self._looks = 0
        way = self._app.focused or self._app.screen
        await self._send(key)
        self._follow_key(way, self._number, _Pass(way))

    def _follow_key(self, node: DOMNode | None, number: int, current: "_Pass") -> None:
        """Pass through the queues that the key passes through, behind it; then anew, behind what it caused, until that is all."""
        while node is not None and node is not self._app:
            self._at = node
            if node.call_later(self._follow_on, node, number, current):
                return
            node = node.parent
        self._at = self._app
        if not current.is_last:
            self._app.call_later(self._follow_key, current.way, number, current.following())
            return
        # Twice to the end of the app's queue: first behind the key itself, then behind what its action put there.
        self._app.call_later(self._app.call_later, self._on_arrival, number)

    def _follow_on(self, node: DOMNode, number: int, current: "_Pass") -> None:
        current.is_quiet &= node.message_queue_size == 0
        self._follow_key(node.parent, number, current)

    async def _on_arrival(self, number: int) -> None:
        if number == self._number:
            await self._send_next()

    async def _look(self) -> None:
        """Wait no longer for a key that was lost with its widget, or for one that takes too long."""
        self._looks += 1
        if not self._has_begun:
            if self._looks * LOOK_S >= KEY_WAIT_S:
                await self.begin()
            return
        if not self._at.is_running or self._looks * LOOK_S >= KEY_WAIT_S:
            await self._send_next()

    async def _send_next(self) -> None:
        if self._waiting:
            await self._send_on(self._waiting.popleft())
            return
        self._is_open = True
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


@dataclass
class _Pass:
    """One way from the widget that a key went to up to the app."""

    way: DOMNode
    number: int = 1
    is_quiet: bool = True
    """Whether nothing else was seen in the queues."""

    @property
    def is_last(self) -> bool:
        return self.number >= PASSES_MAX or (self.number > 1 and self.is_quiet)

    def following(self) -> "_Pass":
        return _Pass(self.way, self.number + 1)
