"""The agent's end of its link: it dials, registers, keeps the connection alive, and connects again when that is lost.

Nothing is sent again here: whatever matters is a difference between two sets, which is still there after a reconnection.
Messages leave in batches. Log frames leave one at a time, so that a report never waits for more than one of them.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from opsconsole_agent.log.shipper import LogShipper
from opsconsole_protocol import codec
from opsconsole_protocol.error import (
    Conflict,
    Forbidden,
    InvalidRequest,
    OpsconsoleError,
    ProtocolError,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
    from_code,
)
from opsconsole_protocol.host.dial import Refused, Unproven, WrongCertificate, dial
from opsconsole_protocol.link import (
    CoordinatorMessage,
    Heartbeat,
    Message,
    PeerError,
    Register,
    Registered,
    encode_frame,
)
from opsconsole_protocol.link.codec import agent_codec
from opsconsole_protocol.trust.address import InvalidAddress

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

PATH = "/agent"
BACK_OFF_FIRST_S, BACK_OFF_LAST_S = 0.2, 15.0
REGISTER_TIMEOUT_S = 15.0
MISSED_ACKS_MAX = 3
OUTBOX_MAX = 20_000
BATCH_MAX = 200
_BATCH_PAUSE_S = 0.002
"""The first message after a pause leaves at once. What comes within this time after it leaves together."""
_LOG_PAUSE_S = 0.02
"""New files and acknowledgements that come within this time are looked at together."""

_FATAL_EVER = (Unauthenticated, Forbidden, VersionMismatch)
_FATAL_AT_FIRST = (*_FATAL_EVER, Conflict, InvalidRequest, InvalidAddress, ProtocolError, Unproven, WrongCertificate)
_FATAL_STATUS = frozenset({401, 403, 426})


class Peer(Protocol):
    """The agent, as its link sees it. Every method but `heartbeat` returns at once."""

    def registration(self, reached_from: str) -> Register:
        """The registration to send now. `reached_from`: this host's own address on the connection."""

    def connected(self, registered: Registered) -> None:
        """The coordinator has accepted the registration."""

    def receive(self, message: CoordinatorMessage) -> None:
        """Take one message. `batch_received` follows the last one of a batch."""

    def batch_received(self) -> None:
        """All messages of a batch have been given to `receive`."""

    def disconnected(self) -> None:
        """The connection is gone."""

    def overflowed(self) -> None:
        """Messages were dropped, so the whole observed set has to be sent again."""

    def shipped(self) -> None:
        """Log files were looked at, and what was new was sent."""

    async def heartbeat(self) -> Heartbeat:
        """A fresh heartbeat; it may take some seconds."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to dial, and what to prove the agent's identity with."""

    url: str
    certificate_hash: str | None
    headers: Mapping[str, str] = field(repr=False)
    invitation: str | None = field(default=None, repr=False)
    """Sent until a coordinator has accepted this agent once."""
    secret: str = field(default="", repr=False)
    """The credential in `headers`."""
    is_known: bool = False
    """A coordinator accepted this agent with this invitation before: one that doesn't know its credential isn't that one."""


