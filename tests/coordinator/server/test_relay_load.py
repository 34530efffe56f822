"""A relay at full speed, with TLS and without: the coordinator's own loop goes on, and answers everybody at once."""

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path

import pytest

from opsconsole_protocol import api, link
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import FileRoot, OpenStream, RootKind, StreamGrant, Via, WriteFiles
from tests.coordinator.server import peer
from tests.coordinator.server.peer import Agent, Operator, Site
from tests.coordinator.server.stream_peer import AgentSignals, OperatorSignals, joined

MOUNTS = {"io_paths": {"input": "/in"}, "mounts": []}
CHUNK = os.urandom(1 << 20)
CHUNKS = 300


class Ends:
    """Both ends of a relayed stream, each used by a thread."""

    def __init__(self, first: Stream, second: Stream) -> None:
        self.first, self.second = first, second

    def send(self) -> None:
        for _ in range(CHUNKS):
            self.first.send(CHUNK)

    def receive(self) -> int:
        room = memoryview(bytearray(1 << 20))
        left = CHUNKS << 20
        while left:
            size = self.second.receive_into(room)
            assert size
            left -= size
        return CHUNKS << 20

    def close(self) -> None:
        self.first.close()
        self.second.close()


async def relayed(site: Site, operator: Operator, others: tuple[Operator, Operator], agent: Agent) -> Ends:
    purpose = WriteFiles(root=FileRoot(kind=RootKind.MOUNT, mount="input"))
    wanted = OpenStream(purpose=purpose, peer=agent.name, via=Via.RELAY)
    mine: StreamGrant = (await operator.call(api.AskForStream(open=wanted))).grant
    theirs = (await agent.take(link.ServeStream)).grant
    signals, answers = OperatorSignals(*others, mine.stream_id), AgentSignals(agent, mine.stream_id)
    first, second = await asyncio.gather(
        asyncio.to_thread(joined, site, mine, signals), asyncio.to_thread(joined, site, theirs, answers)
    )
    return Ends(first, second)


@pytest.mark.parametrize("tls", ["auto", "on"])
async def test_heartbeats_are_answered_while_a_relay_runs_at_full_speed(tmp_path: Path, tls: str) -> None:
    async with (
        peer.site(tmp_path, tls=tls) as site, await site.operator() as operator, await site.operator() as teller,
        await site.operator() as waiter, await site.agent("a") as agent, await site.agent("b") as other,
    ):  # fmt: skip
        await agent.register(properties=MOUNTS)
        await other.register()
        ends = await relayed(site, operator, (teller, waiter), agent)
        began_s = time.monotonic()
        moving = asyncio.gather(asyncio.to_thread(ends.send), asyncio.to_thread(ends.receive))
        slowest_s = 0.0
        beats = 0
        while not moving.done():
            asked_s = time.monotonic()
            await other.send(link.Heartbeat(at_ms=beats))
            await other.take(link.HeartbeatAck)
            slowest_s = max(slowest_s, time.monotonic() - asked_s)
            beats += 1
        await moving
        seconds = time.monotonic() - began_s
        ends.close()
        assert beats > 10
        assert slowest_s < 2, "the loop was held up"
        assert (CHUNKS << 20) / seconds > 20_000_000, "so slow that something waits where nothing should"


async def test_a_relay_that_is_cut_is_lost_at_both_ends(tmp_path: Path) -> None:
    async with (
        peer.site(tmp_path) as site, await site.operator() as operator, await site.operator() as teller,
        await site.operator() as waiter, await site.agent("a") as agent,
    ):  # fmt: skip
        await agent.register(properties=MOUNTS)
        ends = await relayed(site, operator, (teller, waiter), agent)
        process = site.streams.process._process
        assert process is not None
        reading = asyncio.create_task(asyncio.to_thread(ends.second.receive_into, bytearray(1)))
        process.kill()
        with contextlib.suppress(StreamLost):
            assert await reading == 0
        with pytest.raises(StreamLost):
            await asyncio.to_thread(_send_on, ends.first)
        ends.close()
        assert (await waiter.call(api.AwaitSignals(stream_id="gone", wait_ms=0))).is_over


def _send_on(stream: Stream) -> None:
    while True:
        stream.send(CHUNK)


async def test_many_agents_connect_as_fast_as_without_streams(tmp_path: Path) -> None:
    """Looking at the first bytes costs next to nothing; whoever sends them slowly holds up nobody."""
    async with peer.site(tmp_path) as site:
        address = site.acceptor._listener.getsockname()
        slow = [socket.create_connection(address) for _ in range(50)]
        for one in slow:
            one.send(b"GET /stre")
        began_s = time.monotonic()
        for number in range(100):
            async with await site.agent(f"w{number}") as agent:
                await agent.register()
        assert time.monotonic() - began_s < 20
        for one in slow:
            one.close()
