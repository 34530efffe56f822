"""A coordinator's port as far as streams go: it checks requests, joins two ends, or is the other end itself."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.tls import own_certificate
from opsconsole_protocol.stream import proof, upgrade


@dataclass
class FakeCoordinator:
    """Serves connections in threads until it is closed."""

    secrets: dict[str, set[str]] = field(default_factory=dict)
    """By stream, those that are still good."""
    serve: Callable[[socket.socket], None] | None = None
    """The coordinator's own end of a stream; None: it joins two."""
    tls: bool = False
    answer: bytes | None = None
    """What it says in place of what it should."""
    cut_after_bytes: int | None = None
    """It ends a relay when so much has gone through it, one way."""
    join_s: float = 10.0
    host: str = "127.0.0.1"
    """Where it listens."""

    def __post_init__(self) -> None:
        self._server = socket.create_server((self.host, 0))
        self._waiting: dict[str, tuple[socket.socket, bytes]] = {}
        self._lock = threading.Condition()
        self._sockets: list[socket.socket] = [self._server]
        self.relayed_bytes = 0
        self.requests: list[upgrade.UpgradeRequest] = []
        self.protocols: list[str | None] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    @property
    def home(self) -> Home:
        scheme = "wss" if self.tls else "ws"
        hash_ = own_certificate().certificate_hash if self.tls else None
        return Home(f"{scheme}://{self.host}:{self._server.getsockname()[1]}", hash_)

    def close(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for sock in self._sockets:
            sock.close()

    def _run(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                self._sockets.append(sock)
                self._run(self._open, sock)

    def _open(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.tls:
                context = own_certificate().context
                context.set_alpn_protocols([upgrade.ALPN])
                secure = context.wrap_socket(sock, server_side=True)
                self._sockets.append(secure)
                self.protocols.append(secure.selected_alpn_protocol())
                sock = secure
            request = self._request(sock)
            if request is not None:
                self._answer(sock, request)

    def _request(self, sock: socket.socket) -> upgrade.UpgradeRequest | None:
        data = b""
        try:
            while (request := upgrade.parse_request(data)) is None:
                more = sock.recv(4_096)
                if not more:
                    return None
                data += more
        except ProtocolError as error:
            sock.sendall(upgrade.format_refusal(upgrade.NOT_UNDERSTOOD, error.message))
            return None
        self.requests.append(request)
        return request

    def _answer(self, sock: socket.socket, request: upgrade.UpgradeRequest) -> None:
        if self.answer is not None:
            sock.sendall(self.answer)
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
            return
        where = "" if self.tls else proof.where_of(sock.getsockname())
        good = self.secrets.get(request.stream_id, set())
        with self._lock:
            secret = next(
                (
                    one
                    for one in good
                    if proof.is_same(request.proof, proof.request_proof(one, request.stream_id, where))
                ),
                None,
            )
            good.discard(secret or "")
        if secret is None:
            sock.sendall(upgrade.format_refusal(upgrade.NOT_GOOD, "this ticket is used or expired: ask for another"))
            return
        acceptance = upgrade.format_acceptance(proof.acceptance_proof(secret, request.stream_id, where))
        if self.serve is not None:
            sock.sendall(acceptance)
            self.serve(sock)
            return
        self._join(sock, request.stream_id, acceptance)

    def _join(self, sock: socket.socket, stream_id: str, acceptance: bytes) -> None:
        came = True
        with self._lock:
            waiting = self._waiting.pop(stream_id, None)
            came = True
            if waiting is None:
                self._waiting[stream_id] = (sock, acceptance)
                self._lock.wait_for(lambda: stream_id not in self._waiting, self.join_s)
                came = self._waiting.pop(stream_id, None) is None
            self._lock.notify_all()
        if waiting is not None:
            other, its_acceptance = waiting
            sock.sendall(acceptance)
            other.sendall(its_acceptance)
            self._relay(sock, other)
        elif not came:
            sock.sendall(upgrade.format_refusal(upgrade.NOT_JOINED, "the other end doesn't come"))

    def _relay(self, one: socket.socket, other: socket.socket) -> None:
        """Pass on what comes from either side, in one thread: a TLS connection can't be used by two."""
        targets = {one: other, other: one}
        room: dict[socket.socket, int | None] = dict.fromkeys(targets, self.cut_after_bytes)
        with contextlib.suppress(OSError):
            while True:
                for source in select.select(list(targets), [], [])[0]:
                    left = room[source]
                    data: bytes = source.recv(1 << 16)
                    targets[source].sendall(data[:left])
                    self.relayed_bytes += len(data[:left])
                    room[source] = None if left is None else left - len(data)
                    if not data or (left is not None and left <= len(data)):
                        raise ConnectionAbortedError
        for sock in targets:
            sock.close()  # only then does a sender notice


@contextlib.contextmanager
def coordinator(**options: object) -> Iterator[FakeCoordinator]:
    """One that is closed at the end."""
    made = FakeCoordinator(**options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()
