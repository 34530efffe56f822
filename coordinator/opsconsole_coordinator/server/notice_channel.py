"""How a notice leaves: posted to a webhook, or given to a program. No text from here holds a secret, a path or a query of a URL."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import h11
import msgspec

from opsconsole_coordinator.notice.rule import Command, Notice, Webhook, signature
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError

T = TypeVar("T")

log = logging.getLogger("opsconsole.coordinator.notices")

WEBHOOK_S = 15.0
COMMAND_S = 60.0
OUTPUT_BYTES = 2_000
"""How much of what a program prints goes into the log."""
ANSWER_BYTES = 65_536
"""How much a webhook may send before its status is known: one that only ever says *continue* keeps nobody busy."""
_READ_BYTES = 65_536
_AGAIN = frozenset({408, 429})


class NotDelivered(OpsconsoleError):
    """It didn't arrive. `is_final`: trying again is of no use."""

    code = "not_delivered"

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


def label(channel: Webhook | Command) -> str:
    """What a channel is called: `the webhook at HOST` or `the command NAME`."""
    if isinstance(channel, Command):
        return f"the command {Path(channel.words[0]).name}"
    return f"the webhook at {_address(channel.url).hostname}"


def check_channel(channel: Webhook | Command) -> None:
    """Raise InvalidRequest for a channel that can't work as it is written."""
    if isinstance(channel, Webhook):
        _address(channel.url)
    elif not channel.words or not channel.words[0] or any("\0" in word for word in channel.words):
        raise InvalidRequest("a command is a list of words, the program first, without NUL")


def secret_of(channel: Webhook) -> bytes | None:
    """What signs its notices, or None where nothing does. Blocks. Raises NotDelivered."""
    if channel.secret_env:
        text = os.environ.get(channel.secret_env, "")
        if not text:
            raise NotDelivered(f"the environment variable {channel.secret_env} with its secret isn't set")
        return text.encode()
    if not channel.secret_file:
        return None
    try:
        secret = Path(channel.secret_file).expanduser().read_bytes().strip()
    except OSError as error:
        raise NotDelivered(f"its secret_file can't be read: {error.strerror}") from None
    if not secret:
        raise NotDelivered("its secret_file is empty")
    return secret


async def deliver(channel: Webhook | Command, notice: Notice) -> None:
    """Deliver a notice. Raises NotDelivered with one line."""
    if isinstance(channel, Command):
        await _run(channel, notice)
        return
    secret = await _aside(lambda: secret_of(channel))
    try:
        async with asyncio.timeout(WEBHOOK_S):
            status = await _post(_address(channel.url), notice, secret)
    except TimeoutError:
        raise NotDelivered(f"no answer within {WEBHOOK_S:g}s") from None
    except ssl.SSLCertVerificationError as error:
        raise NotDelivered(f"its certificate isn't trusted: {error.verify_message}") from None
    except ssl.SSLError:
        raise NotDelivered("it doesn't speak TLS") from None
    except (OSError, UnicodeError) as error:  # the latter for a name that can't be a host's
        raise NotDelivered(
            f"it can't be reached: {getattr(error, 'strerror', None) or 'nothing answers there'}"
        ) from None
    except h11.ProtocolError:
        raise NotDelivered("what it answers isn't HTTP") from None
    if 300 <= status < 400:
        raise NotDelivered(
            f"it answers {status}, which leads elsewhere: write the address where it leads to", is_final=True
        )
    if not 200 <= status < 300:
        raise NotDelivered(f"it answers {status}", is_final=400 <= status < 500 and status not in _AGAIN)


def _address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right, parts = False, SplitResult("", "", "", "", "")
    if not is_right or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequest("a webhook is a URL such as https://hooks.lab/notices, in ASCII and without spaces")
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest("a webhook's URL holds no name and no password: use secret_file or secret_env")
    return parts


