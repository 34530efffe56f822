"""Two ends of a stream in one process, with signals that go from one to the other, and a coordinator that joins them."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.negotiation import open_stream
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.error import StreamLost, StreamStopped
from opsconsole_protocol.stream.ladder import Experience
from opsconsole_protocol.stream.message import Failure, FetchContent, PeerKind, StreamGrant, Via

PURPOSE = FetchContent(content_id=ContentId("0" * 64))
NOWHERE = Home("ws://127.0.0.1:1")


@dataclass
class End:
    """One end: a Signaller, and what `open_stream` needs besides."""

    grant: StreamGrant
    home: Home = NOWHERE
    inbox: "queue.SimpleQueue[bytes | StreamStopped | None]" = field(default_factory=queue.SimpleQueue)
    other: "End | None" = None
    said: list[bytes] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    experience: Experience = field(default_factory=Experience)
    cancel: threading.Event = field(default_factory=threading.Event)
    filter: Callable[[bytes], bytes | None] = lambda body: body
    """What becomes of a signal on its way to the other end."""

    def send(self, body: bytes) -> None:
        self.said.append(body)
        passed = self.filter(body)
        if self.other is not None and passed is not None:
            self.other.inbox.put(passed)

    def receive(self, timeout_s: float) -> bytes | None:
        with contextlib.suppress(queue.Empty):
            body = self.inbox.get(timeout=min(timeout_s, 0.05))
            if body is None:
                raise StreamLost("the coordinator has ended the stream")
            if isinstance(body, StreamStopped):
                raise body
            return body
        return None

    def open(self) -> Stream:
        return open_stream(
            self.grant, self, self.home, tell=self.lines.append, cancel=self.cancel, experience=self.experience
        )


def pair(
    *,
    via: Via = Via.AUTO,
    relay: bool = False,
    failed: tuple[Failure, ...] = (),
    home: Home = NOWHERE,
    ttl_ms: int = 10_000,
    name: str = "s1",
) -> tuple[End, End]:
    """The initiator and the responder."""
    ends = [
        End(
            StreamGrant(
                stream_id=name, secret=f"secret {is_initiator}", shared_secret="shared", is_initiator=is_initiator,
                purpose=PURPOSE, peer=PeerKind.WORKER, peer_name="gpu-3", via=via, relay=relay, failed=failed,
                ttl_ms=ttl_ms,
            ),
            home,
        )
        for is_initiator in (True, False)
    ]  # fmt: skip
    initiator, responder = ends
    initiator.other, responder.other = responder, initiator
    return initiator, responder


@contextlib.contextmanager
def opening(*ends: End) -> Iterator[tuple["Future[Stream]", ...]]:
    """All ends open their stream at the same time. What stands or is under way at the end is ended."""
    with ThreadPoolExecutor(len(ends)) as pool:
        futures = tuple(pool.submit(end.open) for end in ends)
        try:
            yield futures
        finally:
            for end in ends:
                end.cancel.set()
            for future in futures:
                with contextlib.suppress(Exception):
                    future.result().close()


def check_both_ways(one: Stream, other: Stream) -> None:
    """Bytes arrive in both directions."""
    for sender, receiver in ((one, other), (other, one)):
        data = bytes(range(256)) * 4_096
        thread = threading.Thread(target=sender.send, args=(data,))
        thread.start()
        assert receive(receiver, len(data)) == data
        thread.join()


def receive(stream: Stream, size: int) -> bytes:
    """The next `size` bytes, or fewer at the end."""
    found, view = bytearray(), memoryview(bytearray(size))
    while len(found) < size and (more := stream.receive_into(view[: size - len(found)])):
        found += view[:more]
    return bytes(found)
