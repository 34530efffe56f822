"""Addresses: every accepted spelling, and a clear word about every other."""

import pytest

from opsconsole_protocol.trust.address import InvalidAddress, host_of, is_loopback, normal_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("wss://gpu.example.org:7373", "wss://gpu.example.org:7373"),
        ("WSS://GPU.example.org", "wss://gpu.example.org:7373"),
        ("gpu_box:80/", "wss://gpu_box:80"),
        ("10.0.0.7", "wss://10.0.0.7:7373"),
        ("127.0.0.1:9000", "ws://127.0.0.1:9000"),
        ("localhost", "ws://localhost:7373"),
        ("wss://localhost:1", "wss://localhost:1"),
        ("[::1]:7373", "ws://[::1]:7373"),
        ("wss://[2001:db8::1]", "wss://[2001:db8::1]:7373"),
    ],
)
def test_accepted(text: str, url: str) -> None:
    assert normal_url(text) == url
    assert normal_url(url) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("http://box:7373", "write wss://box:7373"),
        ("ftp://127.0.0.1", "write wss://127.0.0.1:7373"),
        ("ws://box:7373", "in the clear"),
        ("ws://127.0.0.1.example.org", "in the clear"),
        ("wss://user:pw@box:7373", "no user"),
        ("wss://box:7373/api", "ends after the port"),
        ("wss://box?x=1", "ends after the port"),
        ("::1", "brackets"),
        ("wss://2001:db8::1:7373", "brackets"),
        ("wss://[::1::2]", "not an IPv6 address"),
        ("wss://[::1::2]:7373", "not an IPv6 address"),
        ("box:99999", "not a port"),
        ("box:0", "not a port"),
        ("box:port", "not the address"),
        ("bo x", "not the address"),
        ("-box", "not the address"),
        ("wss://", "not the address"),
        ("wss://box\x1b[2J", "not the address"),
        ("wss://" + "a" * 64 + ".lab", "1 to 63 characters"),
        ("wss://lab..org", "1 to 63 characters"),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        normal_url(text)
    assert said in caught.value.message
    assert caught.value.message.isprintable()


def test_loopback_is_what_stays_on_this_machine() -> None:
    assert all(map(is_loopback, ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "LOCALHOST"]))
    assert not any(map(is_loopback, ["", "box", "0.0.0.0", "localhost.example.org", "10.0.0.1", "::", "[fe80::1]"]))  # noqa: S104


def test_the_host_in_a_url() -> None:
    assert host_of("wss://box:7373") == "box"
    assert host_of("ws://[::1]:7373") == "::1"