class CoordinatorLink:
    """One agent's link, which `run` keeps up.

    `say` is told in one line when its state changes. `on_accepted` is called whenever a coordinator has accepted this agent.
    """

    def __init__(
        self,
        target: Target,
        peer: Peer,
        shipper: LogShipper,
        say: Callable[[str], None],
        on_accepted: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._peer = peer
        self._shipper = shipper
        self._say = say
        self._codec = agent_codec()
        self._outbox: deque[Message] = deque()
        self._outbox_news = asyncio.Event()
        self._log_news = asyncio.Event()
        self._may_ship = asyncio.Event()
        self._on_accepted = on_accepted
        self._was_accepted = False
        self._is_known = target.is_known
        self._is_up = False
        self._said = ""
        self._heard_at_s = 0.0

    @property
    def is_up(self) -> bool:
        """Whether the coordinator has accepted the registration and the connection stands, as far as is known."""
        return self._is_up

    @property
    def is_idle(self) -> bool:
        """Whether all messages have left."""
        return not self._outbox

    def send(self, message: Message) -> None:
        """Queue a message for the present connection. Where there is none it is dropped."""
        if not self._is_up:
            return
        if len(self._outbox) >= OUTBOX_MAX:
            self._outbox.clear()
            self._peer.overflowed()
        self._outbox.append(message)
        self._outbox_news.set()

    def allow_shipping(self) -> None:
        """Ship logs from now on: the coordinator has said how much of each it has."""
        self._may_ship.set()

    def wake_shipping(self) -> None:
        """Look at the log files now: one began or ended, or more of one may be sent."""
        self._log_news.set()

    # --- staying connected -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect and reconnect until cancelled; raises OpsconsoleError when trying again can't help."""
        back_off_s = BACK_OFF_FIRST_S
        while True:
            began_s = time.monotonic()
            try:
                await self._connect()
            except OpsconsoleError as error:
                is_unproven = isinstance(error, Unproven) and self._is_known  # it may be anybody
                if not is_unproven and _is_fatal(error, first=not self._was_accepted):
                    raise
                self._narrate(error.message)
            if time.monotonic() - began_s > BACK_OFF_LAST_S:
                back_off_s = BACK_OFF_FIRST_S
            await asyncio.sleep(back_off_s * random.uniform(0.5, 1.0))  # noqa: S311 – to spread a herd of agents
            back_off_s = min(2 * back_off_s, BACK_OFF_LAST_S)

    def _narrate(self, reason: str) -> None:
        """Say why there is no connection, once for each reason."""
        if reason != self._said:
            self._said = reason
            self._say(f"{reason}; trying again, tasks go on meanwhile")

    async def _connect(self) -> None:
        """One connection, from dialling to its end. It always ends with an OpsconsoleError that tells why."""
        target = self._target
        headers = dict(target.headers)
        if target.invitation is not None and not self._was_accepted:
            headers["Opsconsole-Invitation"] = target.invitation
        socket = await dial(
            target.url,
            path=PATH,
            certificate_hash=target.certificate_hash,
            headers=headers,
            secrets=self._secrets(),
            max_size=codec.BATCH_BYTES_MAX,
        )
        try:
            await self._serve(socket)
        finally:
            if self._is_up:
                self._is_up = False
                self._peer.disconnected()
            self._outbox.clear()
            self._shipper.rewind_all()
            # A closing handshake with a peer that may be gone would only cost time.
            socket.transport.abort()

    def _secrets(self) -> tuple[str, ...]:
        """Over ws:// the coordinator has to prove that it knows one of these before any of them is sent."""
        target = self._target
        invitation = "" if self._is_known else target.invitation or ""
        return tuple(secret for secret in (target.secret, invitation) if secret)

    async def _serve(self, socket: "ClientConnection") -> None:
        registered, rest = await self._register(socket)
        self._was_accepted = self._is_known = self._is_up = True
        self._on_accepted()
        self._said = ""
        self._heard_at_s = time.monotonic()
        self._may_ship.clear()
        self._peer.connected(registered)
        self._say(f"connected to {self._target.url}")
        self._deliver(rest)
        period_s = registered.heartbeat_ms / 1000
        await _first_to_fail(
            self._receive(socket), self._send_batches(socket), self._ship(socket), self._send_heartbeats(period_s)
        )

    async def _register(self, socket: "ClientConnection") -> tuple[Registered, list[CoordinatorMessage]]:
        try:
            async with asyncio.timeout(REGISTER_TIMEOUT_S):
                await socket.send(self._codec.encode([self._peer.registration(_own_address(socket))]))
                frame = await socket.recv(decode=False)
        except TimeoutError:
            raise Unavailable(f"{self._target.url} doesn't answer the registration") from None
        except _closed() as error:
            raise _why_closed(self._target.url, error) from None
        messages = self._codec.decode(frame)
        match messages:
            case [Registered() as registered, *rest]:
                return registered, rest
            case [PeerError(code=code, message=message), *_]:
                raise from_code(code, message)
            case _:
                raise ProtocolError(f"{self._target.url} doesn't answer as a coordinator does")

    # --- while it stands -------------------------------------------------------------------------------------------

    async def _receive(self, socket: "ClientConnection") -> None:
        final_error: PeerError | None = None
        try:
            while True:
                messages = self._codec.decode(await socket.recv(decode=False))
                self._heard_at_s = time.monotonic()
                final_error = next((one for one in messages if isinstance(one, PeerError)), None)
                self._deliver(messages)
        except _closed() as error:
            if final_error is not None:
                raise from_code(final_error.code, final_error.message) from None
            raise _why_closed(self._target.url, error) from None

    def _deliver(self, messages: list[CoordinatorMessage]) -> None:
        for message in messages:
            self._peer.receive(message)
        self._peer.batch_received()

    async def _send_batches(self, socket: "ClientConnection") -> None:
        while True:
            await self._outbox_news.wait()
            self._outbox_news.clear()
            while self._outbox:
                batch = [self._outbox.popleft() for _ in range(min(BATCH_MAX, len(self._outbox)))]
                await _send(socket, self._codec.encode(batch), self._target.url)
            await asyncio.sleep(_BATCH_PAUSE_S)

    async def _ship(self, socket: "ClientConnection") -> None:
        await self._may_ship.wait()
        while True:
            self._log_news.clear()
            now_ms = time.time_ns() // 1_000_000
            for chunk in self._shipper.poll(now_ms):
                await _send(socket, encode_frame(chunk), self._target.url)
            self._peer.shipped()
            await asyncio.sleep(_LOG_PAUSE_S)
            due_ms = self._shipper.next_poll_ms
            await self._wait_for_logs(None if due_ms is None else due_ms / 1000 - time.time())

    async def _wait_for_logs(self, timeout_s: float | None) -> None:
        if timeout_s is not None and timeout_s <= 0:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._log_news.wait()
        except TimeoutError:
            return

    async def _send_heartbeats(self, period_s: float) -> None:
        """Send heartbeats. A coordinator that leaves several unanswered is gone, whatever the socket says."""
        while True:
            began_s = time.monotonic()
            unanswered_s = began_s - self._heard_at_s
            if unanswered_s > MISSED_ACKS_MAX * period_s:
                raise Unavailable(f"{self._target.url} has not answered for {unanswered_s:.0f} s")
            self.send(await self._peer.heartbeat())
            await asyncio.sleep(max(0.0, period_s - (time.monotonic() - began_s)))


async def _send(socket: "ClientConnection", frame: bytes, url: str) -> None:
    try:
        await socket.send(frame)
    except _closed() as error:
        raise _why_closed(url, error) from None


def _own_address(socket: "ClientConnection") -> str:
    found = socket.local_address
    return str(found[0]) if isinstance(found, tuple) else ""


async def _first_to_fail(*awaitables: Awaitable[None]) -> None:
    """Run all until one raises; raises its error once the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        # The receiver comes first: it knows the coordinator's last error.
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _closed() -> type[Exception]:
    from websockets.exceptions import ConnectionClosed

    return ConnectionClosed


def _why_closed(url: str, error: Exception) -> OpsconsoleError:
    code = getattr(getattr(error, "rcvd", None), "code", None)
    return Unavailable(f"{url} closed the connection" if code is not None else f"the connection to {url} was lost")


def _is_fatal(error: OpsconsoleError, *, first: bool) -> bool:
    """Whether trying again can't help. Once a coordinator has accepted this agent, only its clear refusal ends the agent."""
    if isinstance(error, Refused):
        return not error.temporary if first else error.status in _FATAL_STATUS
    return isinstance(error, _FATAL_AT_FIRST if first else _FATAL_EVER)
