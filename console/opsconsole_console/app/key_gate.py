"""One key after the other: what a key does is done before the next one is sent on its way.

Textual sends a key to whoever has the focus when it arrives, and looks for a binding once nobody has wanted it and it
has bubbled back to the app. So of `/prod` typed fast or pasted by a slow link in one piece, `p` would still go to the
table and come back as "pause". Here it waits until `/` has moved the focus.
"""

from collections import deque
from collections.abc import Awaitable, Callable

from textual.app import App
from textual.dom import DOMNode
from textual.events import Key
from textual.timer import Timer

KEY_WAIT_S = 0.5
"""How long a key is waited for. One whose widget went away meanwhile never comes back."""


class KeyGate:
    """Lets the keys of an app through one at a time. `send` is what the app does with a key that just came in."""

    def __init__(self, app: App[int], send: Callable[[Key], Awaitable[None]]) -> None:
        self._app = app
        self._send = send
        self._waiting: deque[Key] = deque()
        self._number = 0
        self._is_open = True
        self._timer: Timer | None = None

    async def receive(self, key: Key) -> None:
        """Send a key on now, or once those before it have done their work."""
        if self._is_open:
            await self._send_on(key)
            return
        self._waiting.append(key)
        self._start_timer()

    def _start_timer(self) -> None:
        if self._waiting and self._timer is None:
            self._timer = self._app.set_timer(KEY_WAIT_S, self._open_by_force)

    async def _send_on(self, key: Key) -> None:
        self._is_open = False
        self._number += 1
        way = self._app.focused or self._app.screen
        await self._send(key)
        self._follow_key(way, self._number, way)

    def _follow_key(self, node: DOMNode | None, number: int, again: DOMNode | None) -> None:
        """Pass through the queues that the key passes through, behind it; then once more from `again`, behind what it caused."""
        while node is not None and node is not self._app:
            if node.call_later(self._follow_key, node.parent, number, again):
                return
            node = node.parent
        if again is not None:
            self._app.call_later(self._follow_key, again, number, None)
            return
        # Twice to the end of the app's queue: first behind the key itself, then behind what its action put there.
        self._app.call_later(self._app.call_later, self._on_arrival, number)

    async def _on_arrival(self, number: int) -> None:
        if number == self._number:
            await self._send_next()

    async def _open_by_force(self) -> None:
        self._timer = None
        await self._send_next()
        self._start_timer()

    async def _send_next(self) -> None:
        if self._waiting:
            await self._send_on(self._waiting.popleft())
        else:
            self._is_open = True
            if self._timer is not None:
                self._timer.stop()
                self._timer = None
