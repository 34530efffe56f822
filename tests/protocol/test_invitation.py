"""The join line: it round-trips, and each way of being wrong has a line that says what to do and no secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import ALPHABET
from opsconsole_protocol.trust.invitation import (
    Address,
    Invitation,
    InvitationId,
    parse_join_line,
    parse_url,
    split_token,
)
from opsconsole_protocol.trust.secret import new_secret

SECRET = new_secret(bytes(range(32)))
HASH = "0123456789abcdef" * 4
REMOTE = Invitation("wss://box.example.org:7373", HASH, InvitationId("7k3m9q2x"), SECRET)
LOCAL = Invitation("ws://127.0.0.1:7373", None, InvitationId("7k3m9q2x"), SECRET)
LINE = REMOTE.format()


def test_the_line_is_as_documented() -> None:
    assert REMOTE.format() == f"wss://box.example.org:7373#{HASH}.7k3m9q2x.{SECRET}"
    assert LOCAL.format() == f"ws://127.0.0.1:7373#-.7k3m9q2x.{SECRET}"


@given(
    st.sampled_from(["wss://box:1", "wss://[2001:db8::1]:65535", "ws://localhost:7373", "wss://10.0.0.1:7373"]),
    st.binary(min_size=32, max_size=32),
    st.text(ALPHABET, min_size=8, max_size=8),
)
def test_a_line_that_was_written_is_read_again(url: str, random_bytes: bytes, invitation_id: str) -> None:
    certificate_hash = HASH if url.startswith("wss://") else None
    invitation = Invitation(url, certificate_hash, InvitationId(invitation_id), new_secret(random_bytes))
    assert parse_join_line(invitation.format()) == invitation
    assert parse_url(invitation.format()) == Address(url, certificate_hash, invitation)
    assert split_token(invitation.token) == (invitation_id, invitation.secret)


@pytest.mark.parametrize("around", ["  {}\n", "'{}'", '"{}"', "‘{}’", " '{}", "`{}` ", "\t' {} '"])
def test_white_space_and_quotes_around_do_no_harm(around: str) -> None:
    assert parse_join_line(around.format(LINE)) == REMOTE


def test_capitals_and_a_missing_port_do_no_harm() -> None:
    assert parse_join_line(LINE.upper().replace(":7373", "")) == REMOTE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("''", "is empty"),
        ("wss://box.example.org:7373", "ends after the address"),
        ("wss://box.example.org:7373#", "cut short"),
        (f"wss://box:7373#{HASH}.7k3m9q2x", "cut short"),
        (LINE + ".x", "too many parts"),
        (LINE[:-20], "32 of 52 characters"),
        (LINE + "0", "53 of 52 characters"),
        (LINE[:-1] + "u", "no secret holds"),
        (LINE.replace("7k3m9q2x", "7k3m"), "id in the join line"),
        (LINE.replace(HASH, HASH[:-1]), "not 64 hexadecimal digits, but 63"),
        (LINE.replace(HASH, "x" * 64), "not 64 hexadecimal digits"),
        (LINE.replace(HASH, "-"), "is missing"),
        (LINE.replace(HASH, ""), "is missing"),
        (LINE.replace("wss://", "https://"), "write wss://"),
        (LINE.replace("wss://", "http://"), "write wss://"),
        (LINE.replace("wss://", "ws://"), "in the clear"),
        (LINE.replace("wss://box.example.org", "ws://127.0.0.1"), "write wss://127.0.0.1:7373"),
        (f"opsconsole agent --join '{LINE}'", "the whole command"),
        (LINE[:60] + "\n" + LINE[60:], "line break inside"),
        (LINE[:60] + " " + LINE[60:], "space"),
        (LINE[:60] + "'" + LINE[60:], "a quote inside"),
        (LINE + "\x1b[2J", "characters"),
    ],
)
def test_every_way_of_being_wrong_has_its_line(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_join_line(text)
    message = caught.value.message
    assert said in message
    assert message.isprintable()
    assert SECRET[:12] not in message


@given(st.integers(0, len(LINE) - 1))
def test_a_line_cut_anywhere_is_refused_and_its_secret_stays_in(length: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_join_line(LINE[:length])
    assert SECRET[:8] not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_an_invitation_or_one_printable_line(text: str) -> None:
    for parse in (parse_join_line, parse_url):
        message = ""
        try:
            parse(text)
        except InvalidRequest as error:
            message = error.message
        assert message.isprintable()


def test_no_repr_shows_the_secret() -> None:
    assert SECRET not in repr(REMOTE)
    assert SECRET not in repr(parse_url(LINE))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("box:7373", Address("wss://box:7373")),
        ("opsconsole.example.org", Address("wss://opsconsole.example.org:7373")),
        (" 'wss://box' ", Address("wss://box:7373")),
        ("ws://127.0.0.1:8000", Address("ws://127.0.0.1:8000")),
        ("ws://127.0.0.1:8000#-", Address("ws://127.0.0.1:8000")),
        (f"wss://box:7373#{HASH}", Address("wss://box:7373", HASH)),
        (f"box#{HASH.upper()}", Address("wss://box:7373", HASH)),
    ],
)
def test_what_connect_takes(text: str, address: Address) -> None:
    assert parse_url(text) == address


@pytest.mark.parametrize("text", ["", "http://box", "ws://box", "wss://box#", "wss://box#12", f"ws://localhost#{HASH}"])
def test_what_connect_refuses(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_url(text)


@pytest.mark.parametrize(
    "text", ["", ".", SECRET, f"7k3m9q2x.{SECRET[1:]}", f"7k3m9q2.{SECRET}", f"7k3m9q2x.{SECRET}."]
)
def test_what_is_no_token(text: str) -> None:
    assert split_token(text) is None
