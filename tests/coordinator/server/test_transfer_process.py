"""The transfer process as the coordinator runs it: what it is handed, what it does when it dies, and what strangers get."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from opsconsole_coordinator.server import transfer_process as module
from opsconsole_coordinator.server.transfer_process import TransferLimits, TransferProcess
from opsconsole_coordinator.transfer.message import PACKET_BYTES_MAX, Expect, Over, Relay, Serve
from opsconsole_protocol.error import LimitExceeded, Unavailable
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream import upgrade
from opsconsole_protocol.stream.proof import acceptance_proof, request_proof, where_of

LIMITS = TransferLimits(content_bytes_max=1 << 30, relay_streams=2, relay_bytes_s=0)
SECRETS = ("m" * 43, "t" * 43)
WAIT_S = 20.0


class Room:
    """A process that runs, and a port whose connections it is handed."""

    def __init__(self, process: TransferProcess, listener: socket.socket) -> None:
        self.process = process
        self.where = where_of(listener.getsockname())
        self.over: asyncio.Queue[Over] = asyncio.Queue()
        self.lost: asyncio.Queue[None] = asyncio.Queue()
        self.known = 0
        self.closed = 0
        self.has_closed = asyncio.Event()
        self._listener = listener
        process.listener.on_over = self.over.put_nowait
        process.listener.on_lost = lambda: self.lost.put_nowait(None)

    async def connect(self) -> socket.socket:
        """A new connection that the process is handed."""
        outer = socket.socket()
        outer.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(outer, self._listener.getsockname())
        inner, _ = await loop.sock_accept(self._listener)

        def on_known() -> None:
            self.known += 1

        def on_closed() -> None:
            self.closed += 1
            self.has_closed.set()

        assert self.process.take(inner, on_known, on_closed)
        return outer

    def expect(self, stream_id: str, ttl_ms: int = 60_000) -> None:
        """Let two ends come."""
        self.process.expect(Expect(stream_id=stream_id, ttl_ms=ttl_ms, secrets=SECRETS, work=Relay()))

    async def ask(self, stream_id: str, end: int = 0, proof: str | None = None) -> socket.socket:
        """A connection that has asked for an end of a stream."""
        connection = await self.connect()
        proof = proof or request_proof(SECRETS[end], stream_id, self.where)
        await asyncio.get_running_loop().sock_sendall(connection, upgrade.format_request(stream_id, proof, "127.0.0.1"))
        return connection

    async def joined(self, stream_id: str) -> tuple[socket.socket, socket.socket]:
        """Both ends of a stream that stands."""
        self.expect(stream_id)
        ends = await self.ask(stream_id, 0), await self.ask(stream_id, 1)
        for number, end in enumerate(ends):
            answer = await self.answer(end)
            assert answer.is_open, answer
            assert answer.proof == acceptance_proof(SECRETS[number], stream_id, self.where)
        return ends

    async def answer(self, connection: socket.socket) -> upgrade.UpgradeAnswer:
        """What is answered."""
        data = b""
        async with asyncio.timeout(WAIT_S):
            while True:
                more = await asyncio.get_running_loop().sock_recv(connection, 4_096)
                data += more
                found = upgrade.parse_answer(data, is_whole=not more)
                if found is not None:
                    return found

    async def receive(self, connection: socket.socket, size: int) -> bytes:
        """So many bytes, or all until the end."""
        data = b""
        async with asyncio.timeout(WAIT_S):
            while len(data) < size:
                more = await asyncio.get_running_loop().sock_recv(connection, size - len(data))
                if not more:
                    break
                data += more
        return data


@pytest.fixture
async def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    monkeypatch.setattr(module, "RESTART_S", 0.01)
    process = TransferProcess(tmp_path / "content", LIMITS, None)
    running = asyncio.create_task(process.run())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Room(process, listener)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def pid_of(room: Room) -> int:
    assert room.process._process is not None
    return room.process._process.pid


async def test_it_is_started_on_first_need_and_ends_with_its_channel(tmp_path: Path) -> None:
    process = TransferProcess(tmp_path / "content", LIMITS, None)
    running = asyncio.create_task(process.run())
    await asyncio.sleep(0)
    assert process._process is None
    await process.ready(WAIT_S)
    child = process._process
    assert child is not None
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert child.returncode == 0


async def test_two_ends_are_joined_and_the_end_of_one_is_the_others(room: Room) -> None:
    first, second = await room.joined("s1")
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(first, b"hello")
    assert await room.receive(second, 5) == b"hello"
    first.shutdown(socket.SHUT_WR)
    assert await room.receive(second, 1) == b""
    await loop.sock_sendall(second, b"and back")
    second.close()
    assert await room.receive(first, 100) == b"and back"
    first.close()
    async with asyncio.timeout(WAIT_S):
        over = await room.over.get()
    assert (over.stream_id, over.moved_bytes, over.error) == ("s1", 13, "")
    assert (room.known, room.closed) == (2, 2)


async def test_a_ticket_is_good_for_one_connection(room: Room) -> None:
    ends = await room.joined("s1")
    again = await room.ask("s1", 0)
    answer = await room.answer(again)
    assert answer.status == upgrade.NOT_GOOD
    assert "this stream isn't expected: it was used, it has expired, or it is another's" in answer.text
    for one in (*ends, again):
        one.close()


@pytest.mark.parametrize("proof", [request_proof("x" * 43, "s1"), "0" * 64])
async def test_a_ticket_of_another_is_none(room: Room, proof: str) -> None:
    room.expect("s1")
    stranger = await room.ask("s1", proof=proof)
    assert (await room.answer(stranger)).status == upgrade.NOT_GOOD
    stranger.close()
    ends = await room.ask("s1", 0), await room.ask("s1", 1)  # which lose nothing by it
    for end in ends:
        assert (await room.answer(end)).is_open
        end.close()


async def test_a_late_ticket_is_none(room: Room) -> None:
    await room.process.ready(WAIT_S)
    room.expect("s1", ttl_ms=0)
    late = await room.ask("s1")
    assert (await room.answer(late)).status == upgrade.NOT_GOOD
    late.close()


async def test_who_comes_alone_is_told_so_when_the_time_is_over(room: Room) -> None:
    await room.process.ready(WAIT_S)
    room.expect("s1", ttl_ms=1_500)
    alone = await room.ask("s1")
    answer = await room.answer(alone)
    assert answer.status == upgrade.NOT_JOINED
    assert answer.text == "the other end of this stream didn't come in time"
    alone.close()


@pytest.mark.parametrize(
    "said",
    [b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /stream \r\n\r\n", b"GET /stream " + b"x" * 5_000],
    ids=["no stream", "no HTTP", "too long"],
)
async def test_what_is_no_request_is_refused_in_one_line(room: Room, said: bytes) -> None:
    stranger = await room.connect()
    await asyncio.get_running_loop().sock_sendall(stranger, said)
    with contextlib.suppress(ConnectionResetError):  # it was sent more than it has read
        answer = await room.answer(stranger)
        assert answer.status == upgrade.NOT_UNDERSTOOD
        assert answer.text
    stranger.close()
    async with asyncio.timeout(WAIT_S):
        await room.has_closed.wait()
    assert room.known == 0


async def test_no_more_streams_are_relayed_than_allowed(room: Room) -> None:
    ends = [*await room.joined("s1"), *await room.joined("s2")]
    room.expect("s3")
    more = await room.ask("s3", 0), await room.ask("s3", 1)
    for end in more:
        answer = await room.answer(end)
        assert (answer.status, answer.text) == (
            upgrade.TOO_MANY,
            "the coordinator relays 2 streams already: try again later",
        )
    for end in (*ends, *more):
        end.close()


async def test_a_stream_that_is_cancelled_ends(room: Room) -> None:
    first, second = await room.joined("s1")
    room.process.cancel("s1", "it was revoked")
    assert (await room.receive(first, 1), await room.receive(second, 1)) == (b"", b"")
    async with asyncio.timeout(WAIT_S):
        assert (await room.over.get()).error == "it was revoked"
    room.expect("s2")
    room.process.cancel("s2", "it was revoked")
    late = await room.ask("s2")
    assert (await room.answer(late)).status == upgrade.NOT_GOOD
    for one in (first, second, late):
        one.close()


async def test_a_process_that_was_killed_is_started_again_and_its_streams_are_lost(room: Room) -> None:
    first, second = await room.joined("s1")
    os.kill(pid_of(room), signal.SIGKILL)
    assert (await room.receive(first, 1), await room.receive(second, 1)) == (b"", b"")
    async with asyncio.timeout(WAIT_S):
        await room.lost.get()
    assert room.closed == 2
    ends = await room.joined("s2")
    await asyncio.get_running_loop().sock_sendall(ends[0], b"x")
    assert await room.receive(ends[1], 1) == b"x"
    for one in (first, second, *ends):
        one.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_ends_with_the_coordinator_and_not_by_what_stops_all_its_processes(
    room: Room, number: signal.Signals
) -> None:
    """A service manager sends the same to all of them: that isn't an accident to be told and mended."""
    ends = await room.joined("s1")
    os.kill(pid_of(room), number)
    await asyncio.get_running_loop().sock_sendall(ends[0], b"x")
    assert await room.receive(ends[1], 1) == b"x"
    assert room.process.starts == 1
    for one in ends:
        one.close()


