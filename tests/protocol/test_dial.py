"""Dialling: the token goes to the right coordinator or to nobody, and every failure is a line of its own."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from opsconsole_coordinator.trust.certificate import ensure_certificate, fingerprint, server_context
from opsconsole_protocol.host import dial as module
from opsconsole_protocol.host.dial import Refused, Unreachable, WrongCertificate, dial
from opsconsole_protocol.trust.address import InvalidAddress

TOKEN = "not-for-strangers"


@dataclass
class Heard:
    """A server's address and the requests that reached it."""

    url: str = ""
    certificate_hash: str = ""
    requests: list[Request] = field(default_factory=list)
    tls_connections: int = 0


Answer = Callable[[ServerConnection], Response | None]


@asynccontextmanager
async def serving(
    answer: Answer | None = None, *, tls: Path | None = None, names: str = "127.0.0.1"
) -> AsyncIterator[Heard]:
    heard = Heard()

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        heard.requests.append(request)
        return answer(connection) if answer else None

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    options: dict[str, Any] = {}
    if tls is not None:
        files = ensure_certificate(tls, [names])
        heard.certificate_hash = fingerprint(files.cert)
        options["ssl"] = server_context(files)
    quiet = logging.getLogger("test.server")
    quiet.setLevel(logging.CRITICAL)
    server: Server
    async with serve(echo, "127.0.0.1", 0, process_request=process_request, logger=quiet, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        heard.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}"
        yield heard


async def connect(url: str, certificate_hash: str | None = None, **options: Any) -> ClientConnection:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return await dial(
        url, path="/link", certificate_hash=certificate_hash, headers=headers, max_size=1_000_000, **options
    )


async def echo_works(connection: ClientConnection) -> bool:
    async with connection:
        await connection.send("hello")
        return await connection.recv() == "hello"


async def test_loopback_without_tls_connects_and_sends_the_headers() -> None:
    async with serving() as heard:
        assert await echo_works(await connect(heard.url))
    assert [request.path for request in heard.requests] == ["/link"]
    assert heard.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Sec-WebSocket-Extensions" not in heard.requests[0].headers
    assert "Origin" not in heard.requests[0].headers


async def test_the_right_certificate_connects(tmp_path: Path) -> None:
    async with serving(tls=tmp_path, names="another.name") as heard:
        connection = await connect(heard.url, heard.certificate_hash)
        assert connection.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert await echo_works(connection)


async def test_another_certificate_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with serving(tls=tmp_path) as heard:
        with pytest.raises(WrongCertificate, match="another certificate"):
            await connect(heard.url, "0" * 64)
        # A later request of the same kind arrives, so an earlier one would have.
        assert await echo_works(await connect(heard.url, heard.certificate_hash))
    assert len(heard.requests) == 1


async def test_without_a_hash_only_what_the_system_trusts_is_dialled(tmp_path: Path) -> None:
    async with serving(tls=tmp_path) as heard:
        with pytest.raises(WrongCertificate, match=r"not trusted here.*opsconsole invite"):
            await connect(heard.url)
    assert heard.requests == []


@pytest.mark.parametrize(("names", "trusted"), [("127.0.0.1", True), ("another.name", False)])
async def test_a_trusted_certificate_must_name_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str, trusted: bool
) -> None:
    async with serving(tls=tmp_path, names=names) as heard:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls" / "cert.pem"))
        module._tls_context.cache_clear()
        try:
            if trusted:
                assert await echo_works(await connect(heard.url))
            else:
                with pytest.raises(WrongCertificate, match="not trusted here"):
                    await connect(heard.url)
        finally:
            module._tls_context.cache_clear()
    assert len(heard.requests) == trusted


async def test_a_refusal_shows_the_servers_own_line() -> None:
    def answer(connection: ServerConnection) -> Response:
        return connection.respond(
            HTTPStatus.UNAUTHORIZED, "the token was revoked: ask\x1b[2J for another\nsecond line\n"
        )

    async with serving(answer) as heard:
        with pytest.raises(Refused) as caught:
            await connect(heard.url)
    assert caught.value.status == 401
    assert caught.value.reason == "the token was revoked: ask[2J for another"
    assert caught.value.message == f"{heard.url} refused (401): {caught.value.reason}"
    assert not caught.value.temporary
    assert TOKEN not in caught.value.message


