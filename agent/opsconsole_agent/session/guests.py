"""Programs within attempts, by the keeper: who waits for the end of one hears it. All of this belongs to the agent's loop."""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress

from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.keeper_client.message import GuestExited, JoinCommand
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.ids import AttemptId

END_GRACE_S = 2.0
"""Between the first signal and KILL, for a program whose operator has left."""

_log = logging.getLogger(__name__)


class Guests:
    """One agent's."""

    def __init__(self, keeper: KeeperClient) -> None:
        self._keeper = keeper
        self._when_exited: dict[str, Callable[[GuestExited | None], None]] = {}
        self._when_over: dict[str, tuple[AttemptId, Callable[[], None]]] = {}

    async def join(self, command: JoinCommand, when_exited: Callable[[GuestExited | None], None]) -> None:
        """Run a program. `when_exited` is called once, without news where the keeper is lost. Raises what `KeeperClient.join` raises."""
        self._when_exited[command.guest] = when_exited
        try:
            await self._keeper.join(command)
        except OpsconsoleError:
            self._when_exited.pop(command.guest, None)
            raise

    async def signal(self, guest: str, number: int) -> None:
        """Signal all that runs in its session."""
        with suppress(OpsconsoleError):  # the keeper is lost, and so is the program for us
            await self._keeper.signal_guest(guest, number)

    async def end(self, guest: str, number: int) -> None:
        """Its operator has left: end what runs in its session."""
        when_gone = asyncio.Event()
        if guest not in self._when_exited:
            return
        self._when_exited[guest] = lambda _: when_gone.set()
        await self.signal(guest, number)
        try:
            async with asyncio.timeout(END_GRACE_S):
                await when_gone.wait()
        except TimeoutError:
            _log.info("%s goes on after its operator has left: it is killed", guest)
            await self.signal(guest, signal.SIGKILL)

    def watch(self, key: str, attempt_id: AttemptId, when_over: Callable[[], None]) -> None:
        """Have `when_over` called when nothing of the attempt lives any more, until `unwatch`."""
        self._when_over[key] = (attempt_id, when_over)

    def unwatch(self, key: str) -> None:
        """See `watch`."""
        self._when_over.pop(key, None)

    # --- what the keeper says ----------------------------------------------------------------------------------------

    def exited(self, news: GuestExited) -> None:
        """One has exited."""
        self._when_exited.pop(news.guest, _nothing)(news)

    def attempt_exited(self, attempt_id: AttemptId) -> None:
        """Nothing of an attempt lives any more."""
        for its, when_over in list(self._when_over.values()):
            if its == attempt_id:
                when_over()

    def keeper_lost(self) -> None:
        """Nobody tells any more what becomes of them."""
        waiting, self._when_exited = self._when_exited, {}
        for when_exited in waiting.values():
            when_exited(None)


def _nothing(_: GuestExited | None) -> None:
    """Nobody waits for it any more."""
