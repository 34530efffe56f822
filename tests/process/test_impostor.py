"""Whoever listens where a coordinator listened (hard use 49): on loopback without TLS, no secret goes to somebody who
doesn't know it already, whichever of our programs dials, and however the secret came to it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opsconsole_protocol.host.private_file import read_private
from tests.process.lab import Lab, lab


@contextmanager
def listening(port: int, relay_to: int | None = None) -> Iterator[list[bytes]]:
    """Somebody else's program on a port: what it heard. It answers nothing of its own, or what another port answers."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", port)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                connection.settimeout(10)
                far = None if relay_to is None else socket.create_connection(("127.0.0.1", relay_to))
                try:
                    if far is not None:
                        threading.Thread(target=pass_on, args=(far, connection), daemon=True).start()
                    while data := connection.recv(65536):
                        heard.append(data)
                        if far is not None:
                            far.sendall(data)
                        else:
                            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                except OSError:
                    return
                finally:
                    if far is not None:
                        far.close()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        return


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        made.serve()
        yield made


def test_nothing_secret_is_said_to_who_took_a_dead_coordinators_port(house: Lab) -> None:
    """Command lines, an agent that was connected, one that starts, one that joins, a person who joins."""
    house.agent("a")
    late = house.agent("late")
    house.wait(lambda: has_joined(house, "late"), "it to know that it was taken")
    house.kill(late)
    worker, person, several = house.invite(), house.invite("viewer"), house.invite(uses=5)
    joined = house.agent("joined", "--join", several)
    house.wait(lambda: has_joined(house, "joined"), "the other one, too")
    house.kill(joined)
    token = (house.data_dir / "operator.token").read_text().strip()
    credentials = [read_private(house.state_dir(name) / "credential.json") or "" for name in ("a", "late", "joined")]
    port = house.port
    house.kill(house.processes["serve"])
    with listening(port) as heard:
        said = house.run("jobs", code=1).stderr
        assert "doesn't prove that it knows this token, so the token was not sent" in said
        url = f"ws://127.0.0.1:{port}"
        house.run("jobs", "--connect", url, "--token", token, code=1)
        house.run("jobs", "--connect", url, code=1, environ={"OPSCONSOLE_TOKEN": token})
        house.run("jobs", "--connect", person, code=1)
        joins = house.start("fresh", "agent", "--join", worker, "--state-dir", str(house.state_dir("fresh")))
        assert house.wait_ended(joins) == 1
        for name, arguments in (("late", ()), ("joined", ("--join", several))):
            house.agent(name, *arguments, join=False)
            house.wait(lambda name=name: "doesn't prove" in house.said(name), f"{name} to be told")
        house.wait(lambda: "doesn't prove" in house.said("a"), "the connected agent to come back")
        everything = b"".join(heard).decode(errors="replace")
    assert everything.count("GET /proof HTTP/1.1") >= 8
    assert "Bearer" not in everything
    assert "Opsconsole-Invitation" not in everything
    secrets = [token, *(line.rpartition(".")[2] for line in (worker, person, several))]
    secrets += [part for text in credentials for part in text.split('"') if len(part) == 52]
    assert not any(secret in everything for secret in secrets)

    house.serve(listen=f"127.0.0.1:{port}")
    for name in ("a", "late", "joined"):
        house.wait_connected(name)


def has_joined(house: Lab, name: str) -> bool:
    return "joined_by" in (read_private(house.state_dir(name) / "credential.json") or "")


def test_who_passes_the_question_on_to_the_real_one_learns_nothing(house: Lab) -> None:
    token = (house.data_dir / "operator.token").read_text().strip()
    port = free_port()
    with listening(port, relay_to=house.port) as heard:
        said = house.run("jobs", "--connect", f"ws://127.0.0.1:{port}", "--token", token, code=1).stderr
        assert "a tunnel from another port" in said
    everything = b"".join(heard)
    assert b"GET /proof" in everything
    assert token.encode() not in everything
    house.run("jobs", "--connect", f"ws://127.0.0.1:{house.port}", "--token", token)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_script_with_a_token_in_a_header_gets_in_as_ever(house: Lab) -> None:
    """Other programs may go on without asking for a proof: they know the risk, or they are behind TLS."""
    token = (house.data_dir / "operator.token").read_text().strip()
    request = (
        "GET /operator HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", house.port), 10) as connection:
        connection.sendall(request.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 101 ")
