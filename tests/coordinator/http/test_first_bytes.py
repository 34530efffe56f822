"""Whose a connection is, told from its first bytes: whole, in pieces, or nonsense."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.http import acceptor
from opsconsole_coordinator.http.first_bytes import FIRST_BYTES, HEAD_BYTES, Kind, kind_of
from opsconsole_protocol import api
from opsconsole_protocol.stream.upgrade import ALPN, NOT_GOOD, format_request, parse_answer
from tests.coordinator.server.peer import Site, site
from tests.waiting import until


def hello(*protocols: str, name: str = "console.lab") -> bytes:
    """The first bytes of a TLS client that offers these protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"GET /stream HTTP/1.1\r\n", Kind.STREAM),
        (b"GET /agent HTTP/1.1\r\n", Kind.OTHER),
        (b"GET /streams HTTP/1.1\r\n", Kind.OTHER),
        (b"GET /stream?x HTTP/1.1\r\n", Kind.OTHER),
        (b"get /stream HTTP/1.1\r\n", Kind.OTHER),
        (b"\0", Kind.OTHER),
        (hello(ALPN), Kind.OTHER),
    ],
    ids=range(7),
)
def test_a_plain_connection_is_known_by_its_request(said: bytes, kind: Kind) -> None:
    assert kind_of(said, is_tls=False) is kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (hello(ALPN), Kind.STREAM),
        (hello("http/1.1", ALPN), Kind.STREAM),
        (hello(), Kind.OTHER),
        (hello("http/1.1"), Kind.OTHER),
        (hello("opsconsole-stream/2"), Kind.OTHER),
        (b"GET /stream HTTP/1.1\r\n", Kind.OTHER),
        (b"\x16\x03\x01\xff\xff", Kind.OTHER),
    ],
    ids=range(7),
)
def test_a_tls_connection_is_known_by_the_protocol_that_it_offers(said: bytes, kind: Kind) -> None:
    assert kind_of(said, is_tls=True) is kind


@pytest.mark.parametrize(("said", "is_tls"), [(b"GET /stream ", False), (hello(ALPN), True)], ids=("plain", "TLS"))
def test_as_long_as_it_may_be_one_more_bytes_are_wanted(said: bytes, is_tls: bool) -> None:
    for size in range(len(said)):
        wanted = kind_of(said[:size], is_tls=is_tls)
        assert isinstance(wanted, int)
        assert size < wanted <= len(said)
    assert kind_of(said, is_tls=is_tls) is Kind.STREAM


@given(st.binary(max_size=64), st.booleans())
def test_whatever_comes_is_one_or_the_other_or_waits_for_more(said: bytes, is_tls: bool) -> None:
    found = kind_of(said, is_tls=is_tls)
    assert found in set(Kind) or (isinstance(found, int) and len(said) < found <= FIRST_BYTES)
    assert HEAD_BYTES < FIRST_BYTES


# --- at the port ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["auto", "on"])
async def test_a_request_that_comes_byte_by_byte_is_answered(tmp_path: Path, tls: str) -> None:
    async with site(tmp_path, tls=tls) as there:
        reader, writer = await connect(there, tls)
        for byte in format_request("7k3", "0" * 64, "lab"):
            writer.write(bytes([byte]))
            await writer.drain()
        answer = parse_answer(await asyncio.wait_for(reader.read(), 20), is_whole=True)
        assert answer is not None
        assert answer.status == NOT_GOOD
        writer.close()
        await until(lambda: len(there.acceptor.connection_limit) == 0)
        async with await there.operator() as operator:  # the port does what it did before
            assert (await operator.call(api.AskHealth())).healthy
        await until(lambda: there.streams.process.refused["ticket"] == 1)


async def connect(there: Site, tls: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = None
    if tls == "on":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols([ALPN])
    port = there.acceptor._listener.getsockname()[1]
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def test_a_hello_with_nonsense_after_it_is_closed_and_counted(tmp_path: Path) -> None:
    async with site(tmp_path, tls="on") as there:
        port = there.acceptor._listener.getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(hello(ALPN) + b"nonsense" * 100)
        await writer.drain()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await until(lambda: there.streams.process.refused["tls"] == 1)
        await until(lambda: len(there.acceptor.connection_limit) == 0)


@pytest.mark.parametrize("said", [b"", b"G", b"GET /stream", b"GET /stream HTTP/1.1\r\n"])
async def test_who_says_too_little_is_closed_in_time(site: Site, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "REQUEST_TIMEOUT_S", 0.3)
    reader, writer = await connect(site, "auto")
    writer.write(said)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    await until(lambda: len(site.acceptor.connection_limit) == 0 and not site.acceptor._unclosed)
    assert site.commit_loop.counts.refused["silent"] == 1


@pytest.mark.parametrize("said", [b"G", b"GET /stream"])
async def test_who_goes_in_the_middle_leaves_nothing(site: Site, said: bytes) -> None:
    _, writer = await connect(site, "auto")
    writer.write(said)
    await writer.drain()
    writer.close()
    await until(lambda: len(site.acceptor.connection_limit) == 0 and not site.acceptor._unread)


async def test_strangers_that_ask_for_streams_keep_nobody_out(site: Site) -> None:
    """They count among those who have shown no secret; the oldest goes for the next."""
    limit = site.acceptor.connection_limit
    limit.limit = 40
    strangers = [await connect(site, "auto") for _ in range(30)]
    for _, writer in strangers:
        writer.write(b"GET /stream HTTP/1.1\r\n")
        await writer.drain()
    async with await site.operator() as operator:
        assert (await operator.call(api.AskHealth())).healthy
    assert len(limit) <= limit.anonymous_max + 1
    for _, writer in strangers:
        writer.close()
    await until(lambda: len(limit) == 0)


async def test_a_coordinator_that_stops_closes_those_that_have_said_too_little(tmp_path: Path) -> None:
    async with site(tmp_path) as there:
        reader, writer = await connect(there, "auto")
        writer.write(b"GET /str")
        await writer.drain()
        await until(lambda: len(there.acceptor._unread) == 1)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
