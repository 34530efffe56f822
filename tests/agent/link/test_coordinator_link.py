"""When a link gives up, what it sends first, and what it drops."""

import asyncio
from dataclasses import dataclass, field

import pytest

from opsconsole_agent.link.coordinator_link import OUTBOX_MAX, CoordinatorLink, Target, _is_fatal
from opsconsole_agent.log.shipper import LogShipper
from opsconsole_protocol import PROTOCOL_VERSION, link
from opsconsole_protocol.error import (
    Conflict,
    Forbidden,
    OpsconsoleError,
    ProtocolError,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)
from opsconsole_protocol.host.dial import Refused, Unreachable, WrongCertificate
from opsconsole_protocol.ids import WorkerId
from tests.agent.fake_coordinator import FakeCoordinator
from tests.waiting import until


@dataclass
class FakePeer:
    """An agent without anything behind it."""

    received: list[link.CoordinatorMessage] = field(default_factory=list)
    connections: int = 0
    overflows: int = 0

    def registration(self, reached_from: str) -> link.Register:
        del reached_from
        return link.Register(
            protocol=PROTOCOL_VERSION, agent_version="1", worker_id=WorkerId("worker-1"), name="w", run_id="r"
        )

    def connected(self, registered: link.Registered) -> None:  # noqa: ARG002
        self.connections += 1

    def receive(self, message: link.CoordinatorMessage) -> None:
        self.received.append(message)

    def batch_received(self) -> None:
        pass

    def disconnected(self) -> None:
        pass

    def overflowed(self) -> None:
        self.overflows += 1

    def shipped(self) -> None:
        pass

    async def heartbeat(self) -> link.Heartbeat:
        return link.Heartbeat(at_ms=1)


@pytest.mark.parametrize(
    ("error", "at_first", "later"),
    [
        (Unreachable("nothing listens"), False, False),
        (Refused("u", 401, "revoked"), True, True),
        (Refused("u", 403, "no"), True, True),
        (Refused("u", 426, "old"), True, True),
        (Refused("u", 409, "name taken"), True, False),
        (Refused("u", 404, "what?"), True, False),
        (Refused("u", 503, "starting"), False, False),
        (Refused("u", 429, "wait"), False, False),
        (WrongCertificate("other"), True, False),
        (Unauthenticated("revoked"), True, True),
        (Forbidden("no"), True, True),
        (VersionMismatch("old"), True, True),
        (Conflict("name taken"), True, False),
        (ProtocolError("what?"), True, False),
        (Unavailable("identity is connected"), False, False),
    ],
)
def test_only_a_clear_no_ends_an_agent_that_was_taken_once(error: OpsconsoleError, at_first: bool, later: bool) -> None:
    assert (_is_fatal(error, first=True), _is_fatal(error, first=False)) == (at_first, later)


async def test_without_a_connection_messages_are_dropped_not_kept() -> None:
    one = CoordinatorLink(Target("ws://127.0.0.1:1", None, {}), FakePeer(), LogShipper(), lambda _: None)
    one.send(link.UpdateMetadata())
    assert one.is_idle


async def test_an_outbox_that_overflows_is_emptied_and_everything_said_again(coordinator: FakeCoordinator) -> None:
    peer = FakePeer()
    one = CoordinatorLink(Target(coordinator.url, None, {}), peer, LogShipper(), lambda _: None)
    running = asyncio.create_task(one.run())
    try:
        await until(lambda: one.is_up)
        for _ in range(OUTBOX_MAX + 1):
            one.send(link.UpdateMetadata())
        assert peer.overflows == 1
        await until(lambda: coordinator.others)
        assert len(coordinator.others) == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_cannot_be_understood_ends_the_connection_and_not_the_agent(coordinator: FakeCoordinator) -> None:
    peer, said = FakePeer(), list[str]()
    one = CoordinatorLink(Target(coordinator.url, None, {}), peer, LogShipper(), said.append)
    running = asyncio.create_task(one.run())
    try:
        await until(lambda: one.is_up)
        assert coordinator._connection is not None
        await coordinator._connection.send(b"\x91\x81\xa4type\xa9nonsense!")
        await until(lambda: peer.connections == 2)
        assert any("a message has the wrong shape" in line for line in said)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_secrets_are_not_in_a_target_s_repr() -> None:
    target = Target("ws://h:1", None, {"Authorization": "Bearer s3cret"}, "invited.s3cret")
    assert "s3cret" not in repr(target)
