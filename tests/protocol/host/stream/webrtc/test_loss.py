"""A network that drops packets: all bytes arrive all the same, by each pairing of the engines."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from opsconsole_protocol.host.stream.webrtc import engine_names
from opsconsole_protocol.host.stream.webrtc.engine import AIORTC, WRTC
from tests.chaos.namespace import Impossible, Town
from tests.protocol.host.stream.webrtc.end import digest_of
from tests.protocol.host.stream.webrtc.test_pairing import both

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]
MEBIBYTE = 1024 * 1024
_RULES = """table ip loss {
  chain through {
    type filter hook forward priority 0;
    meta l4proto udp numgen random mod 100 < 2 drop
  }
}
"""


@pytest.fixture(name="town")
def _town(tmp_path: Path) -> Iterator[Town]:
    rules = tmp_path / "loss.nft"
    rules.write_text(_RULES)
    with ExitStack() as stack:
        try:
            made = stack.enter_context(closing(Town("one", "two")))
            made.run("router", "nft", "-f", str(rules))
        except Impossible as error:
            if os.environ.get("CI") == "true" and os.geteuid() == 0:
                raise
            pytest.skip(str(error))
        yield made


@pytest.mark.parametrize(("initiator", "responder"), [(AIORTC, AIORTC), (AIORTC, WRTC), (WRTC, AIORTC)])
def test_every_byte_arrives_although_packets_are_lost(town: Town, initiator: str, responder: str) -> None:
    if WRTC in (initiator, responder) and WRTC not in engine_names():
        pytest.skip("wrtc isn't installed")
    there, back = 4 * MEBIBYTE + 5, MEBIBYTE
    first, second = both(initiator, responder, there, back, within=[town.command("one"), town.command("two")])
    assert (first["received"], first["digest"], first["error"]) == (back, digest_of(2, back), "")
    assert (second["received"], second["digest"], second["error"]) == (there, digest_of(1, there), "")
