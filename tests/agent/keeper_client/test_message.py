"""What comes from a keeper, also from one that is newer."""

import json
import os

import msgspec
import pytest

from opsconsole_agent.keeper import event_line
from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.service import VERSION
from opsconsole_agent.keeper_client import message
from opsconsole_protocol.error import VersionMismatch


def attempt() -> Attempt:
    one = Attempt("a.0.0.zzzz", 10, 20, 30, child=True)
    one.ended_at_ms = 40
    return one


def test_lines_of_the_keeper_are_understood() -> None:
    one = attempt()
    assert isinstance(message.decode(event_line.started(one).encode()), message.AttemptStarted)
    assert isinstance(message.decode(event_line.frozen(one, 5).encode()), message.AttemptFrozen)
    for line in (
        event_line.unstarted("a", 'no "such" thing', "not_started", 5),
        event_line.lost("a", None, "why", 5, None),
    ):
        assert isinstance(message.decode(line.encode()), message.AttemptExited)


@pytest.mark.parametrize(
    ("status", "code", "signum", "error"),
    [(0, 0, None, False), (7 << 8, 7, None, False), (15, None, 15, False), (None, None, None, True)],
)
def test_an_exit_is_told_as_it_was(status: int | None, code: int | None, signum: int | None, error: bool) -> None:
    one = attempt()
    one.exit_status = status
    one.user_s = 0.1234567
    one.max_rss_kb = 2048
    exited = message.decode(event_line.exited(one).encode())
    assert isinstance(exited, message.AttemptExited)
    assert (exited.exit_code, exited.signal) == (code, signum)
    assert (exited.error is not None, exited.exit_known) == (error, not error)
    assert (exited.user_s, exited.max_rss_mb, exited.oom_kill, exited.proof) == (0.123457, 2.0, None, True)
    assert set(json.loads(event_line.exited(one))) == set(json.loads(event_line.lost("a", None, "why", 5, None)))


def test_unknown_kinds_are_skipped_and_unknown_fields_ignored() -> None:
    assert message.decode(b'{"kind":"sung","song":1}') is None
    assert isinstance(
        message.decode(b'{"kind":"thawed","attempt_id":"a","at_ms":1,"mood":"good"}'), message.AttemptThawed
    )


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"kind":"thawed"}', b"{}"])
def test_what_makes_no_sense_raises(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        message.decode(line)


def test_versions_of_the_same_major_are_spoken_to() -> None:
    assert VERSION.partition(".")[0] == str(message.PROTOCOL_MAJOR)
    message.check_version(b'{"kind":"hello","version":"1.99","pid":1}')
    for version in ("2.0", "0.9", "", "x"):
        with pytest.raises(VersionMismatch):
            message.check_version(b'{"kind":"hello","version":"%s","pid":1}' % version.encode())


def test_names_that_are_not_utf8_can_be_sent() -> None:
    odd = os.fsdecode(b"caf\xe9")
    assert json.loads(message.encode("start", {"env": {"A": odd}}))["env"]["A"] == odd
