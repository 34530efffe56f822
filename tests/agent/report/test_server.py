"""The verbs over real sockets: who is let in, what is written, and what hurts nobody."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from opsconsole_agent.report.server import BODY_BYTES_MAX, REPORTERS_MAX, ReportServer
from opsconsole_agent.report.token import job_token
from opsconsole_protocol.ids import AttemptId

A, DEAD = AttemptId("7k3m9q2w4t.0.0.ab12"), AttemptId("7k3m9q2w4t.1.0.ab12")
TOKEN = job_token("secret", A)


def make(folder: Path) -> ReportServer:
    return ReportServer(folder, "secret", {A}.__contains__, lambda attempt_id: str(folder / attempt_id))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ReportServer]:
    made = make(tmp_path)
    await made.start()
    yield made
    await made.close()


def connection(server: ReportServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)


async def ask(
    server: ReportServer, method: str, path: str, body: Any, token: str = TOKEN, **headers: str
) -> tuple[int, dict[str, Any]]:
    def work() -> tuple[int, dict[str, Any]]:
        one = connection(server)
        try:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            one.request(method, path, data, {"Authorization": f"Bearer {token}"} | headers if token else headers)
            response = one.getresponse()
            return response.status, json.loads(response.read())
        finally:
            one.close()

    return await asyncio.to_thread(work)


async def test_what_is_said_is_in_the_attempt_s_report(server: ReportServer, tmp_path: Path) -> None:
    assert await ask(server, "PUT", "/metrics", {"step": 1, "loss": 2}) == (200, {"lines": 1})
    assert await ask(server, "POST", "/logs", {"logs": ["a", "b"]}) == (200, {"lines": 2})
    lines = [json.loads(line) for line in (tmp_path / A).read_text().splitlines()]
    assert [line.get("note") or line["metrics"] for line in lines] == [{"loss": 2}, "a", "b"]


async def test_several_requests_over_one_connection(server: ReportServer, tmp_path: Path) -> None:
    def work() -> None:
        one = connection(server)
        for step in range(3):
            one.request("PUT", "/metrics", json.dumps({"step": step, "loss": 1}), {"Authorization": f"Bearer {TOKEN}"})
            assert one.getresponse().read() == b'{"lines": 1}\n'
        one.close()

    await asyncio.to_thread(work)
    assert len((tmp_path / A).read_text().splitlines()) == 3


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], job_token("another", A), job_token("secret", DEAD)])
async def test_who_has_no_live_task_s_token_is_shut_out(server: ReportServer, tmp_path: Path, token: str) -> None:
    status, said = await ask(server, "PUT", "/metrics", {"loss": 1}, token)
    assert status == 401
    assert token not in said["error"] or not token
    assert not await asyncio.to_thread((tmp_path / A).exists)


async def test_bad_requests_are_answered_in_a_line(server: ReportServer) -> None:
    assert (await ask(server, "PUT", "/nothing", {}))[0] == 404
    assert (await ask(server, "PUT", "/metrics", b"x"))[0] == 400
    assert (await ask(server, "PUT", "/metrics", {"loss": 1}, Origin="http://evil"))[0] == 403
    assert (await ask(server, "PUT", "/metrics", bytes(BODY_BYTES_MAX + 1)))[0] == 413


async def test_what_is_no_http_and_who_says_nothing_hurts_nobody(server: ReportServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01" + bytes(100) + b"\r\n\r\n")
    assert b"400" in await reader.read()
    writer.close()
    assert (await ask(server, "PUT", "/metrics", {"loss": 1}))[0] == 200
    for _, one in silent:
        one.close()


async def test_too_many_connections_are_closed_at_once(server: ReportServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    held = [await asyncio.open_connection(host, int(port)) for _ in range(REPORTERS_MAX)]
    reader, writer = await asyncio.open_connection(host, int(port))
    assert await reader.read() == b""
    for _, one in (*held, (reader, writer)):
        one.close()


async def test_the_port_stays_over_a_restart_and_a_taken_one_is_given_up(tmp_path: Path) -> None:
    first = make(tmp_path)
    await first.start()
    other = make(tmp_path)
    await other.start()
    assert other.url != first.url
    await other.close()
    await first.close()
    again = make(tmp_path)
    await again.start()
    assert again.url == other.url
    await again.close()
    (tmp_path / "api_port").write_text("no port")
    spoilt = make(tmp_path)
    await spoilt.start()
    assert spoilt.url
    await spoilt.close()


async def test_a_report_that_can_not_be_written_is_said(server: ReportServer, tmp_path: Path) -> None:
    (tmp_path / A).mkdir()
    status, said = await ask(server, "PUT", "/metrics", {"loss": 1})
    assert status == 507
    assert "nothing can be written" in said["error"]