@pytest.mark.parametrize(
    ("status", "temporary", "said"),
    [
        (HTTPStatus.UNAUTHORIZED, False, "opsconsole invite"),
        (HTTPStatus.NOT_FOUND, False, "not an opsconsole coordinator"),
        (HTTPStatus.TOO_MANY_REQUESTS, True, "wait a minute"),
        (HTTPStatus.SERVICE_UNAVAILABLE, True, "try again"),
        (HTTPStatus.IM_A_TEAPOT, False, "not an opsconsole coordinator"),
    ],
)
async def test_a_refusal_without_words_says_what_the_status_means(
    status: HTTPStatus, temporary: bool, said: str
) -> None:
    async with serving(lambda connection: connection.respond(status, "")) as heard:
        with pytest.raises(Refused, match=said) as caught:
            await connect(heard.url)
    assert (caught.value.status, caught.value.temporary) == (status, temporary)


async def test_a_redirect_is_refused_and_the_token_stays() -> None:
    async with serving() as other:

        def answer(connection: ServerConnection) -> Response:
            response = connection.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = other.url + "/link"
            return response

        async with serving(answer) as heard:
            with pytest.raises(Refused, match="302"):
                await connect(heard.url)
    assert len(heard.requests) == 1
    assert other.requests == []


async def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"nothing listens on ws://127.*opsconsole serve"):
            await connect(url)
        with pytest.raises(Unreachable, match="nothing listens"):
            await connect(url.replace("127.0.0.1", "localhost"))


async def test_nobody_answers() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        for scheme in ("ws", "wss"):
            with pytest.raises(Unreachable, match=r"doesn't answer within 0.1 s"):
                await connect(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}", open_timeout_s=0.1)


async def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(Unreachable, match="the name 'no-such-host' is not known here"):
        await connect("wss://no-such-host:7373")


async def test_tls_spoken_to_a_server_without(tmp_path: Path) -> None:
    async with serving() as heard:
        with pytest.raises(Unreachable, match="speaks no TLS"):
            await connect(heard.url.replace("ws://", "wss://"), "0" * 64)
    async with serving(tls=tmp_path) as heard:
        with pytest.raises(Unreachable, match=r"speaks TLS.*wss://"):
            await connect(heard.url.replace("wss://", "ws://"))


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 101 Fine\r\n\r\n", b"\xff" * 50_000])
async def test_something_else_listens(answer: bytes) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        with pytest.raises(Unreachable) as caught:
            await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert caught.value.message.isprintable()
    assert "not an opsconsole coordinator" in caught.value.message


@pytest.mark.parametrize(
    ("url", "certificate_hash"), [("ws://box", None), ("http://box", None), ("ws://127.0.0.1", "0" * 64), ("box", "12")]
)
async def test_what_would_be_insecure_is_not_even_tried(url: str, certificate_hash: str | None) -> None:
    with pytest.raises(InvalidAddress):
        await connect(url, certificate_hash)


async def test_debug_logs_hold_no_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as heard:
        assert await echo_works(await connect(heard.url))
    assert TOKEN not in caplog.text


async def test_a_message_past_the_limit_ends_the_connection() -> None:
    async with serving() as heard:
        connection = await dial(heard.url, path="/", headers={}, max_size=100)
        async with connection:
            await connection.send("x" * 101)
            with pytest.raises(ConnectionClosed) as caught:
                await connection.recv()
    assert caught.value.sent is not None
    assert caught.value.sent.code == 1009


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(113, "Connect call failed ('10.0.0.9', 7373)"), "No route to host"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"),
            "nothing listens",
        ),
        (OSError("Multiple exceptions: [Errno 101] Connect call failed, [Errno 111] …"), "Network is unreachable"),
        (OSError("odd"), "unknown network error"),
    ],
)
def test_each_network_failure_in_words(error: OSError, said: str) -> None:
    assert said in module.failure_text("wss://box:7373", error, 10)


def test_an_old_tls_is_not_spoken() -> None:
    assert module._tls_context(pinned=True).minimum_version is ssl.TLSVersion.TLSv1_3
    assert module._tls_context(pinned=False).verify_mode is ssl.CERT_REQUIRED
