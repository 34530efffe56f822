"""Carries trees over streams for one coordinator's operator: on threads of its own, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from opsconsole.transfer.broker import Asker, RequestBroker, StreamRequester
from opsconsole.transfer.row import TransferPhase
from opsconsole_protocol.host.transfer_thread import Cancel, TransferThreads
from opsconsole_protocol.stream.message import Purpose, StreamGrant, Via

if TYPE_CHECKING:
    from opsconsole.transfer.transfer import Transfer
    from opsconsole_protocol.host.content.session import Summary
    from opsconsole_protocol.host.stream.stream import Stream

T = TypeVar("T")
THREADS_MAX = 8
"""Transfers of one program that move at a time; further ones wait for their turn."""


class Carrier:
    """Made on the loop that its requester belongs to."""

    def __init__(self, requester: StreamRequester) -> None:
        self.requester = requester
        self._loop = asyncio.get_running_loop()
        self._threads = TransferThreads(THREADS_MAX)

    async def run(self, work: Callable[[Load], T]) -> T:
        """Do `work` in a thread when it is its turn, and return what it returns. Cancelled, it tells the thread so."""
        return await self._threads.run(lambda cancel: work(Load(Asker(self.requester, self._loop, cancel), cancel)))

    def close(self) -> None:
        """Cancel whatever moves."""
        self._threads.close()


class Load:
    """What a thread has at hand to move something: questions to the coordinator, streams, and the sign that it is to end."""

    def __init__(self, asker: Asker, cancel: Cancel) -> None:
        self.ask = asker.ask
        self.cancel = cancel
        self.asker = asker

    def move(
        self,
        transfer: Transfer,
        purpose: Purpose,
        work: Callable[[Stream], Summary],
        *,
        peer: str = "",
        via: Via = Via.AUTO,
        granted: Callable[[StreamGrant], None] | None = None,
    ) -> Summary:
        """Open a stream for `purpose` and do `work` over it, or over the next where one dies. See `move` for what is raised.

        `granted` is told of each stream that the coordinator grants.
        """
        from opsconsole_protocol.host.stream.transfer import move

        def worked(stream: Stream) -> Summary:
            transfer.takes(stream)
            return work(stream)

        transfer.enters(TransferPhase.CONNECTING)
        return move(
            RequestBroker(self.asker, granted), purpose, peer=peer, via=via, home=self.asker.run(self.asker.requester.home()),
            work=worked, tell=transfer.says, cancel=self.cancel,
        )  # fmt: skip
