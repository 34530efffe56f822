"""Streams between machines with a real network in between: firewalls that drop packets, and networks that are gone."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest

from opsconsole_protocol.host.stream import rtc
from opsconsole_protocol.host.stream import stream as module
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.host.stream.transfer import move
from opsconsole_protocol.host.stream.webrtc import engine_names
from opsconsole_protocol.stream.error import NoWay, StreamLost
from opsconsole_protocol.stream.message import StreamGrant, Via, Way
from tests.chaos.namespace import Impossible, Town
from tests.protocol.host.stream.fake_broker import Summary, broker
from tests.protocol.host.stream.fake_coordinator import FakeCoordinator
from tests.protocol.host.stream.lab import NOWHERE, PURPOSE, End, check_both_ways, opening, pair, receive
from tests.protocol.host.stream.resident import BLOCK, Said

SECRETS = {"s1": {"secret True", "secret False"}}


@pytest.fixture(name="town")
def _town(monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    monkeypatch.setattr(rtc, "engine_names", lambda: ())
    try:
        made = Town("lab", "one", "two")
    except Impossible as error:
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            raise
        pytest.skip(str(error))
    with contextlib.closing(made):
        yield made


@dataclass
class Resident(End):
    """An end on a machine of the town."""

    town: Town | None = None
    host: str = ""

    def open(self) -> Stream:
        assert self.town is not None
        with self.town.inside(self.host):
            return super().open()


def residents(town: Town, fake: FakeCoordinator | None = None, via: Via = Via.AUTO) -> tuple[Resident, Resident]:
    ends = pair(via=via, relay=fake is not None, home=NOWHERE if fake is None else fake.home)
    one, two = (
        Resident(end.grant, end.home, town=town, host=host) for end, host in zip(ends, ("one", "two"), strict=True)
    )
    one.other, two.other = two, one
    return one, two


@contextlib.contextmanager
def lab(town: Town) -> Iterator[FakeCoordinator]:
    with town.inside("lab"):
        fake = FakeCoordinator(secrets=SECRETS | {}, tls=True, host=town.address("lab"))
    try:
        yield fake
    finally:
        fake.close()


def firewall(town: Town, host: str) -> None:
    """From now on the host answers nobody who dials it, without a word."""
    rules = "add table inet wall; add chain inet wall in { type filter hook input priority 0; }; "
    rules += "add rule inet wall in tcp flags & (syn|ack) == syn drop"
    done = subprocess.run([*town.command(host), "nft", rules], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no firewall can be had here: {done.stderr.strip()}")


def test_two_machines_reach_each_other(town: Town) -> None:
    one, two = residents(town)
    with opening(one, two) as (mine, theirs):
        check_both_ways(mine.result(10), theirs.result(10))
    assert one.lines == ["direct: connected to gpu-3 (nothing lies between)"]


def test_a_machine_behind_a_firewall_dials_back(town: Town) -> None:
    firewall(town, "two")
    one, two = residents(town)
    with opening(one, two) as (mine, theirs):
        check_both_ways(mine.result(10), theirs.result(10))
    assert one.lines == ["direct: connected to gpu-3 (nothing lies between)"]


def test_two_machines_behind_firewalls_are_joined_by_the_coordinator(town: Town) -> None:
    for host in ("one", "two"):
        firewall(town, host)
    with lab(town) as fake:
        one, two = residents(town, fake)
        with opening(one, two) as (mine, theirs):
            check_both_ways(mine.result(20), theirs.result(20))
    first, second = one.lines
    assert first.startswith(f"direct doesn't work: {town.address('two')} port ")
    assert "no answer" in first
    assert second == "relay: connected to gpu-3 (the coordinator joins both ends)"


def test_two_machines_behind_firewalls_with_no_relay_are_told(town: Town) -> None:
    for host in ("one", "two"):
        firewall(town, host)
    one, two = residents(town, via=Via.DIRECT)
    with opening(one, two) as (mine, _), pytest.raises(NoWay, match=r"^no way leads to gpu-3: direct: [^\n]+no answer"):
        mine.result(20)


@pytest.mark.parametrize("works", ["sends", "receives"])
def test_a_network_that_is_gone_is_noticed(town: Town, monkeypatch: pytest.MonkeyPatch, works: str) -> None:
    """No reset comes, packets just don't arrive any more. The kernel by itself would go on for a quarter of an hour."""
    monkeypatch.setattr(module, "STALL_CHECK_S", 0.1)
    monkeypatch.setattr(module, "SILENT_MS", 1_000)
    monkeypatch.setattr(
        module, "_KEEPALIVE", ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 1))
    )
    one, two = residents(town)
    with opening(one, two) as (mine, theirs):
        check_both_ways(mine.result(10), theirs.result(10))
        town.part("one", "two")
        stream = mine.result()
        with pytest.raises(StreamLost, match=r"^the stream broke \(Connection (timed out|lost)\)$"):
            send_on(stream) if works == "sends" else stream.receive_into(bytearray(1))
        town.heal()


