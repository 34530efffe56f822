"""A queue towards a peer that may read slowly, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from opsconsole_coordinator.server import outbox as outbox_module
from opsconsole_coordinator.server.outbox import Outbox
from opsconsole_protocol import link
from opsconsole_protocol.link.codec import agent_codec, coordinator_codec
from tests.waiting import until

LIMIT = 10


class Socket:
    """Takes frames while it is open."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.is_gone = False

    async def send_bytes(self, frame: bytes) -> None:
        await self.open.wait()
        if self.is_gone:
            raise WebSocketDisconnect(1006)
        self.frames.append(frame)

    @property
    def messages(self) -> list[Any]:
        return [message for frame in self.frames for message in agent_codec().decode(frame)]


class Setup:
    """An outbox that runs."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.overflows = 0
        encode = coordinator_codec().encode
        self.outbox = Outbox(cast("WebSocket", self.socket), encode, LIMIT, self._overflowed)
        self.task = asyncio.create_task(self.outbox.run())

    def _overflowed(self) -> None:
        self.overflows += 1
        self.outbox.put(link.DesiredSet(seq=99))

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.outbox.put(link.Observe(exchange=number))

    def exchanges(self) -> list[int]:
        return [one.exchange for one in self.socket.messages if isinstance(one, link.Observe)]


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    made = Setup()
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


async def test_what_comes_together_goes_as_one_frame_in_order(setup: Setup) -> None:
    setup.put(*range(LIMIT))
    await setup.outbox.drained()
    assert setup.exchanges() == list(range(LIMIT))
    assert len(setup.socket.frames) == 1


async def test_a_burst_in_one_go_overflows_and_recovers(setup: Setup) -> None:
    """The sender had no chance to run: nothing may depend on a send that is under way."""
    setup.put(*range(LIMIT + 1))
    await until(lambda: setup.overflows == 1)
    await until(lambda: setup.socket.messages == [link.DesiredSet(seq=99)])
    setup.put(5)
    await until(lambda: setup.exchanges() == [5])


async def test_a_peer_that_does_not_read_costs_no_more_than_the_limit(setup: Setup) -> None:
    setup.socket.open.clear()
    for number in range(1_000):
        setup.put(number)
        assert len(setup.outbox._queue) <= LIMIT
        if number % 100 == 0:
            await asyncio.sleep(0)
    assert setup.overflows == 0, "it is told when it reads again"
    setup.socket.open.set()
    await until(lambda: setup.overflows == 1)
    await until(lambda: link.DesiredSet(seq=99) in setup.socket.messages)
    setup.put(7)
    await until(lambda: setup.exchanges()[-1:] == [7])


async def test_the_last_word_comes_last_and_ends_it(setup: Setup) -> None:
    setup.put(1, 2)
    setup.outbox.end(link.PeerError(code="conflict", message="m"))
    await setup.task
    assert [type(one) for one in setup.socket.messages] == [link.Observe, link.Observe, link.PeerError]


async def test_a_peer_that_is_gone_ends_it_quietly(setup: Setup) -> None:
    setup.socket.is_gone = True
    setup.put(1)
    await setup.task


async def test_a_frame_never_exceeds_what_a_peer_takes(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "BATCH_BYTES_MAX", 1_000)
    large = [link.PeerError(code="c", message="x" * 400) for _ in range(LIMIT)]
    for message in large:
        setup.outbox.put(message)
    await setup.outbox.drained()
    assert setup.socket.messages == large
    assert max(len(frame) for frame in setup.socket.frames) <= 1_000


async def test_a_message_that_is_too_large_by_itself_goes_alone(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "BATCH_BYTES_MAX", 100)
    messages: list[msgspec.Struct] = [link.PeerError(code="c", message="x" * 400), link.Observe(exchange=1)]
    for message in messages:
        setup.outbox.put(message)
    await setup.outbox.drained()
    assert setup.socket.messages == messages


async def test_large_answers_that_nobody_reads_are_not_gathered(setup: Setup) -> None:
    """Hard use 59: twelve questions of one who doesn't read took 2.7 GB."""
    setup.socket.open.clear()
    large = msgspec.Raw(msgspec.msgpack.encode("x" * (outbox_module.QUEUED_BYTES_MAX // 4)))
    for _ in range(LIMIT):
        setup.outbox.put(large)
        await asyncio.sleep(0)
        held = sum(len(one) for one in setup.outbox._queue if isinstance(one, msgspec.Raw))
        assert held <= 1.5 * outbox_module.QUEUED_BYTES_MAX
    setup.socket.open.set()
    await until(lambda: setup.overflows == 1)
