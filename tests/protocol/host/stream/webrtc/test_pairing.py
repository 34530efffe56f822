"""All pairings of the engines, between two processes: every byte arrives, both ways at once, and the ends part in order."""

import json
import socket
import subprocess
import sys
from typing import Any

import pytest

from opsconsole_protocol.host.stream.webrtc import engine_names
from opsconsole_protocol.host.stream.webrtc.engine import AIORTC, WRTC
from tests.conftest import ROOT
from tests.protocol.host.stream.webrtc.end import digest_of

pytestmark = pytest.mark.process
MEBIBYTE = 1024 * 1024


def start(engine: str, signals: socket.socket, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.protocol.host.stream.webrtc.end"]
    return subprocess.Popen(
        [*command, "--engine", engine, "--signals", str(signals.fileno()), *options],
        pass_fds=(signals.fileno(),), stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip


def what_it_has_seen(end: "subprocess.Popen[str]") -> dict[str, Any]:
    """The last line of an end, which has ended."""
    found: dict[str, Any] = json.loads(end.communicate(timeout=90)[0].splitlines()[-1])
    return found


def both(initiator: str, responder: str, there: int, back: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the two ends have seen of a stream that carries so many bytes there and back."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        ends = (
            start(initiator, one, "--initiator", "--number", "1", "--send-bytes", str(there)),
            start(responder, two, "--number", "2", "--send-bytes", str(back)),
        )
        try:
            first, second = (what_it_has_seen(end) for end in ends)
        finally:
            for end in ends:
                end.kill()
                end.wait()
    return first, second


@pytest.mark.parametrize("responder", [AIORTC, WRTC])
@pytest.mark.parametrize("initiator", [AIORTC, WRTC])
def test_every_byte_arrives_both_ways(initiator: str, responder: str) -> None:
    if WRTC in (initiator, responder) and WRTC not in engine_names():
        pytest.skip("wrtc isn't installed")
    there, back = 12 * MEBIBYTE + 17, 5 * MEBIBYTE + 1
    first, second = both(initiator, responder, there, back)
    assert first == {"engine": initiator, "received": back, "digest": digest_of(2, back), "error": ""}
    assert second == {"engine": responder, "received": there, "digest": digest_of(1, there), "error": ""}


def test_a_stream_may_carry_nothing() -> None:
    first, second = both(AIORTC, AIORTC, 0, 0)
    assert (first["received"], first["error"], second["received"], second["error"]) == (0, "", 0, "")


@pytest.mark.parametrize("survivor", [AIORTC, WRTC])
def test_an_end_whose_other_end_was_killed_notices(survivor: str) -> None:
    if survivor not in engine_names():
        pytest.skip("wrtc isn't installed")
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, two:
        killed = start(AIORTC, one, "--initiator", "--send-bytes", str(10**12))
        left = start(survivor, two, "--send-bytes", str(10**12), "--silent-s", "2")
        assert killed.stdout is not None
        try:
            assert killed.stdout.readline() == "open\n"
            killed.kill()
            seen = what_it_has_seen(left)
        finally:
            for end in (killed, left):
                end.kill()
                end.wait()
            killed.stdout.close()
    assert seen["error"] in {
        "nothing has been heard from the other end for 2 s",
        "no connection holds between the two ends",
        "the other end has closed the connection",
    }