def send_on(stream: Stream) -> None:
    while True:
        stream.send(bytes(1 << 20))


def test_a_receiver_that_only_pauses_is_waited_for(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_CHECK_S", 0.1)
    monkeypatch.setattr(module, "SILENT_MS", 500)
    asked: list[tuple[int, int, int]] = []
    is_gone = module.is_gone

    def ask(*facts: int) -> bool:
        asked.append(facts)  # type: ignore[arg-type]
        return is_gone(*facts)

    monkeypatch.setattr(module, "is_gone", ask)
    one, two = residents(town)
    with opening(one, two) as (mine, theirs):
        stream, other = mine.result(10), theirs.result(10)
        sender = threading.Thread(target=stream.send, args=(bytes(32 << 20),))
        sender.start()
        while len(asked) < 10:
            sender.join(0.05)
            assert sender.is_alive()
        view, left = bytearray(1 << 20), 32 << 20
        while left:
            left -= other.receive_into(view)
        sender.join()
        assert mine.result().way is Way.DIRECT


def test_a_network_that_parts_in_the_middle_is_gone_round(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two machines don't reach each other any more, without a word; the coordinator still reaches both."""
    monkeypatch.setattr(module, "STALL_CHECK_S", 0.1)
    monkeypatch.setattr(module, "SILENT_MS", 1_000)
    monkeypatch.setattr(
        module, "_KEEPALIVE", ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 1))
    )
    found = bytearray()

    def serve(stream: Stream) -> None:
        start = int.from_bytes(receive(stream, 8))
        with contextlib.suppress(StreamLost):
            stream.send(BLOCK[start:] if start else BLOCK[: len(BLOCK) // 2])
            stream.receive_into(bytearray(1))
        stream.close()

    def work(stream: Stream) -> Summary:
        stream.send(len(found).to_bytes(8))
        if not found:
            found.extend(receive(stream, len(BLOCK) // 2))
            town.part("one", "two")
        while len(found) < len(BLOCK):
            more = receive(stream, len(BLOCK) - len(found))
            if not more:
                raise StreamLost("the other end is gone")
            found.extend(more)
        return Summary(len(found))

    def settle(one: End, other: End) -> tuple[End, End]:
        here, there = (
            Resident(end.grant, end.home, town=town, host=host) for end, host in ((one, "one"), (other, "two"))
        )
        here.other, there.other = there, here
        return here, there

    lines: list[str] = []
    cancel = threading.Event()
    with (
        lab(town) as fake,
        town.inside("one"),
        broker(serve, home=fake.home, relay=True, fake=fake, settle=settle) as one,
    ):
        move(one, PURPOSE, peer="gpu-3", via=Via.AUTO, home=fake.home, work=work, tell=lines.append, cancel=cancel)
    assert found == BLOCK
    assert [line.partition(":")[0] for line in lines if "connected" in line] == ["direct", "relay"]


def wall(town: Town, host: str) -> None:
    """What a home router does: nobody gets in who wasn't spoken to from inside, be it by TCP or UDP."""
    rules = "add table inet wall; add chain inet wall in { type filter hook input priority 0; policy drop; }; "
    rules += "add rule inet wall in ct state established,related accept; add rule inet wall in iif lo accept"
    done = subprocess.run([*town.command(host), "nft", rules], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no firewall can be had here: {done.stderr.strip()}")


class Process:
    """An end in a process of its own (`resident.py`)."""

    def __init__(self, town: Town, host: str, grant: StreamGrant) -> None:
        argument = msgspec.json.encode(grant).decode()
        self._process = subprocess.Popen(
            [*town.command(host), sys.executable, "-m", "tests.protocol.host.stream.resident", argument],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self.end = ""

    def pump(self, other: "Process") -> None:
        """Pass on what it tells, until it has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = msgspec.json.decode(line, type=Said)
            if said.signal:
                other.tell(said.signal)
            if said.line:
                self.lines.append(said.line)
            self.end = said.end or self.end

    def tell(self, body: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(body.hex() + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()


@pytest.mark.process
@pytest.mark.parametrize("via", [Via.AUTO, Via.WEBRTC])
def test_webrtc_gets_through_where_nobody_can_be_dialled(town: Town, via: Via) -> None:
    for host in ("one", "two"):
        wall(town, host)
    one, two = (Process(town, host, end.grant) for host, end in zip(("one", "two"), pair(via=via), strict=True))
    try:
        pumps = [threading.Thread(target=one.pump, args=(two,)), threading.Thread(target=two.pump, args=(one,))]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join(60)
    finally:
        one.close()
        two.close()
    assert (one.end, two.end) == ("webrtc whole", "webrtc whole")
    if via is Via.AUTO:
        assert one.lines[0].startswith(f"direct doesn't work: {town.address('two')} port ")
    assert one.lines[-1].startswith(f"webrtc with {engine_names()[0]}: connected to gpu-3 (")
