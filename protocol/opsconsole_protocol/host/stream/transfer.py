"""A transfer from its beginning to its end: over as many streams as it takes, one after another."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from opsconsole_protocol.content.error import PeerCancelled
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.negotiation import open_stream
from opsconsole_protocol.host.stream.signaller import Signaller
from opsconsole_protocol.host.stream.stream import Buffer, Stream
from opsconsole_protocol.host.transfer_thread import GRACE_S
from opsconsole_protocol.stream import ladder
from opsconsole_protocol.stream.error import StreamCancelled, StreamLost
from opsconsole_protocol.stream.ladder import Experience
from opsconsole_protocol.stream.message import OpenStream, Purpose, StreamGrant, Via, Way
from opsconsole_protocol.stream.persistence import Persistence

_CANCEL_LOOK_S = 0.25


class Moved(Protocol):
    """What a transfer has moved, as far as the coordinator is told."""

    @property
    def bytes(self) -> int:
        """Of the whole tree."""

    @property
    def bytes_sent(self) -> int:
        """Of that, what the other side didn't have yet."""

    @property
    def files(self) -> int:
        """Of the whole tree."""

    @property
    def seconds(self) -> float:
        """How long it took."""


M = TypeVar("M", bound=Moved)


class Broker(Protocol):
    """Asks the coordinator for streams, over whichever link this machine has to it. It blocks."""

    def ask(self, open: OpenStream) -> tuple[StreamGrant, Signaller]:  # noqa: A002 - as on the wire
        """A new stream. Raises what the coordinator refuses with, or Unavailable where it can't be reached."""

    def ended(self, stream_id: str, summary: Moved | None, way: Way | None, error: str, engine: str = "") -> None:
        """Tell the coordinator that a stream has done its work, or why it hasn't. Raises OpsconsoleError."""


def move(
    broker: Broker,
    purpose: Purpose,
    *,
    peer: str,
    via: Via,
    home: Home,
    work: Callable[[Stream], M],
    tell: Callable[[str], None],
    cancel: threading.Event,
) -> M:
    """Open a stream for `purpose` and do `work` over it; where it dies do that again over the next, which goes on where it was.

    `work` is the initiator's side of the transfer: it raises StreamLost where another stream can help, PeerCancelled where that
    is so though nothing is wrong with the way, and any other OpsconsoleError where none can. `tell` gets one line for everything that a person may wonder about. Raises what `work` and
    `broker.ask` raise, NoWay, StreamLost when it went on for long enough without getting ahead, or StreamCancelled.
    """
    return _Transfer(broker, purpose, peer, via, home, tell, cancel).run(work)


class _Transfer:
    """One call of `move`."""

    def __init__(
        self,
        broker: Broker,
        purpose: Purpose,
        peer: str,
        via: Via,
        home: Home,
        tell: Callable[[str], None],
        cancel: threading.Event,
    ) -> None:
        self._broker = broker
        self._purpose = purpose
        self._peer = peer
        self._via = via
        self._home = home
        self._tell = tell
        self._cancel = cancel
        self._persistence = Persistence()
        self._experience = Experience()
        self._has_begun = False
        """Whether any stream has stood: where none has, a person should hear at once why."""

    def run(self, work: Callable[[Stream], M]) -> M:
        while True:
            try:
                grant, signaller = self._ask()
                stream = _Counted(self._open(grant, signaller))
            except StreamCancelled:
                raise
            except Unavailable as error:  # also NoWay, and StreamLost where the coordinator ended it before it stood
                if not self._has_begun and not isinstance(error, StreamLost):
                    raise
                self._wait(error, 0)
                continue
            self._has_begun = True
            try:
                return self._work(grant, stream, work)
            except (StreamLost, PeerCancelled) as error:
                self._wait(error, stream.moved_bytes)

    def _ask(self) -> tuple[StreamGrant, Signaller]:
        try:
            return self._broker.ask(self._wanted())
        except Unavailable:
            self._experience = Experience()  # one of the two ends is away, and comes anew
            raise

    def _wanted(self) -> OpenStream:
        if self._cancel.is_set():
            raise StreamCancelled("the transfer was cancelled")
        return OpenStream(purpose=self._purpose, peer=self._peer, via=self._via, failed=self._experience.failed)

    def _open(self, grant: StreamGrant, signaller: Signaller) -> Stream:
        known = self._experience
        try:
            return open_stream(grant, signaller, self._home, tell=self._tell, cancel=self._cancel, experience=known)
        except OpsconsoleError as error:
            self._ended(grant, None, None, error.message)
            raise

    def _work(self, grant: StreamGrant, stream: Stream, work: Callable[[Stream], M]) -> M:
        """Do the work over this stream, and tell the coordinator how it ended."""
        error = "the program at this end has failed"
        summary: M | None = None
        try:
            with _closed_on(self._cancel, stream):
                summary = work(stream)
        except StreamLost as lost:
            if self._cancel.is_set():
                error = "cancelled"
                raise StreamCancelled("the transfer was cancelled") from None
            error = lost.message
            self._tell(ladder.broke(stream.way, lost.message))
            self._experience.add(stream.way, lost.message)
            raise
        except OpsconsoleError as failure:
            error = failure.message
            raise
        else:
            error = ""
            return summary
        finally:
            stream.close()
            self._ended(grant, summary, stream.way, error, stream.engine)

    def _ended(self, grant: StreamGrant, summary: Moved | None, way: Way | None, error: str, engine: str = "") -> None:
        with contextlib.suppress(OpsconsoleError):  # the coordinator finds out by itself; here it changes nothing
            self._broker.ended(grant.stream_id, summary, way, error, engine)

    def _wait(self, error: Unavailable, moved_bytes: int) -> None:
        """Wait before the next try, or raise `error` where there have been enough."""
        delay_s = self._persistence.lost(moved_bytes)
        if delay_s is None:
            raise error
        self._tell(f"goes on where it stopped, in {delay_s:g} s ({error.message})")
        if self._cancel.wait(delay_s):
            raise StreamCancelled("the transfer was cancelled")


class _Counted:
    """A stream that counts what it moves."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.moved_bytes = 0

    @property
    def way(self) -> Way:
        return self._stream.way

    @property
    def engine(self) -> str:
        return self._stream.engine

    def send(self, data: Buffer) -> None:
        self._stream.send(data)
        self.moved_bytes += len(data)

    def receive_into(self, view: bytearray | memoryview) -> int:
        size = self._stream.receive_into(view)
        self.moved_bytes += size
        return size

    def close(self) -> None:
        self._stream.close()


@contextlib.contextmanager
def _closed_on(cancel: threading.Event, stream: Stream) -> Iterator[None]:
    """Close the stream soon after `cancel` is set: who waits in it for the other end sees no event."""
    is_done = threading.Event()

    def watch() -> None:
        while not is_done.is_set():
            if cancel.wait(_CANCEL_LOOK_S):
                if not is_done.wait(GRACE_S):
                    stream.close()
                return

    watcher = threading.Thread(target=watch, name="transfer cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_done.set()
