"""Behind routers that give every conversation another port, only a TURN server helps; the engines use it as it is configured."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from opsconsole_protocol.host.stream.webrtc import engine_names
from tests.chaos.namespace import Impossible
from tests.process.nat_town import NatTown
from tests.protocol.host.stream.webrtc.end import digest_of
from tests.protocol.host.stream.webrtc.test_pairing import both
from tests.waiting import until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]
PORT = 3478
HOMES = ("gpu-a", "gpu-b")
MEBIBYTE = 1024 * 1024


@pytest.fixture(name="town")
def _town(tmp_path: Path) -> Iterator[NatTown]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(closing(NatTown("lab", homes=HOMES, rules=tmp_path / "home.nft")))
            for home in HOMES:
                made.run(f"home-{home}", "nft", "flush", "chain", "ip", "home", "out")
                rule = ("ip", "home", "out", "oifname", "cable", "masquerade", "fully-random")
                made.run(f"home-{home}", "nft", "add", "rule", *rule)
        except Impossible as error:
            if os.environ.get("CI") == "true" and os.geteuid() == 0:
                raise
            pytest.skip(str(error))
        yield made


@pytest.fixture(name="turn")
def _turn(town: NatTown, tmp_path: Path) -> Iterator[str]:
    """The URL of a TURN server in the lab."""
    if shutil.which("turnserver") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "coturn isn't installed (apt-get install coturn)"
        )
    address = town.address("lab")
    server = subprocess.Popen(
        (
            *town.command("lab"), "turnserver", "-n", "--listening-ip", address, "--relay-ip", address, "--no-cli",
            "--user", "ops:secret", "--realm", "lab", "--lt-cred-mech", "--log-file", str(tmp_path / "turn.log"),
            "--pidfile", str(tmp_path / "turn.pid"), "--userdb", str(tmp_path / "turn.db"),
        ),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def listens() -> bool:
        with town.inside("lab"), socket.socket() as sock:
            return sock.connect_ex((address, PORT)) == 0

    try:
        until_sync(listens, what="the TURN server")
        yield f"turn:{address}:{PORT}"
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("engine", engine_names())
def test_a_turn_server_joins_two_ends_that_nothing_else_joins(
    town: NatTown, turn: str, engine: str, transport: str
) -> None:
    there, back = 2 * MEBIBYTE + 1, MEBIBYTE
    options = ("--turn", f"{turn}?transport={transport}")
    first, second = both(engine, engine, there, back, *options, within=[town.command(home) for home in HOMES])
    assert (first["received"], first["digest"], first["error"]) == (back, digest_of(2, back), "")
    assert (second["received"], second["digest"], second["error"]) == (there, digest_of(1, there), "")
