"""One end of a WebRTC stream in a process of its own: `python -m tests.protocol.host.stream.webrtc.end …` with two descriptors.

It opens the stream with the engine that it is told to use, sends `send_bytes` of a pattern that its number gives, reads what
comes until the end, and prints what it has seen as JSON.
"""

import argparse
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator

from bench.socket_signaller import SocketSignaller

from opsconsole_protocol.host.stream.webrtc import engine, open_webrtc, pump
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import IceServer

BLOCK_BYTES = 1_000_003


def pattern(number: int, count: int) -> Iterator[bytes]:
    """`count` bytes that no other number gives, in blocks of an odd size."""
    block = hashlib.shake_256(bytes([number])).digest(BLOCK_BYTES)
    while count > 0:
        yield block[:count]
        count -= BLOCK_BYTES


def digest_of(number: int, count: int) -> str:
    """The SHA-256 of a pattern."""
    digest = hashlib.sha256()
    for block in pattern(number, count):
        digest.update(block)
    return digest.hexdigest()


def main() -> None:
    """Open, move, tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--signals", type=int, required=True, help="descriptor of a socket to the other end")
    parser.add_argument("--initiator", action="store_true")
    parser.add_argument("--send-bytes", type=int, default=0)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--turn", default="", help="URL of a TURN server, with the user and password of test_turn.py")
    parser.add_argument("--silent-s", type=float, default=pump.SILENT_S)
    options = parser.parse_args()
    if options.engine == engine.AIORTC:
        engine.leave_out_native()
    pump.SILENT_S = options.silent_s
    servers = (IceServer(url=options.turn, username="ops", credential="secret"),) if options.turn else ()
    signaller = SocketSignaller(socket.socket(fileno=options.signals))
    stream = open_webrtc(signaller, options.initiator, servers, timeout_s=60)
    received, digest, error = 0, hashlib.sha256(), ""

    def send() -> None:
        with contextlib.suppress(StreamLost):
            for block in pattern(options.number, options.send_bytes):
                stream.send(block)
            stream.end()

    sender = threading.Thread(target=send)
    sender.start()
    view = memoryview(bytearray(100_000))
    print("open", flush=True)
    try:
        while count := stream.receive_into(view):
            digest.update(view[:count])
            received += count
    except StreamLost as lost:
        error = lost.message
    sender.join()
    stream.close()
    print(
        json.dumps({"engine": stream.engine, "received": received, "digest": digest.hexdigest(), "error": error}),
        flush=True,
    )


if __name__ == "__main__":
    main()
