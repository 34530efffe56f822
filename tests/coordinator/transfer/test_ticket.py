"""Tickets: who may come, once, and not for ever."""

import pytest

from opsconsole_coordinator.transfer.message import Expect, Relay
from opsconsole_coordinator.transfer.ticket import Tickets
from opsconsole_protocol.stream.proof import acceptance_proof, request_proof
from opsconsole_protocol.stream.upgrade import UpgradeRequest

WHERE = "127.0.0.1 7373"
MINE, THEIRS = "m" * 43, "t" * 43


@pytest.fixture
def tickets() -> Tickets:
    found = Tickets()
    found.expect(Expect(stream_id="s1", ttl_ms=60_000, secrets=(MINE, THEIRS), work=Relay()), 100.0)
    return found


def request(secret: str = MINE, stream_id: str = "s1", where: str = WHERE) -> UpgradeRequest:
    return UpgradeRequest(stream_id, request_proof(secret, stream_id, where))


def test_each_end_comes_once_and_is_shown_a_proof_of_its_own(tickets: Tickets) -> None:
    first, second = tickets.admit(request(MINE), WHERE, 101.0), tickets.admit(request(THEIRS), WHERE, 101.0)
    assert first is not None
    assert second is not None
    assert (first.end, second.end) == (0, 1)
    assert first.proof == acceptance_proof(MINE, "s1", WHERE)
    assert second.proof == acceptance_proof(THEIRS, "s1", WHERE)
    assert len(tickets) == 0
    assert tickets.admit(request(MINE), WHERE, 101.0) is None


def test_a_ticket_that_was_used_is_none_any_more(tickets: Tickets) -> None:
    assert tickets.admit(request(), WHERE, 101.0) is not None
    assert tickets.admit(request(), WHERE, 101.0) is None


@pytest.mark.parametrize(
    "shown",
    [
        request("x" * 43),
        request(stream_id="s2"),
        request(where="127.0.0.1 7374"),
        UpgradeRequest("s1", acceptance_proof(MINE, "s1", WHERE)),
        UpgradeRequest("s1", request_proof(MINE, "s2", WHERE)),
    ],
    ids=[
        "another's secret",
        "another stream",
        "another port",
        "the coordinator's own proof",
        "a proof of another stream",
    ],
)
def test_who_shows_something_else_is_not_let_in_and_uses_nothing_up(tickets: Tickets, shown: UpgradeRequest) -> None:
    assert tickets.admit(shown, WHERE, 101.0) is None
    assert tickets.admit(request(), WHERE, 101.0) is not None


def test_a_ticket_expires(tickets: Tickets) -> None:
    assert tickets.admit(request(), WHERE, 160.0) is None
    tickets.drop_expired(160.0)
    assert len(tickets) == 0


def test_a_stream_that_is_not_wanted_any_more_is_not_expected(tickets: Tickets) -> None:
    tickets.forget("s1")
    tickets.forget("s1")
    assert tickets.admit(request(), WHERE, 101.0) is None
