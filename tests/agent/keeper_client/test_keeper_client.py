"""A client finds or starts its keeper, tells of its loss, and finds it again."""

import asyncio
import os
import signal

import pytest

from opsconsole_agent.keeper import main as keeper_main
from opsconsole_agent.keeper_client import keeper_client
from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.keeper_client.message import AttemptExited, KeeperHello, KeeperLost
from opsconsole_protocol.error import InvalidRequest, Unavailable, VersionMismatch
from tests.agent.keeper_lab import KeeperLab, proc
from tests.waiting import until

pytestmark = pytest.mark.process

KILLED_ONCE = """
import os, sys
marker, real = {marker!r}, {real!r}
if not os.path.exists(marker):
    open(marker, "w").close()
    os.kill(os.getpid(), 9)
os.execv(sys.executable, [sys.executable, "-I", "-S", real, *sys.argv[1:]])
"""
"""A keeper that is killed before it says anything; the next one lives."""


async def test_a_keeper_that_cannot_start_says_why(empty_lab: KeeperLab, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = empty_lab.folder / "main.py"
    broken.write_text("raise OSError(28, 'No space left on device')")
    monkeypatch.setattr(keeper_main, "__file__", str(broken))
    with pytest.raises(Unavailable, match="No space left on device"):
        await empty_lab.connect()


async def test_a_folder_that_cannot_be_one_is_named(empty_lab: KeeperLab) -> None:
    empty_lab.state_dir = empty_lab.folder / "file" / "state"
    (empty_lab.folder / "file").touch()
    with pytest.raises(Unavailable, match=r"no keeper can work in .*/file/state: Not a directory"):
        await empty_lab.connect()


async def test_a_keeper_that_is_killed_while_it_starts_is_started_again(
    empty_lab: KeeperLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = empty_lab
    marker = lab.folder / "killed"
    script = lab.folder / "main.py"
    script.write_text(KILLED_ONCE.format(marker=str(marker), real=keeper_main.__file__))
    monkeypatch.setattr(keeper_main, "__file__", str(script))
    await lab.connect()
    assert marker.exists()
    assert (await lab.run("first", "/bin/sh", "-c", "exit 3")).exit_code == 3


async def test_tokens_of_the_agent_do_not_reach_the_keeper(
    empty_lab: KeeperLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSCONSOLE_TOKEN", "correct-horse-battery")
    lab = await empty_lab.connect()
    assert "correct-horse-battery" not in proc(lab.keeper_pid, "environ")


async def test_a_keeper_that_has_not_heard_of_a_command_is_said_to_be_older(lab: KeeperLab) -> None:
    """Never taken for another command: an attempt of another user isn't started as root (hard use 58)."""
    with pytest.raises(InvalidRequest, match="is older than its agent"):
        await lab.client._request("start_on_the_moon", {"attempt_id": "a"})


async def test_a_slow_reader_gets_everything_in_the_end(empty_lab: KeeperLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_client, "_UNREAD_MAX", 10)
    ours = await KeeperClient.connect(empty_lab.state_dir, idle_s=30)
    commands = [empty_lab.command(f"n{number}", "true") for number in range(100)]
    for command in commands:
        await ours.start(command)  # is answered though nobody reads the events
    exits = 0
    async for event in ours.events():
        if isinstance(event, KeeperHello):
            empty_lab.keeper_pids.add(event.pid)
        exits += isinstance(event, AttemptExited)
        if exits == len(commands):
            break
    await ours.close()


async def test_a_long_path_is_no_obstacle(empty_lab: KeeperLab) -> None:
    deep = empty_lab.state_dir / ("d" * 100) / ("e" * 100)
    empty_lab.state_dir = deep
    await empty_lab.connect()
    assert (await empty_lab.run("a", "true")).exit_code == 0


async def test_two_agents_at_once_share_one_keeper(empty_lab: KeeperLab) -> None:
    links = await asyncio.gather(*(KeeperClient.connect(empty_lab.state_dir, idle_s=30) for _ in range(3)))
    for each in links:
        await each.close()
    await empty_lab.connect()
    starts = (empty_lab.state_dir / "keeper.log").read_text().count("started")
    assert starts == 1


async def test_another_protocol_is_refused_by_name(empty_lab: KeeperLab) -> None:
    async def future_keeper(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"kind":"hello","version":"2.0","pid":4711,"live":{"shape":"unknown"}}\n')
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(future_keeper, empty_lab.state_dir / "keeper.sock")
    try:
        with pytest.raises(VersionMismatch, match=r"protocol 2\.0.*end process 4711"):
            await empty_lab.connect()
    finally:
        server.close()
        await server.wait_closed()


async def test_the_loss_of_the_keeper_is_told_and_pending_commands_fail(lab: KeeperLab) -> None:
    os.kill(lab.keeper_pid, signal.SIGSTOP)
    pending = lab.client.start(lab.command("p", "true"))
    os.kill(lab.keeper_pid, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await pending
    await until(lambda: lab.client.connected)
    kinds = [type(event) for event in lab.events if isinstance(event, KeeperHello | KeeperLost)]
    assert kinds == [KeeperHello, KeeperLost, KeeperHello]
    assert lab.exit_of(lab.id("p")) is None
