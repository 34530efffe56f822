"""One end of a stream in a process of its own, for `bench.transfer`; prints what it took as JSON.

    python -m bench.stream_end --way tcp|direct|webrtc --descriptor N --bytes N [--initiator]

The descriptor is a socket to the other end: for `tcp` the stream itself, otherwise for its signals. The initiator sends the
bytes from memory, the other end receives them into memory.
"""

import argparse
import contextlib
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator

from bench.socket_signaller import SocketSignaller
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.negotiation import open_stream
from opsconsole_protocol.host.stream.stream import SocketStream, Stream
from opsconsole_protocol.host.stream.webrtc import engine
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.message import FetchContent, PeerKind, StreamGrant, Via, Way

BLOCK_BYTES = 1024 * 1024
_SECRET = "0" * 52


def open_end(options: argparse.Namespace) -> Stream:
    """Open this end as the product does, with one engine only."""
    sock = socket.socket(fileno=options.descriptor)
    if options.way == "tcp":
        return SocketStream(sock, Way.DIRECT)
    if options.engine == engine.AIORTC:
        engine.leave_out_native()
    grant = StreamGrant(
        stream_id="bench", secret=_SECRET, shared_secret=_SECRET, is_initiator=options.initiator,
        purpose=FetchContent(content_id=ContentId("0" * 64)), peer=PeerKind.WORKER, via=Via(options.way), relay=False,
    )  # fmt: skip
    nowhere = Home("ws://127.0.0.1:1")
    return open_stream(grant, SocketSignaller(sock), nowhere, tell=lambda _line: None, cancel=threading.Event())


def send_bytes(stream: Stream, count: int) -> None:
    """Send `count` bytes from memory, and wait until the other end has them."""
    block = memoryview(bytes(range(256)) * (BLOCK_BYTES // 256))
    for offset in range(0, count, BLOCK_BYTES):
        stream.send(block[: min(BLOCK_BYTES, count - offset)])
    stream.receive_into(bytearray(1))


def receive_bytes(stream: Stream, count: int) -> None:
    """Receive `count` bytes into memory, and say so."""
    view = memoryview(bytearray(BLOCK_BYTES))
    while count > 0:
        got = stream.receive_into(view)
        if not got:
            raise SystemExit("the stream has ended too soon")
        count -= got
    stream.send(b"x")


@contextlib.contextmanager
def measured(found: dict[str, float]) -> Iterator[None]:
    """Note wall and processor time of what is done, in seconds."""
    usage, began_s = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    found["wall_s"] = time.monotonic() - began_s
    found["cpu_s"] = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    found["memory_mb"] = after.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Open, move, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", required=True)
    parser.add_argument("--engine", default="")
    parser.add_argument("--descriptor", type=int, required=True)
    parser.add_argument("--initiator", action="store_true")
    parser.add_argument("--bytes", type=int, required=True)
    options = parser.parse_args()
    found: dict[str, float] = {}
    began_s = time.monotonic()
    stream = open_end(options)
    found["open_s"] = time.monotonic() - began_s
    with measured(found):
        if options.initiator:
            send_bytes(stream, options.bytes)
        else:
            receive_bytes(stream, options.bytes)
    stream.close()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
