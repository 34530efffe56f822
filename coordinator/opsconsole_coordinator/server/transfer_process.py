"""The coordinator's side of its transfer process: starts it on first need, hands it connections, and hears what comes of them.

Nothing here waits for the process: what it doesn't take at once is queued, and sent when it does. Where it dies it is started
again; its streams are lost with it, and their ends ask for new ones.
"""

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from opsconsole_coordinator.transfer.message import (
    PACKET_BYTES_MAX,
    PACKET_IDS_MAX,
    Begun,
    Cancel,
    Closed,
    Configure,
    Connection,
    Counted,
    Expect,
    FromProcess,
    Held,
    Kept,
    Known,
    Look,
    Looked,
    Message,
    Over,
    Pin,
    Ready,
    Remove,
    Said,
    Unpin,
    Unusable,
    decode_from_process,
    encode,
)
from opsconsole_protocol.error import LimitExceeded, ProtocolError, Unavailable, from_code
from opsconsole_protocol.file_listing import FileQuery, PartQuery
from opsconsole_protocol.ids import ContentId

log = logging.getLogger("opsconsole.coordinator.transfer")

LOOK_S = 15.0
"""How long a look at a kept tree may take."""
RESTART_S = 1.0
RESTART_LATEST_S = 30.0
STOP_S = 5.0
"""How long its end is waited for before it is killed."""
PACKETS_AT_ONCE = 64
"""How many packets of it are read before the loop does something else."""
CONNECTIONS_QUEUED_MAX = 1_000
_OWN_PREFIX = "OPSCONSOLE_"


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """What the process may use."""

    content_bytes_max: int
    relay_streams: int
    relay_bytes_s: int


@dataclass(slots=True)
class Handed:
    """A connection that was handed over. `connection` is kept open here until its peer has shown a secret."""

    connection: socket.socket
    on_known: Callable[[], None]
    on_closed: Callable[[], None]


@dataclass(slots=True)
class TransferListener:
    """Who is told what the process tells. Each is called on the loop, and must not block."""

    on_kept: Callable[[set[ContentId], set[ContentId]], None] = lambda *_: None
    """Trees are kept from now on, and others no longer."""
    on_held: Callable[[Held], None] = lambda _: None
    """A holder has trees pinned: one that the store knew when it was opened, or by a tree that has just come."""
    on_begun: Callable[[str], None] = lambda _: None
    on_over: Callable[[Over], None] = lambda _: None
    on_lost: Callable[[], None] = lambda: None
    """The process has died, with all of its streams."""


