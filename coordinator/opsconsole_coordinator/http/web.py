"""The one port: `/agent` and `/operator` as websockets, `/health` and `/metrics` for monitoring, and `/proof`, by which the
coordinator proves to a peer that it knows the peer's secret."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from opsconsole_coordinator.http import metrics
from opsconsole_coordinator.http.acceptor import Acceptor, HttpConnection, StreamTaker
from opsconsole_coordinator.http.gate import Gate
from opsconsole_coordinator.http.metrics import Sources
from opsconsole_coordinator.server.agent_session import AgentSession
from opsconsole_coordinator.server.broadcaster import Broadcaster
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Identities
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.server.operator_api import OperatorApi
from opsconsole_coordinator.server.operator_session import OperatorSession
from opsconsole_coordinator.server.streams import Streams
from opsconsole_coordinator.server.trouble import trouble_of
from opsconsole_coordinator.trust.certificate import CertificateFiles, server_context
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol.bound import ID_CHARACTERS_MAX
from opsconsole_protocol.codec import BATCH_BYTES_MAX
from opsconsole_protocol.error import InvalidRequest, LimitExceeded, OpsconsoleError, Unauthenticated
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.trust import proof
from opsconsole_protocol.trust.invitation import INVITATION_HEADER

CONNECTIONS_MAX = 4_096
BACKLOG = 1_024
STOP_TIMEOUT_S = 3
MESSAGES_AHEAD_MAX = 16
SMALL_BYTES = 64 * 1024
"""The size up to which a message is small. Of one peer at most MESSAGES_AHEAD_MAX small messages wait here, and what one read of
its socket gives."""
_STATUS = {"unauthenticated": 401, "forbidden": 403, "conflict": 409, "invalid": 400, "version": 426}


class Web:
    """The routes and the server that serves them."""

    def __init__(
        self,
        commit_loop: CommitLoop,
        broadcaster: Broadcaster,
        operator_api: OperatorApi,
        log_service: LogService,
        identities: Identities,
        version: str,
        streams: Streams,
    ) -> None:
        self._commit_loop = commit_loop
        self._broadcaster = broadcaster
        self._streams = streams
        self._operator_api = operator_api
        self._log_service = log_service
        self._identities = identities
        self._version = version
        self._sessions = Counter[str]()
        """Open websockets, by `agent` or `operator`."""
        self._refused = commit_loop.counts.refused
        self._acceptors: list[Acceptor] = []
        self._server: uvicorn.Server | None = None
        self.listening = asyncio.Event()
        """Set once connections are accepted."""

    def app(self) -> Gate:
        """The application behind its gate."""
        routes = [
            Route("/health", self._health),
            Route("/metrics", self._metrics),
            Route(proof.PATH, self._proof),
            WebSocketRoute("/agent", self._agent),
            WebSocketRoute("/operator", self._operator),
        ]
        return Gate(Starlette(routes=routes), refused=self._refused)

    async def serve(self, sockets: list[socket.socket], certificate: CertificateFiles | None) -> None:
        """Serve until `stop`."""
        config = uvicorn.Config(
            self.app(),
            ws=_Protocol,
            ws_per_message_deflate=False,
            ws_max_size=BATCH_BYTES_MAX,
            ws_ping_interval=20,
            ws_ping_timeout=60,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
        context = server_context(certificate) if certificate is not None else None
        self._server = _Server(config, self.listening, context, self._acceptors, self._refused, self._streams.process)
        await self._server.serve(sockets=sockets)

    def stop(self) -> None:
        """Let `serve` return."""
        if self._server is not None:
            self._server.should_exit = True

    async def _health(self, request: Request) -> JSONResponse:
        """Whether the coordinator works, for load balancers and monitoring. It tells no secrets and no names."""
        del request
        trouble = trouble_of(self._commit_loop, self._log_service, self._streams.api)
        body = {"healthy": not trouble, "uptime_ms": self._commit_loop.clock.uptime_ms()}
        return JSONResponse(body, status_code=503 if trouble else 200)

    async def _metrics(self, request: Request) -> PlainTextResponse:
        """Numbers for a monitoring system that has a viewer's token."""
        try:
            caller = await self._identities.authenticate_operator(
                _bearer(request), "", self._commit_loop.clock.now_ms()
            )
            caller.require(Role.VIEWER)
        except OpsconsoleError as error:
            return self._refusal(error)
        sources = Sources(self._commit_loop, self._log_service, self._version, self._sessions, self._streams)
        return PlainTextResponse(metrics.render(sources), media_type=metrics.CONTENT_TYPE)

    async def _proof(self, request: Request) -> PlainTextResponse:
        """Prove to a peer that the coordinator knows its secret, before the peer shows it."""
        headers = request.headers
        try:
            found = proof.answer_request(
                self._identities.hash_by_key_id, headers.get(proof.NONCE_HEADER, ""), headers.get(proof.KEYS_HEADER, ""),
                proof.socket_address(request.scope["server"]),
            )  # fmt: skip
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        return PlainTextResponse(
            found or "the token is not valid here: ask for an invitation with `opsconsole invite`",
            200 if found else 401,
        )

    async def _agent(self, socket: WebSocket) -> None:
        headers = socket.headers
        try:
            worker_id = WorkerId(headers.get("opsconsole-worker", ""))
            if not worker_id or len(worker_id) > ID_CHARACTERS_MAX:
                raise InvalidRequest("the header Opsconsole-Worker is missing: is this an opsconsole agent?")
            secret = _bearer(socket)
            invitation = await self._identities.authenticate_worker(
                secret, headers.get(INVITATION_HEADER, ""), worker_id, self._commit_loop.clock.now_ms()
            )
        except OpsconsoleError as error:
            await socket.send_denial_response(self._refusal(error))
            return
        name, tags = (invitation.name, invitation.tags) if invitation is not None else ("", ())
        session = AgentSession(socket, self._commit_loop, self._log_service, worker_id, name, tags)
        with self._identities.connected(secret, partial(session.end, "unauthenticated")):
            await self._serve_session(socket, session)

    async def _operator(self, socket: WebSocket) -> None:
        try:
            secret = _bearer(socket)
            caller = await self._identities.authenticate_operator(
                secret, socket.headers.get(INVITATION_HEADER, ""), self._commit_loop.clock.now_ms()
            )
        except OpsconsoleError as error:
            await socket.send_denial_response(self._refusal(error))
            return
        session = OperatorSession(
            socket, self._commit_loop, self._operator_api, self._broadcaster, self._identities, caller, self._version
        )
        with self._identities.connected(secret, session.end):
            await self._serve_session(socket, session)

    async def _serve_session(self, socket: WebSocket, session: AgentSession | OperatorSession) -> None:
        if self._sessions.total() >= CONNECTIONS_MAX:
            line = f"this coordinator has its {CONNECTIONS_MAX} connections: close some and try again"
            await socket.send_denial_response(self._refusal(LimitExceeded(line)))
            return
        kind = "agent" if isinstance(session, AgentSession) else "operator"
        self._sessions[kind] += 1
        try:
            peer = socket.scope["client"]
            for acceptor in self._acceptors if peer is not None else ():  # None: the peer has just gone
                acceptor.connection_limit.authenticate(tuple(peer))
            await socket.accept()
            await session.run()
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the peer was first
                await socket.close()
        finally:
            self._sessions[kind] -= 1

    def _refusal(self, error: OpsconsoleError) -> PlainTextResponse:
        self._refused[error.code] += 1
        return PlainTextResponse(str(error), _STATUS.get(error.code, 503))


