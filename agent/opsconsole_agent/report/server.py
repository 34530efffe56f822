"""Serves the verbs on a port of the loopback interface that stays the same over restarts of the agent."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_agent.keeper import state_file
from opsconsole_agent.report.appending import append
from opsconsole_agent.report.token import attempt_of
from opsconsole_agent.report.verb import Refused, lines_of
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.report import REPORT_BYTES_MAX

if TYPE_CHECKING:
    import h11

HOST = "127.0.0.1"
PORT_FILE = "api_port"
BODY_BYTES_MAX = 1 << 20
REPORTERS_MAX = 64
"""Connections of tasks that are open at a time."""
IDLE_S = 30.0
_READ_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


class ReportServer:
    """See the module. `url` is where it listens; empty while it doesn't."""

    def __init__(
        self,
        state_dir: Path,
        secret: str,
        is_live: Callable[[AttemptId], bool],
        report_file: Callable[[AttemptId], str],
    ) -> None:
        """`secret`: the agent's own. `report_file`: where an attempt's report goes."""
        self._port_file = str(state_dir / PORT_FILE)
        self._secret = secret
        self._is_live = is_live
        self._report_file = report_file
        self._server: asyncio.Server | None = None
        self._open = 0
        self.url = ""

    async def start(self) -> None:
        """Listen where tasks of an earlier life of the agent expect it, if that port is still free. Raises OSError."""
        try:
            self._server = await asyncio.start_server(self._serve, HOST, self._known_port())
        except OSError:
            self._server = await asyncio.start_server(self._serve, HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        try:
            state_file.replace_file(self._port_file, str(port).encode())
        except OSError as error:
            _log.warning("%s can't be written: %s", self._port_file, error.strerror)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._server.wait_closed()

    def _known_port(self) -> int:
        try:
            port = int(state_file.read_file(self._port_file))
        except (OSError, ValueError):
            return 0
        return port if 0 < port < 1 << 16 else 0

    # --- one connection ----------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= REPORTERS_MAX:
                await self._answer_all(reader, writer)
        except (OSError, TimeoutError) as error:
            _log.debug("a task's connection ended: %s", error)
        finally:
            self._open -= 1
            writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import h11

        connection = h11.Connection(h11.SERVER)
        while True:
            try:
                request, body = await _request(connection, reader)
                if request is None:
                    return
                status, said = self._answer(request, body)
            except Refused as refusal:
                status, said = refusal.status, {"error": refusal.reason}
            except h11.RemoteProtocolError as error:
                status, said = HTTPStatus.BAD_REQUEST, {"error": str(error)}
            is_over = connection.their_state is not h11.DONE
            writer.write(_response(connection, status, said, close=is_over))
            await writer.drain()
            if is_over or connection.our_state is not h11.DONE:
                return
            connection.start_next_cycle()

    def _answer(self, request: "h11.Request", body: bytes) -> tuple[HTTPStatus, dict[str, object]]:
        headers = dict(request.headers)
        if b"origin" in headers:
            raise Refused(HTTPStatus.FORBIDDEN, "this is for tasks, not for browsers")
        token = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ").strip()
        attempt_id = attempt_of(self._secret, token) if token else None
        if attempt_id is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "Authorization: Bearer $OPSCONSOLE_JOB_TOKEN is missing or wrong")
        if not self._is_live(attempt_id):
            raise Refused(HTTPStatus.UNAUTHORIZED, "this token's task has ended")
        path = request.target.decode("latin-1").partition("?")[0]
        lines = lines_of(request.method.decode("latin-1"), path, body, time.time_ns() // 1_000_000)
        try:
            is_written = append(self._report_file(attempt_id), b"".join(lines))
        except OSError as error:
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, f"nothing can be written: {error.strerror}") from None
        if not is_written:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the report has its {REPORT_BYTES_MAX >> 20} MiB: report more rarely",
            )
        return HTTPStatus.OK, {"lines": len(lines)}


async def _request(connection: "h11.Connection", reader: asyncio.StreamReader) -> "tuple[h11.Request | None, bytes]":
    """The next request with its body; None where the other side has ended. Raises Refused for a body that is too large."""
    import h11

    request: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(IDLE_S):
                connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_BYTES_MAX:
                raise Refused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {BODY_BYTES_MAX >> 10} KiB"
                )
        elif isinstance(event, h11.EndOfMessage):
            return request, body
        else:
            return None, b""


def _response(connection: "h11.Connection", status: HTTPStatus, said: dict[str, object], *, close: bool) -> bytes:
    import h11

    data = json.dumps(said).encode() + b"\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data)))]
    if close:
        headers.append(("Connection", "close"))
    if status is HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    head = connection.send(h11.Response(status_code=status, reason=status.phrase, headers=headers))
    return b"".join(filter(None, (head, connection.send(h11.Data(data=data)), connection.send(h11.EndOfMessage()))))
