"""A stream into a task, opened and ended: for threads."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from opsconsole.transfer.broker import Asker, RequestBroker
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.stream.message import OpenStream, ReachPort, RunInTask, Via

if TYPE_CHECKING:
    import threading

    from opsconsole_protocol.host.stream.stream import Stream


class Passed(NamedTuple):
    """What went over a session's stream, as the coordinator is told."""

    bytes: int
    bytes_sent: int
    files: int
    seconds: float


@contextlib.contextmanager
def opened(
    asker: Asker,
    purpose: RunInTask | ReachPort,
    via: Via,
    tell: Callable[[str], None],
    cancel: threading.Event,
    count: Callable[[], int],
) -> Iterator[Stream]:
    """The stream, which is closed at the end. `count`: the bytes that passed. Raises what the coordinator refuses with, and NoWay."""
    from opsconsole_protocol.host.stream.negotiation import open_stream

    broker = RequestBroker(asker)
    home = asker.run(asker.requester.home())
    grant, signaller = broker.ask(OpenStream(purpose=purpose, via=via))
    way, error, began_s = None, "the program at this end has failed", time.monotonic()
    try:
        stream = open_stream(grant, signaller, home, tell=tell, cancel=cancel)
        way = stream.way
        try:
            yield stream
        finally:
            stream.close()
        error = ""
    except OpsconsoleError as failure:
        error = failure.message
        raise
    finally:
        with contextlib.suppress(OpsconsoleError):
            passed = count()
            broker.ended(grant.stream_id, Passed(passed, passed, 0, time.monotonic() - began_s), way, error)
