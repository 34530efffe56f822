"""The other end of streams that somebody else asked for: it sends what this worker has, and takes what is brought to it.

The coordinator has decided who may; what a path means is decided here, and nothing outside of the folder that is meant is
touched. What goes wrong is told over the stream, in one line.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from opsconsole_agent.transfer.file_tree import Looking, OnLook, Place, below, read_tasks, read_tree
from opsconsole_agent.transfer.link_broker import LinkBroker, Mailbox
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import Conflict, Forbidden, OpsconsoleError
from opsconsole_protocol.host.content.session import LookTeller, receive, refuse, send
from opsconsole_protocol.host.content.sink import PlacingSink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.host.transfer_thread import Cancel, TransferThreads
from opsconsole_protocol.link import ServeStream
from opsconsole_protocol.stream.error import StreamCancelled
from opsconsole_protocol.stream.message import (
    FetchContent,
    FileRoot,
    ReachPort,
    ReadFiles,
    RunInTask,
    StreamGrant,
    WriteFiles,
)

WAITING_MAX = 64
"""Streams that wait for a thread. More are left to run out of time: who asked tries again."""

OpenStream = Callable[[StreamGrant, Mailbox, Cancel], Stream]
"""Opens this end of a stream. It blocks."""

_log = logging.getLogger(__name__)


class Sessions(NamedTuple):
    """What serves sessions, in threads of their own: they last, and files don't wait for them."""

    threads: TransferThreads
    serve: Callable[[RunInTask | ReachPort, Stream], None]


class StreamServer:
    """One agent's. `find` says which folder a root means; it raises OpsconsoleError. `input_folders`: where inputs lie.

    `sessions`: what lets operators into tasks.
    """

    def __init__(
        self,
        broker: LinkBroker,
        threads: TransferThreads,
        open_stream: OpenStream,
        store: ContentStore,
        find: Callable[[FileRoot], Place],
        input_folders: Sequence[str],
        sessions: Sessions,
    ) -> None:
        self._broker = broker
        self._threads = threads
        self._open_stream = open_stream
        self._store = store
        self._find = find
        self._input_folders = input_folders
        self._sessions = sessions
        self._tasks: set[asyncio.Task[None]] = set()

    def on_serve(self, message: ServeStream) -> None:
        """Be the other end of a stream, as soon as a thread is free for it."""
        if len(self._tasks) >= WAITING_MAX:
            _log.warning("a stream isn't served: %d wait already", WAITING_MAX)
            return
        mailbox = self._broker.serve(message.grant.stream_id)
        task = asyncio.create_task(self._serve_later(message.grant, mailbox))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all of it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve_later(self, grant: StreamGrant, mailbox: Mailbox) -> None:
        try:
            is_session = isinstance(grant.purpose, RunInTask | ReachPort)
            threads = self._sessions.threads if is_session else self._threads
            await threads.run(lambda cancel: self._serve(grant, mailbox, cancel))
        except StreamCancelled:
            return
        except OpsconsoleError as error:
            _log.info("the stream %s of %s ended: %s", grant.stream_id, grant.peer_name, error.message)
        finally:
            self._broker.release(grant.stream_id)

    # --- in a thread -----------------------------------------------------------------------------------------------

    def _serve(self, grant: StreamGrant, mailbox: Mailbox, cancel: Cancel) -> None:
        stream = self._open_stream(grant, mailbox, cancel)
        try:
            with cancel.closing(stream):
                self._answer(grant, stream, cancel)
        finally:
            stream.close()

    def _answer(self, grant: StreamGrant, stream: Stream, cancel: threading.Event) -> None:
        purpose = grant.purpose
        if isinstance(purpose, RunInTask | ReachPort):
            self._sessions.serve(purpose, stream)
            return
        if isinstance(purpose, WriteFiles):
            receive(stream, lambda manifest: self._sink(purpose, manifest), cancel=cancel)
            return
        holder = f"stream.{grant.stream_id}"
        try:
            source, left_out = self._source(purpose, holder, LookTeller(stream).tell, cancel)
        except OpsconsoleError as error:
            refuse(stream, error)
            raise
        except OSError as error:
            refusal = Conflict(f"this worker can't read it ({error.strerror})")
            refuse(stream, refusal)
            raise refusal from None
        else:
            try:
                send(stream, source, left_out=left_out, cancel=cancel)
            finally:
                source.close()
        finally:
            self._store.unpin(holder)

    def _source(
        self, purpose: object, holder: str, looks: OnLook, cancel: threading.Event
    ) -> tuple[FolderSource, tuple[str, ...]]:
        """What is sent, and why what else was asked for isn't. Raises OpsconsoleError and OSError."""
        if isinstance(purpose, FetchContent):
            self._store.pin(holder, purpose.content_id)
            return self._store.source(purpose.content_id, cancel=cancel), ()
        if isinstance(purpose, ReadFiles):
            hashes = self._store.hashes
            looking = Looking(hashes, cancel, looks if purpose.tells else None)
            if purpose.tasks:
                found = read_tasks(purpose, self._find, looking)
            else:
                found = read_tree(self._find(purpose.root), purpose, self._input_folders, looking)
            for line in found.left_out:
                _log.info("not sent: %s", line)
            return found.source(hashes), found.left_out
        raise Forbidden("a worker doesn't keep files for others: bring them to the coordinator")

    def _sink(self, purpose: WriteFiles, manifest: Manifest) -> PlacingSink:
        place = self._find(purpose.root)
        if not place.writable:
            raise Forbidden(f"{place.base} is not writable: its worker's user allows it with LABEL=PATH:rw")
        return PlacingSink(manifest, Path(place.base), below(place, purpose.folder), replace=purpose.replace)
