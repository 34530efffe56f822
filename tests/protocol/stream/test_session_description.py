"""Of the other end's description only one data channel and plain addresses reach an engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.stream.session_description import (
    CANDIDATES_MAX,
    DESCRIPTION_CHARACTERS_MAX,
    check_description,
)

HEAD = (
    "v=0",
    "o=- 1 2 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=sctp-port:5000",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789012345678901",
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
    "a=setup:actpass",
)


def candidate(address: str, protocol: str = "udp") -> str:
    return f"a=candidate:1 1 {protocol} 2130706431 {address} 40000 typ host"


def described(*lines: str, head: tuple[str, ...] = HEAD) -> str:
    return "\r\n".join((*head, *lines, ""))


def candidates(description: str) -> list[str]:
    return [line.split()[4] for line in description.splitlines() if line.startswith("a=candidate:")]


def test_a_description_stays_as_it_is_and_is_said_to_be_whole() -> None:
    given_lines = described(candidate("192.0.2.1"), candidate("2001:db8::1"), candidate("10.0.0.1", "tcp")).splitlines()
    assert check_description(described(*given_lines[len(HEAD) :])).splitlines() == [*given_lines, "a=end-of-candidates"]


@pytest.mark.parametrize(
    "address",
    [
        "internal.example.org",
        "0c1d2e3f.local",
        "localhost",
        "239.1.2.3",
        "ff02::1",
        "0.0.0.0",  # noqa: S104  (nothing is bound to it)
        "::",
        "1.2.3",
        "",
        "::1%eth0;x",
    ],
)
def test_names_and_addresses_of_nobody_are_left_out(address: str) -> None:
    assert candidates(check_description(described(candidate(address), candidate("192.0.2.1")))) == ["192.0.2.1"]


def test_an_engine_never_knocks_at_more_than_a_few_addresses() -> None:
    many = [candidate(f"10.0.{number // 250}.{number % 250 + 1}") for number in range(400)]
    assert len(candidates(check_description(described(*many)))) == CANDIDATES_MAX


@pytest.mark.parametrize(
    "description",
    [
        "",
        "v=0",
        described(head=(*HEAD, "m=audio 9 UDP/TLS/RTP/SAVPF 0")),
        described(head=tuple(line for line in HEAD if not line.startswith("m="))),
        described(head=tuple(line for line in HEAD if not line.startswith("a=fingerprint"))),
        described(head=(*HEAD[:4], "m=video 9 UDP/TLS/RTP/SAVPF 96", *HEAD[5:])),
        described(head=(*HEAD[:4], "m=", *HEAD[5:])),
        described("a=x" * DESCRIPTION_CHARACTERS_MAX),
        described("a=ü"),
        described("a=\x00"),
    ],
)
def test_anything_but_one_data_channel_is_refused(description: str) -> None:
    with pytest.raises(ProtocolError, match="no WebRTC with it"):
        check_description(description)


@given(st.text() | st.lists(st.sampled_from([*HEAD, candidate("1.2.3.4"), "m=", "a=candidate:"])).map("\n".join))
def test_whatever_comes_is_refused_or_whole(description: str) -> None:
    try:
        checked = check_description(description)
    except ProtocolError:
        return
    assert check_description(checked) == checked
