"""One end of a stream as a process of its own, whose signals go over its stdin and stdout, one in a line.

`python -m tests.protocol.host.stream.resident GRANT`: opens the stream, lets a block of bytes go there and back, and says by
which way. GRANT is JSON.
"""

import queue
import sys
import threading

import msgspec

from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.stream.negotiation import open_stream
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import StreamGrant
from tests.protocol.host.stream.lab import NOWHERE, receive

BLOCK = bytes(range(256)) * 4_096


class Said(msgspec.Struct, omit_defaults=True):
    """A line on stdout: a signal, a line for people, or how it ended."""

    signal: bytes = b""
    line: str = ""
    end: str = ""


class PipeSignaller:
    """Signals over the process's pipes."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._inbox.put(bytes.fromhex(line))
        self._inbox.put(None)

    def send(self, body: bytes) -> None:
        say(Said(signal=body))

    def receive(self, timeout_s: float) -> bytes | None:
        try:
            body = self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if body is None:
            raise StreamLost("the coordinator has ended the stream")
        return body


def say(said: Said) -> None:
    """Write one line."""
    sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    sys.stdout.flush()


def there_and_back(stream: Stream, *, is_initiator: bool) -> bool:
    """Whether a block of bytes arrives at the other end and comes back as it was."""
    if is_initiator:
        stream.send(BLOCK)
        return receive(stream, len(BLOCK)) == BLOCK
    block = receive(stream, len(BLOCK))
    stream.send(block)
    stream.receive_into(bytearray(1))  # until the other end has had it
    return block == BLOCK


def main() -> None:
    """Do what the module says."""
    grant = msgspec.json.decode(sys.argv[1], type=StreamGrant)
    try:
        stream = open_stream(
            grant, PipeSignaller(), NOWHERE, tell=lambda line: say(Said(line=line)), cancel=threading.Event()
        )
        is_whole = there_and_back(stream, is_initiator=grant.is_initiator)
        stream.close()
        say(Said(end=f"{stream.way} {'whole' if is_whole else 'spoilt'}"))
    except OpsconsoleError as error:
        say(Said(end=error.message))


if __name__ == "__main__":
    main()