def _bearer(request: HTTPConnection) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("no token came with the request: pass --token, or join with an invitation")
    return token.strip()


class _Protocol(WebSocketsSansIOProtocol):
    """A connection whose peer doesn't read is aborted: a closing handshake would wait for room in its socket.

    Small messages that nobody has taken yet don't stop the reading until there are many. Stopping it after every message,
    as uvicorn does, costs two calls of the kernel a message: a tenth of all that a thousand agents cost.
    """

    on_closed: Callable[[], None]

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # a refusal completes it; else uvicorn logs a line for each

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.on_closed()

    def keepalive_timeout(self) -> None:
        self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        reads_on = not self.read_paused and self.queue.qsize() < MESSAGES_AHEAD_MAX
        if reads_on and sum(map(len, self.frames)) <= SMALL_BYTES:
            self.read_paused = True  # so that uvicorn doesn't pause it
            super().send_receive_event_to_app()
            self.read_paused = False
        else:
            super().send_receive_event_to_app()


class _Server(uvicorn.Server):
    """A server that leaves signals to the program around it, says when it listens, and accepts connections by Acceptor."""

    def __init__(
        self,
        config: uvicorn.Config,
        listening: asyncio.Event,
        context: ssl.SSLContext | None,
        acceptors: list[Acceptor],
        refused: Counter[str],
        stream_taker: StreamTaker | None,
    ) -> None:
        super().__init__(config)
        self._stream_taker = stream_taker
        self._listening = listening
        self._context = context
        self._acceptors = acceptors
        self._refused = refused

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        make = partial(
            HttpConnection, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        self._acceptors += [
            Acceptor(listener, make, self._context, self._refused, self._stream_taker) for listener in sockets or []
        ]
        for acceptor in self._acceptors:
            acceptor.open()
        self._listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises InvalidRequest, which says what to do about a taken or unusable address."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except OSError as error:
        raise InvalidRequest(f"can't listen on {host}:{port}: {error.strerror or error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        advice = (
            "another program has that port; choose one with --listen HOST:PORT"
            if error.errno == errno.EADDRINUSE
            else ""
        )
        raise InvalidRequest(f"can't listen on {host}:{port}: {advice or error.strerror}") from None
    listener.setblocking(False)
    return listener
