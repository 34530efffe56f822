"""Streams by requests: what threads ask, on the loop that has the connection."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pytest

from opsconsole.client import Client
from opsconsole.transfer.broker import Asker, RequestBroker, RequestSignaller
from opsconsole_protocol import api
from opsconsole_protocol.error import Forbidden, NotFound, Unavailable
from opsconsole_protocol.host.content.session import Summary
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.error import StreamCancelled, StreamLost
from opsconsole_protocol.stream.message import FetchContent, OpenStream, PeerKind, StreamGrant, Way
from tests.client.fake_server import FakeServer
from tests.waiting import until

T = TypeVar("T")
PURPOSE = FetchContent(content_id=ContentId("0" * 64))
GRANT = StreamGrant(stream_id="s1", secret="x", is_initiator=True, purpose=PURPOSE, peer=PeerKind.COORDINATOR)


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[Client]:
    async with await Client.open(server.target) as client:
        yield client


async def in_thread(client: Client, work: Callable[[Asker], T]) -> T:
    asker = Asker(client, asyncio.get_running_loop(), threading.Event())
    return await asyncio.to_thread(work, asker)


async def test_a_stream_is_asked_for_and_its_end_told(client: Client, server: FakeServer) -> None:
    server.answers[api.AskForStream] = lambda _server, _request: api.StreamAnswer(grant=GRANT)
    server.answers[api.EndStream] = lambda _server, _request: api.Done(text="")

    def work(asker: Asker) -> StreamGrant:
        broker = RequestBroker(asker)
        grant, _ = broker.ask(OpenStream(purpose=PURPOSE))
        broker.ended("s1", Summary(ContentId("0" * 64), 10, 7, 2, 1.5), Way.WEBRTC, "", "aiortc")
        return grant

    assert await in_thread(client, work) == GRANT
    assert server.asked[-2:] == [
        api.AskForStream(open=OpenStream(purpose=PURPOSE)),
        api.EndStream(stream_id="s1", way=Way.WEBRTC, engine="aiortc", bytes=7, files=2, milliseconds=1_500),
    ]


async def test_a_refusal_is_what_the_coordinator_says(client: Client, server: FakeServer) -> None:
    def refuse(_server: FakeServer, _request: object) -> api.AnyAnswer:
        raise Forbidden("not for you")

    server.answers[api.AskForStream] = refuse
    with pytest.raises(Forbidden, match="not for you"):
        await in_thread(client, lambda asker: RequestBroker(asker).ask(OpenStream(purpose=PURPOSE)))
    await in_thread(client, lambda asker: RequestBroker(asker).ended("s1", None, None, "no fake takes that"))


async def test_signals_come_in_order_until_the_stream_is_over(client: Client, server: FakeServer) -> None:
    answers = iter(
        (api.SignalsAnswer(), api.SignalsAnswer(bodies=(b"1", b"2")), api.SignalsAnswer(bodies=(b"3",), is_over=True))
    )
    server.answers[api.AwaitSignals] = lambda _server, _request: next(answers)
    server.answers[api.SendSignal] = lambda _server, _request: api.Done(text="")

    def work(asker: Asker) -> list[bytes | None]:
        signaller = RequestSignaller(asker, "s1")
        signaller.send(b"hello")
        heard = [signaller.receive(0), *(signaller.receive(5) for _ in range(3))]
        with pytest.raises(StreamLost, match="has given the stream up"):
            signaller.receive(5)
        return heard

    assert await in_thread(client, work) == [None, b"1", b"2", b"3"]
    assert api.SendSignal(stream_id="s1", body=b"hello") in server.asked


async def test_what_cant_be_told_any_more_is_a_stream_that_is_lost(client: Client, server: FakeServer) -> None:
    def gone(_server: FakeServer, _request: object) -> api.AnyAnswer:
        raise NotFound("no such stream")

    server.answers[api.SendSignal] = server.answers[api.AwaitSignals] = gone
    for work in (lambda signaller: signaller.send(b"x"), lambda signaller: signaller.receive(1)):
        with pytest.raises(StreamLost, match="no such stream"):
            await in_thread(client, lambda asker, work=work: work(RequestSignaller(asker, "s1")))  # type: ignore[misc]


async def test_a_thread_that_waits_is_ended(client: Client, server: FakeServer) -> None:
    server.is_deaf = True
    cancel = threading.Event()
    asker = Asker(client, asyncio.get_running_loop(), cancel)
    waiting = asyncio.create_task(asyncio.to_thread(asker.ask, api.AskHealth(), api.Health))
    await until(lambda: server.asked)
    cancel.set()
    with pytest.raises(StreamCancelled):
        await waiting


def test_a_loop_that_has_ended_answers_nothing(server: FakeServer) -> None:
    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(Client.open(server.target))
    loop.run_until_complete(client.close())
    loop.close()
    with pytest.raises(Unavailable, match="ending"):
        Asker(client, loop, threading.Event()).ask(api.AskHealth(), api.Health)
