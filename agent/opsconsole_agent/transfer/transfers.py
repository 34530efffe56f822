"""All that moves files to this worker and from it, put together."""

import logging
from collections.abc import Callable, Sequence

import msgspec

from opsconsole_agent.transfer.content_cache import ContentCache
from opsconsole_agent.transfer.fetcher import Fetcher
from opsconsole_agent.transfer.file_tree import Place
from opsconsole_agent.transfer.link_broker import LinkBroker, Mailbox
from opsconsole_agent.transfer.stream_server import Sessions, StreamServer
from opsconsole_protocol.error import Forbidden
from opsconsole_protocol.host.content.session import Summary
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.negotiation import open_stream
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.host.stream.transfer import move
from opsconsole_protocol.host.transfer_thread import Cancel, TransferThreads
from opsconsole_protocol.link import Message
from opsconsole_protocol.stream.message import (
    FetchContent,
    FileRoot,
    PeerKind,
    ReachPort,
    RunInTask,
    StreamGrant,
    Via,
)

FETCHES_MAX = 4
"""Fetches under way at a time; more wait for their turn."""
SERVED_MAX = 8
"""Streams that others asked for at a time. Apart from those of our own, so that two workers never wait for each other."""
SESSIONS_MAX = 32
"""Programs and ports of tasks that operators are at, at a time."""

_log = logging.getLogger(__name__)


class Transfers:
    """One agent's. `send` puts a message on the link; `find` says which folder of the worker a root means."""

    def __init__(
        self,
        send: Callable[[Message], None],
        store: ContentStore,
        home: Home,
        find: Callable[[FileRoot], Place],
        input_folders: Sequence[str] = (),
        serve_session: Callable[[RunInTask | ReachPort, Stream], None] | None = None,
    ) -> None:
        """`serve_session` lets an operator into a task. `input_folders`: where inputs of tasks lie, to which the links in their folders of inputs lead."""
        self._home = home
        self.broker = LinkBroker(send)
        self._fetch_threads = TransferThreads(FETCHES_MAX)
        self._serve_threads = TransferThreads(SERVED_MAX)
        self.contents = ContentCache(store, Fetcher(self._move, self._fetch_threads, lambda: self.broker.is_up), send)
        self._session_threads = TransferThreads(SESSIONS_MAX)
        sessions = Sessions(self._session_threads, serve_session or _refuse_session)
        self.server = StreamServer(self.broker, self._serve_threads, self._open, store, find, input_folders, sessions)

    def connected(self) -> None:
        """The coordinator has accepted the registration."""
        self.broker.connected()
        self.contents.introduce()

    def disconnected(self) -> None:
        """The connection is gone. Streams that stand go on."""
        self.broker.disconnected()

    async def close(self) -> None:
        """Cancel what is under way. What has arrived so far is not asked for again."""
        self._serve_threads.close()
        self._session_threads.close()
        await self.server.close()
        await self.contents.close()

    # --- in threads ------------------------------------------------------------------------------------------------

    def _move(
        self, purpose: FetchContent, *, work: Callable[[Stream], Summary], tell: Callable[[str], None], cancel: Cancel
    ) -> Summary:
        return move(self.broker, purpose, peer="", via=Via.AUTO, home=self._home, work=work, tell=tell, cancel=cancel)

    def _open(self, grant: StreamGrant, mailbox: Mailbox, cancel: Cancel) -> Stream:
        if grant.peer is PeerKind.COORDINATOR:  # it wants something itself, and is reached by dialling it, as always
            grant = msgspec.structs.replace(grant, is_initiator=True)
        return open_stream(grant, mailbox, self._home, tell=_log.info, cancel=cancel)


def _refuse_session(_purpose: RunInTask | ReachPort, _stream: Stream) -> None:
    raise Forbidden("this worker lets nobody into its tasks")