async def test_what_was_expected_before_it_was_killed_is_expected_after(room: Room) -> None:
    await room.process.ready(WAIT_S)
    room.expect("s1")
    os.kill(pid_of(room), signal.SIGKILL)
    async with asyncio.timeout(WAIT_S):
        await room.lost.get()
    ends = await room.ask("s1", 0), await room.ask("s1", 1)
    for end in ends:
        assert (await room.answer(end)).is_open
        end.close()


async def test_what_does_not_fit_into_a_packet_is_refused_and_ends_nobody(room: Room) -> None:
    ends = await room.joined("s1")
    work = Serve(content_id=ContentId("5f" * 32), patterns=("ü" * 1_000,) * (PACKET_BYTES_MAX // 2_000 + 1))
    with pytest.raises(LimitExceeded, match="patterns"):
        room.process.expect(Expect(stream_id="s2", ttl_ms=60_000, secrets=SECRETS[:1], work=work))
    await asyncio.get_running_loop().sock_sendall(ends[0], b"x")
    assert await room.receive(ends[1], 1) == b"x"
    assert room.process.starts == 1
    for one in ends:
        one.close()


async def test_who_waits_for_a_process_that_can_not_be_started_is_let_go(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spawn(descriptor: int) -> None:
        raise OSError(f"no memory for {descriptor}")

    monkeypatch.setattr(module, "_spawn", spawn)
    connection = await room.connect()
    async with asyncio.timeout(WAIT_S):
        await room.has_closed.wait()
    assert await room.receive(connection, 1) == b""
    connection.close()


async def test_who_does_not_read_keeps_nobody_from_being_served(room: Room) -> None:
    """One relay is stuck: another one goes on, and no more than a few buffers of memory are taken."""
    first, second = await room.joined("s1")
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 1 << 30:
            sent += first.send(b"x" * 65_536)
    ends = await room.joined("s2")
    data = os.urandom(1 << 20)
    sender = threading.Thread(target=_send_all, args=(ends[0], data))
    sender.start()
    assert await room.receive(ends[1], len(data)) == data
    sender.join()
    assert psutil.Process(pid_of(room)).memory_info().rss < 200 << 20
    for one in (first, second, *ends):
        one.close()


def _send_all(connection: socket.socket, data: bytes) -> None:
    connection.setblocking(True)
    connection.sendall(data)
    connection.setblocking(False)


@pytest.mark.parametrize("packet", [b"\xc1", b"\x81\xa4type\xa3odd"], ids=["no-msgpack", "unknown"])
async def test_one_that_speaks_nonsense_is_started_again_and_its_streams_end(room: Room, packet: bytes) -> None:
    first, second = await room.joined("s1")
    before = pid_of(room)
    ours = room.process._channel
    assert ours is not None
    nonsense, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with nonsense, theirs:
        os.dup2(theirs.fileno(), ours.fileno(), inheritable=False)  # in the process's place
        asyncio.get_running_loop().remove_reader(ours.fileno())
        asyncio.get_running_loop().add_reader(ours.fileno(), room.process._receive)
        nonsense.send(packet)
        async with asyncio.timeout(WAIT_S):
            await room.lost.get()
    assert await room.receive(first, 1) == b""
    await room.process.ready(WAIT_S)
    assert pid_of(room) != before
    for one in (first, second):
        one.close()


async def test_a_store_that_can_not_be_used_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "content").write_text("in the way of a folder")
    process = TransferProcess(tmp_path / "content", LIMITS, None)
    running = asyncio.create_task(process.run())
    with pytest.raises(Unavailable, match=r"content' can't be used \(File exists\): mend it"):
        await process.ready(WAIT_S)
    assert "can't be used" in process.trouble
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
