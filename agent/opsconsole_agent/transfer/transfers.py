"""All that moves files to this worker and from it, put together."""

from collections.abc import Callable

from opsconsole_agent.transfer.content_cache import ContentCache
from opsconsole_agent.transfer.fetcher import Fetcher
from opsconsole_agent.transfer.link_broker import LinkBroker
from opsconsole_agent.transfer.transfer_thread import Cancel, TransferThreads
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.host.content.session import Summary
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.link import Message
from opsconsole_protocol.stream.message import FetchContent

FETCHES_MAX = 4
"""Fetches under way at a time; more wait for their turn."""


class Transfers:
    """One agent's. `send` puts a message on the link."""

    def __init__(self, send: Callable[[Message], None], store: ContentStore) -> None:
        self.broker = LinkBroker(send)
        self._fetch_threads = TransferThreads(FETCHES_MAX)
        self.contents = ContentCache(store, Fetcher(self._move, self._fetch_threads, lambda: self.broker.is_up), send)

    def connected(self) -> None:
        """The coordinator has accepted the registration."""
        self.broker.connected()
        self.contents.introduce()

    def disconnected(self) -> None:
        """The connection is gone."""
        self.broker.disconnected()

    async def close(self) -> None:
        """Cancel what is under way."""
        self._fetch_threads.close()
        await self.contents.close()

    def _move(
        self, purpose: FetchContent, *, work: Callable[[Stream], Summary], tell: Callable[[str], None], cancel: Cancel
    ) -> Summary:
        raise Unavailable(f"{purpose.content_id[:12]}: no way {work} {tell} {cancel}")
