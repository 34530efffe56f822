"""Asks for streams as an agent or a client does, and has a worker in this process at the other end."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.signaller import Signaller
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.host.stream.transfer import Moved
from opsconsole_protocol.stream.message import OpenStream, StreamGrant, Way
from tests.protocol.host.stream.fake_coordinator import FakeCoordinator
from tests.protocol.host.stream.lab import NOWHERE, End, pair


@dataclass(frozen=True)
class Summary:
    """What a work has moved."""

    bytes: int
    bytes_sent: int = 0
    files: int = 1
    seconds: float = 1.0


@dataclass
class FakeBroker:
    """Grants streams to a worker in this process, which is served by `serve`. `refusals`: what it answers with instead, by number of the request."""

    serve: Callable[[Stream], None]
    home: Home = NOWHERE
    relay: bool = False
    fake: FakeCoordinator | None = None
    refusals: dict[int, OpsconsoleError] = field(default_factory=dict)
    reachable: Callable[[int], bool] = lambda _: True
    settle: Callable[[End, End], tuple[End, End]] = lambda one, other: (one, other)
    """Where the two ends are."""
    before: Callable[[int], None] = lambda _: None
    asked: list[OpenStream] = field(default_factory=list)
    told: list[tuple[str, int | None, Way | None, str]] = field(default_factory=list)
    engines: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    responders: dict[str, End] = field(default_factory=dict)

    def ask(self, open: OpenStream) -> tuple[StreamGrant, Signaller]:  # noqa: A002 - as on the wire
        number = len(self.asked)
        self.before(number)
        self.asked.append(open)
        if number in self.refusals:
            raise self.refusals[number]
        name = f"s{number}"
        if self.fake is not None:
            self.fake.secrets[name] = {"secret True", "secret False"}
        one, other = pair(via=open.via, relay=self.relay, failed=open.failed, home=self.home, name=name)
        one, other = self.settle(one, other)
        self.responders[name] = other

        def work() -> None:
            with contextlib.suppress(OpsconsoleError):
                self.serve(other.open())

        if not self.reachable(number):
            one.inbox.put(None)
        else:
            self.threads.append(threading.Thread(target=work))
            self.threads[-1].start()
        return one.grant, one

    def ended(self, stream_id: str, summary: Moved | None, way: Way | None, error: str, engine: str = "") -> None:
        self.engines.append(engine)
        self.told.append((stream_id, None if summary is None else summary.bytes, way, error))
        self.responders[stream_id].inbox.put(None)
        raise Unavailable("the link is down")


@contextlib.contextmanager
def broker(serve: Callable[[Stream], None], **options: object) -> Iterator[FakeBroker]:
    """One whose worker has ended at the end."""
    made = FakeBroker(serve, **options)  # type: ignore[arg-type]
    yield made
    for thread in made.threads:
        thread.join(10)