async def _post(parts: SplitResult, notice: Notice, secret: bytes | None) -> int:
    """Post once, and return the status. Redirects aren't followed, and of the answer only the status is read."""
    is_tls = parts.scheme == "https"
    body = msgspec.json.encode(notice)
    moment = str(int(time.time()))
    headers = [
        ("Host", parts.netloc),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("User-Agent", "opsconsole"),
        ("Connection", "close"),
        ("Opsconsole-Notice", notice.id),
        ("Opsconsole-Timestamp", moment),
    ]
    if secret is not None:
        headers.append(("Opsconsole-Signature", signature(secret, moment, body)))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    exchange = h11.Connection(h11.CLIENT)
    data = exchange.send(h11.Request(method="POST", target=target, headers=headers)) or b""
    data += exchange.send(h11.Data(data=body)) or b""
    data += exchange.send(h11.EndOfMessage()) or b""
    context = await _aside(ssl.create_default_context) if is_tls else None
    host, port = parts.hostname or "", parts.port or (443 if is_tls else 80)
    sock = await _connect(host, port)
    try:
        reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host if is_tls else None)
    except BaseException:
        sock.close()
        raise
    try:
        writer.write(data)
        await writer.drain()
        left = ANSWER_BYTES
        while True:
            event = exchange.next_event()
            if isinstance(event, h11.Response):
                return event.status_code
            if event is h11.NEED_DATA:
                if not left:
                    raise NotDelivered(f"its answer has no status within {ANSWER_BYTES} bytes")
                received = await reader.read(left)
                left -= len(received)
                exchange.receive_data(received)
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError(0, "it hung up without an answer")
    finally:
        writer.transport.abort()


async def _connect(host: str, port: int) -> socket.socket:
    """Connect to the first address of a name that can be reached. Raises OSError and UnicodeError."""
    found = await _aside(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    failure = OSError(0, "the name has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _aside(work: Callable[[], T]) -> T:
    """Wait for what may hang (a resolver, a disk of the network) in a thread of its own: whoever comes next doesn't queue behind it, and no end waits for it."""
    found: Future[T] = Future()
    found.set_running_or_notify_cancel()

    def run() -> None:
        try:
            found.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            found.set_exception(error)

    threading.Thread(target=run, name="notice", daemon=True).start()
    return await asyncio.wrap_future(found)


async def _run(channel: Command, notice: Notice) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *channel.words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env=_environment(os.environ, channel, notice),
        )
    except OSError as error:
        raise NotDelivered(f"it can't be started: {error.strerror}") from None
    printed = bytearray()
    try:
        async with asyncio.timeout(COMMAND_S):
            await asyncio.gather(_give(process, msgspec.json.encode(notice) + b"\n"), _take(process, printed))
            code = await process.wait()
    except BaseException as error:
        # With whatever it has started, even where it has ended itself: its group keeps its number until all of it is gone.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if isinstance(error, TimeoutError):
            raise NotDelivered(f"it hadn't ended after {COMMAND_S:g}s, and was killed") from None
        raise
    finally:
        if printed:
            log.info("%s printed: %r", label(channel), printed.decode(errors="replace"))
    if code != 0:
        raise NotDelivered(f"it ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")


async def _give(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(ConnectionError):  # it needn't read what it is told
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _take(process: asyncio.subprocess.Process, printed: bytearray) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    while data := await process.stdout.read(_READ_BYTES):
        printed += data[: OUTPUT_BYTES - len(printed)]


def _environment(own: Mapping[str, str], channel: Command, notice: Notice) -> dict[str, str]:
    told = {"ID": notice.id, "KIND": notice.kind, "JOB": notice.job, "NAME": notice.name, "STATE": notice.state}
    kept = {
        name: value for name, value in own.items()
        if name not in channel.hidden and not name.startswith("OPSCONSOLE_")
    }  # fmt: skip
    return kept | {f"OPSCONSOLE_NOTICE_{name}": value.replace("\0", "") for name, value in told.items()}