class TransferProcess:
    """Runs as long as `run` does."""

    def __init__(self, folder: Path, limits: TransferLimits, certificate: tuple[Path, Path] | None) -> None:
        """`folder`: of the kept trees. `certificate`: the files of certificate and key; None where the port is plain."""
        self._folder = folder
        self._limits = limits
        self._certificate = certificate
        self.listener = TransferListener()
        self.counted = Counted(relays=0, relayed_bytes=0, kept_bytes=0, refused={})
        self.starts = 0
        self._before = self.counted
        """What the processes before this one have counted."""
        self.kept: set[ContentId] = set()
        """The trees in its store, as far as it has told."""
        self._is_needed = asyncio.Event()
        self.is_ready = asyncio.Event()
        """Set once the store has told all that is in it."""
        self.trouble = ""
        """Why the store can't be used, in one line; it is tried again. For a line of health."""
        self._is_known = asyncio.Event()
        """The store is ready, or can't be used."""
        self._channel: socket.socket | None = None
        self._queue: deque[tuple[bytes, int | None]] = deque()
        """Packets that the process hasn't taken, each with the number of the connection that goes with it."""
        self._is_waiting_to_send = False
        self._numbers = count(1)
        self._handed: dict[int, Handed] = {}
        self._expected: dict[str, tuple[Expect, float]] = {}
        """Streams that may begin, and until when; the process is told again where it starts anew."""
        self._pins: dict[str, tuple[ContentId, ...]] = {}
        self._told: set[ContentId] = set()
        """What the present process has told of its store, until it is ready."""
        self._looks: dict[int, asyncio.Future[Looked]] = {}
        self._over = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def relayed_bytes(self) -> int:
        """What it has passed on since the coordinator's start."""
        return self._before.relayed_bytes + self.counted.relayed_bytes

    @property
    def refused(self) -> Counter[str]:
        """Connections that it has turned away since the coordinator's start, by why."""
        return Counter(self._before.refused) + Counter(self.counted.refused)

    # --- what others want of it --------------------------------------------------------------------------------

    def need(self) -> None:
        """Have it started, unless it runs."""
        self._is_needed.set()

    async def ready(self, wait_s: float) -> None:
        """Have it started, and wait until its store is open. Raises Unavailable, at once where that can't be."""
        self.need()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_known.wait(), wait_s)
        if not self.is_ready.is_set():
            raise Unavailable(self.trouble or "the coordinator's store of files isn't open yet: try again")

    def take(self, connection: socket.socket, on_known: Callable[[], None], on_closed: Callable[[], None]) -> bool:
        """Hand a connection over that asks for a stream; False where there are too many.

        `on_known` is called when its peer has shown a secret, `on_closed` at its end.
        """
        if len(self._handed) >= CONNECTIONS_QUEUED_MAX + 2 * self._limits.relay_streams:
            return False
        number = next(self._numbers)
        self._handed[number] = Handed(connection, on_known, on_closed)
        self.need()
        if self._channel is not None:
            self._send(Connection(number=number), number)
        return True

    def expect(self, message: Expect) -> None:
        """A stream was granted: its ends may come. Raises LimitExceeded where what it is for can't be told to the process."""
        if len(encode(message)) > PACKET_BYTES_MAX:
            raise LimitExceeded("too many patterns, or too long ones, for one stream: ask for fewer at a time")
        now_s = asyncio.get_running_loop().time()
        for stream_id in [one for one, (_, until_s) in self._expected.items() if until_s <= now_s]:
            del self._expected[stream_id]
        self._expected[message.stream_id] = message, now_s + message.ttl_ms / 1000
        self._send(message)

    def cancel(self, stream_id: str, reason: str) -> None:
        """A stream isn't wanted any more."""
        self._expected.pop(stream_id, None)
        self._send(Cancel(stream_id=stream_id, reason=reason))

    def pin(self, holder: str, content_ids: Iterable[ContentId]) -> None:
        """Trees that stay as long as the holder does."""
        self._pins[holder] = wanted = tuple(content_ids)
        self.need()
        for start in range(0, len(wanted), PACKET_IDS_MAX):
            self._send(Pin(holder=holder, content_ids=wanted[start : start + PACKET_IDS_MAX]))

    def unpin(self, holder: str) -> None:
        """A holder needs its trees no more."""
        self._pins.pop(holder, None)
        self._send(Unpin(holder=holder))

    def remove(self, content_id: ContentId) -> None:
        """A tree may go, unless somebody has it pinned."""
        self._send(Remove(content_id=content_id))

    async def look(
        self, content_id: ContentId, *, listing: FileQuery | None = None, part: PartQuery | None = None
    ) -> Looked:
        """Look at a kept tree: list a folder of it, or read a piece of a file. Raises OpsconsoleError."""
        await self.ready(LOOK_S)
        number = next(self._numbers)
        future: asyncio.Future[Looked] = asyncio.get_running_loop().create_future()
        self._looks[number] = future
        try:
            self._send(Look(number=number, content_id=content_id, listing=listing, part=part))
            said = await asyncio.wait_for(future, LOOK_S)
        except TimeoutError:
            raise Unavailable("the coordinator's store of files doesn't answer: try again") from None
        finally:
            del self._looks[number]
        if said.code:
            raise from_code(said.code, said.error)
        return said

    # --- its life ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start it when it is needed, and again when it has died, until this is cancelled."""
        pause_s = RESTART_S
        try:
            while True:
                await self._is_needed.wait()
                began_s = asyncio.get_running_loop().time()
                try:
                    await self._start()
                except OSError as error:
                    log.error("the transfer process can't be started: %s", error.strerror or error)
                else:
                    await self._over.wait()
                    log.warning("the transfer process has ended: its streams are lost, and it is started again")
                await self._end()
                lasted_s = asyncio.get_running_loop().time() - began_s
                pause_s = RESTART_S if lasted_s > RESTART_LATEST_S else min(2 * pause_s, RESTART_LATEST_S)
                await asyncio.sleep(pause_s)
        finally:
            await asyncio.shield(self._end())

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            try:
                self._process = await asyncio.to_thread(_spawn, theirs.fileno())
            except BaseException:
                ours.close()
                raise
        self.starts += 1
        self._over.clear()
        self._told = set()
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._receive)
        cert, key = (str(one) for one in self._certificate) if self._certificate is not None else ("", "")
        self._send(
            Configure(
                content_folder=str(self._folder),
                content_bytes_max=self._limits.content_bytes_max,
                certificate=cert,
                key=key,
                relay_streams=self._limits.relay_streams,
                relay_bytes_s=self._limits.relay_bytes_s,
            )
        )
        now_s = asyncio.get_running_loop().time()
        for message, until_s in list(self._expected.values()):
            if until_s > now_s:
                left_ms = round((until_s - now_s) * 1000)
                self._send(
                    Expect(stream_id=message.stream_id, ttl_ms=left_ms, secrets=message.secrets, work=message.work)
                )
        for holder, content_ids in list(self._pins.items()):
            self.pin(holder, content_ids)
        for number in list(self._handed):
            self._send(Connection(number=number), number)

    async def _end(self) -> None:
        """Let go of the process, and of all that was handed to it."""
        self.is_ready.clear()
        self._is_known.clear()
        self._queue.clear()
        kept_bytes = self.counted.kept_bytes
        self._before = Counted(relays=0, relayed_bytes=self.relayed_bytes, kept_bytes=0, refused=dict(self.refused))
        self.counted = Counted(relays=0, relayed_bytes=0, kept_bytes=kept_bytes, refused={})
        if self._channel is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._channel.fileno())
            self._stop_waiting_to_send()
            self._channel.close()  # which ends the process
            self._channel = None
            self.listener.on_lost()
        handed, self._handed = self._handed, {}  # those included that waited for a process that can't be started
        for one in handed.values():
            one.connection.close()
            one.on_closed()
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(_reap, process)

    # --- its words ---------------------------------------------------------------------------------------------

    def _send(self, message: Message, number: int | None = None) -> None:
        if self._channel is None:
            return  # it is told when it starts
        self._queue.append((encode(message), number))
        if not self._is_waiting_to_send:
            self._flush()

    def _flush(self) -> None:
        channel = self._channel
        if channel is None:
            return
        while self._queue:
            packet, number = self._queue[0]
            handed = self._handed.get(number) if number is not None else None
            if number is not None and handed is None:
                self._queue.popleft()
                continue
            try:
                if handed is None:
                    channel.send(packet)
                else:
                    socket.send_fds(channel, [packet], [handed.connection.fileno()])
            except BlockingIOError:
                if not self._is_waiting_to_send:
                    self._is_waiting_to_send = True
                    asyncio.get_running_loop().add_writer(channel.fileno(), self._flush)
                return
            except OSError:
                self._over.set()
                return
            self._queue.popleft()
        self._stop_waiting_to_send()

    def _stop_waiting_to_send(self) -> None:
        if self._is_waiting_to_send and self._channel is not None:
            self._is_waiting_to_send = False
            asyncio.get_running_loop().remove_writer(self._channel.fileno())

    def _receive(self) -> None:
        channel = self._channel
        for _ in range(PACKETS_AT_ONCE):
            if channel is None or channel is not self._channel:
                return
            try:
                packet = channel.recv(PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._break_off(channel)
                return
            try:
                message = decode_from_process(packet)
            except ProtocolError as error:  # whatever it was about is ended with the process, and asked for anew
                log.error("the transfer process speaks nonsense, and is started again: %s", error.message)
                self._break_off(channel)
                return
            self._hear(message)

    def _break_off(self, channel: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(channel.fileno())
        self._over.set()

    def _hear(self, message: FromProcess) -> None:
        match message:
            case Known(number=number):
                self._on_known(number)
            case Closed(number=number):
                self._on_closed(number)
            case Begun(stream_id=stream_id):
                self._expected.pop(stream_id, None)
                self.listener.on_begun(stream_id)
            case Over():
                self.listener.on_over(message)
            case Kept(added=added, removed=removed):
                self._on_kept(set(added), set(removed))
            case Held():
                self.listener.on_held(message)
            case Ready():
                self._on_ready()
            case Unusable(text=text):
                log.error("%s", text)
                self.trouble = text
                self._is_known.set()
            case Counted():
                self.counted = message
            case Looked(number=number):
                self._on_looked(number, message)
            case Said(text=text):
                log.error("the transfer process says: %s", text)

    def _on_looked(self, number: int, message: Looked) -> None:
        future = self._looks.get(number)
        if future is not None and not future.done():
            future.set_result(message)

    def _on_known(self, number: int) -> None:
        handed = self._handed.get(number)
        if handed is not None:
            handed.connection.close()  # the process has it, and nobody ends it from here any more
            handed.on_known()

    def _on_closed(self, number: int) -> None:
        handed = self._handed.pop(number, None)
        if handed is not None:
            handed.connection.close()
            handed.on_closed()

    def _on_kept(self, added: set[ContentId], removed: set[ContentId]) -> None:
        self._told = (self._told | added) - removed
        if self.is_ready.is_set():
            removed &= self.kept
            self.kept = (self.kept | added) - removed
            self.listener.on_kept(added, removed)

    def _on_ready(self) -> None:
        added, removed = self._told - self.kept, self.kept - self._told
        self.kept = set(self._told)
        self.is_ready.set()
        self.trouble = ""
        self._is_known.set()
        self.listener.on_kept(added, removed)


def _spawn(descriptor: int) -> subprocess.Popen[bytes]:
    # Our own variables hold tokens, and it needs none of them. Its folder of work isn't searched for modules (-P).
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIX)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "opsconsole_coordinator.transfer", str(descriptor)],
        env=env,
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
