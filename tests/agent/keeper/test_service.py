"""The keeper as a process: alone in its folder, small, deaf to signals, patient with nonsense, gone when idle."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from opsconsole_agent.keeper import main as keeper_main
from opsconsole_agent.keeper.connection import LINE_BYTES_MAX
from opsconsole_agent.keeper.startup import EXIT_LOCKED, EXIT_USAGE
from opsconsole_agent.keeper_client.keeper_client import KeeperClient
from opsconsole_agent.keeper_client.message import KeeperLost
from opsconsole_protocol.error import Conflict, Unavailable
from tests.agent.keeper_lab import AGENT_ROOT, KeeperLab, alive, proc, resident_kb
from tests.waiting import until

pytestmark = pytest.mark.process


def run_keeper(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", keeper_main.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def standard_files(pid: int) -> list[Path]:
    return [Path(f"/proc/{pid}/fd/{number}").readlink() for number in range(3)]


class Raw:
    """A connection without manners."""

    def __init__(self, lab: KeeperLab) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        folder = os.open(lab.state_dir, os.O_RDONLY)
        self.socket.connect(f"/proc/self/fd/{folder}/keeper.sock")
        os.close(folder)
        self.socket.settimeout(10)
        self._lines = self.socket.makefile("rb")
        self.hello = self.read()

    def read(self) -> dict[str, object]:
        line = json.loads(self._lines.readline())
        assert isinstance(line, dict)
        return line

    def ask(self, line: bytes) -> dict[str, object]:
        self.socket.sendall(line + b"\n")
        return self.read()

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


async def test_a_second_keeper_is_refused(lab: KeeperLab) -> None:
    refused = await asyncio.to_thread(run_keeper, str(lab.state_dir))
    assert refused.returncode == EXIT_LOCKED
    assert await lab.client.pids() == {}


def test_wrong_usage_is_explained() -> None:
    for arguments in [(), ("/tmp", "soon"), ("/tmp", "1", "2")]:
        wrong = run_keeper(*arguments)
        assert wrong.returncode == EXIT_USAGE
        assert "usage" in wrong.stderr
    missing = run_keeper("/no/such/folder")
    assert (missing.returncode, missing.stderr) == (
        EXIT_USAGE,
        "keeper: can't enter /no/such/folder: No such file or directory\n",
    )


async def test_an_idle_keeper_goes_away_and_leaves_nothing(empty_lab: KeeperLab) -> None:
    lab = await empty_lab.connect(idle_s=0.2)
    pid = lab.keeper_pid
    ended = await lab.run("one", "true")
    await lab.disconnect()
    await asyncio.sleep(0.5)
    assert alive(pid), "an exit isn't forgotten yet"
    await lab.connect(idle_s=0.2)
    assert lab.keeper_pid == pid
    lab.client.forget([ended.attempt_id])
    await lab.client.pids()
    await asyncio.sleep(0.5)
    assert alive(pid), "an agent is connected"
    await lab.disconnect()
    await until(lambda: not alive(pid))
    assert not (lab.state_dir / "keeper.sock").exists()


async def test_signals_do_not_end_it_while_it_has_work(lab: KeeperLab) -> None:
    attempt = await lab.start("a", "sleep", "600")
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        os.killpg(lab.keeper_pid, signum)
    assert await lab.client.pids() == {attempt: [lab.started(attempt).pid]}
    await lab.client.kill(attempt)
    await lab.ended(attempt)
    os.kill(lab.keeper_pid, signal.SIGTERM)
    assert attempt not in await lab.client.pids()
    lab.client.forget([attempt])
    await lab.client.pids()
    pid = lab.keeper_pid
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not alive(pid))


async def test_quit_ends_it_unless_something_lives(lab: KeeperLab) -> None:
    attempt = await lab.start("a", "sleep", "600")
    with pytest.raises(Conflict, match="1 attempts are alive"):
        await lab.client.quit()
    await lab.client.kill(attempt)
    ended = await lab.ended(attempt)
    pid = lab.keeper_pid
    await lab.client.quit()
    await until(lambda: not alive(pid))
    assert not lab.client.connected
    await lab.connect()
    assert lab.hello is not None
    assert lab.hello.exits == [ended]


async def test_it_is_detached_small_and_made_of_the_standard_library(lab: KeeperLab) -> None:
    pid = lab.keeper_pid
    assert os.getsid(pid) == pid
    log = lab.state_dir / "keeper.log"
    assert standard_files(pid) == [Path("/dev/null"), log, log]
    assert resident_kb(pid) < 16_000
    assert "site-packages" not in proc(pid, "maps")


def test_its_modules_are_light() -> None:
    script = (
        f"import sys; sys.path.append({str(AGENT_ROOT)!r}); import opsconsole_agent.keeper.startup; "
        "print(*sys.modules, sep='\\n')"
    )
    out = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True).stdout
    loaded = set(out.split())
    heavy = {"asyncio", "typing", "pathlib", "dataclasses", "subprocess", "logging", "msgspec", "traceback", "inspect"}
    assert loaded & heavy == set()
    ours = {name for name in loaded if name.startswith("opsconsole")}
    assert all(name == "opsconsole_agent" or name.startswith("opsconsole_agent.keeper") for name in ours)
    assert "resource" in loaded, "os.wait4 would import it later, from a Python that may be gone by then"


async def test_nothing_but_its_owner_can_reach_it(lab: KeeperLab) -> None:
    for name in ("keeper.sock", "keeper.lock", "keeper.log", "exit.log"):
        assert stat.S_IMODE((lab.state_dir / name).stat().st_mode) == 0o600


async def test_secrets_are_in_no_log_and_no_command_line(lab: KeeperLab) -> None:
    secret = "correct-horse-battery"
    await lab.client.start(lab.command("s", "sleep", "600", env={"PATH": "/bin:/usr/bin", "TOKEN": secret}))
    await lab.client.start(lab.command("e", "no-such-program", env={"PATH": "/bin", "TOKEN": secret}))
    await lab.ended(lab.id("e"))
    for file in lab.state_dir.iterdir():
        if file.is_file():
            assert secret not in file.read_text()
    for pid in (lab.keeper_pid, lab.started(lab.id("s")).pid):
        assert secret not in proc(pid, "cmdline")
    assert secret not in proc(lab.keeper_pid, "environ")
    await lab.client.kill(lab.id("s"))
    await lab.ended(lab.id("s"))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "malformed"),
        (b"hello", "malformed"),
        (b"\xff\xfe\x00", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (b'{"kind": 7}', "malformed"),
        (b'{"kind": "dance"}', "unknown_command"),
        (b'{"kind": "pids", "n": "one"}', "malformed"),
        (b'{"kind": "start", "attempt_id": "../../etc"}', "malformed"),
        (b'{"kind": "start", "attempt_id": "a", "argv": "ls", "env": {}}', "malformed"),
        (b'{"kind": "start", "attempt_id": "a", "argv": ["ls"], "env": {"A": 1}}', "malformed"),
        (b'{"kind": "start_as", "attempt_id": "a", "argv": ["ls"], "env": {}}', "malformed"),
        (b'{"kind": "start_as", "user": {"uid": -1, "gid": 1, "groups": []}}', "malformed"),
        (b'{"kind": "start_as", "user": {"uid": 1, "gid": 1, "groups": ["root"]}}', "malformed"),
        (b'{"kind": "signal", "attempt_id": "a", "action": "hug"}', "malformed"),
        (b'{"kind": "signal", "attempt_id": "a", "action": "kill"}', "unknown_attempt"),
        (b'{"kind": "signal", "attempt_id": "a", "action": "term", "grace_ms": -1}', "malformed"),
        (b'{"kind": "forget", "attempt_ids": "all"}', "malformed"),
        (b'{"kind": "adopt", "attempt_id": "a", "pid": true}', "malformed"),
        (b"x" * (LINE_BYTES_MAX + 100), "too_long"),
    ],
    ids=lambda value: repr(value)[:50],
)
async def test_nonsense_is_answered_with_an_error(lab: KeeperLab, line: bytes, code: str) -> None:
    attempt = await lab.start("a", "sleep", "600")
    await lab.disconnect()
    raw = Raw(lab)
    answer = await asyncio.to_thread(raw.ask, line)
    assert (answer["kind"], answer["code"]) == ("error", code)
    assert isinstance(answer["text"], str)
    assert "\n" not in answer["text"]
    # It goes on as if nothing had been.
    assert raw.ask(b'{"kind": "pids", "n": 3}')["re"] == 3
    raw.close()
    await lab.connect()
    await lab.client.kill(attempt)
    await lab.ended(attempt)


async def test_a_large_environment_fits(lab: KeeperLab) -> None:
    env = {f"V{number}": "x" * 100_000 for number in range(15)}
    await lab.client.start(lab.command("big", "/usr/bin/env", env=env))
    assert (await lab.ended(lab.id("big"))).exit_code == 0
    assert len(lab.output("big")) > 1_500_000


async def test_a_new_agent_replaces_the_old_one(lab: KeeperLab) -> None:
    attempt = await lab.start("a", "sleep", "600")
    old_events = lab.events
    second = await KeeperClient.connect(lab.state_dir)
    await until(lambda: isinstance(old_events[-1], KeeperLost))
    lost = old_events[-1]
    assert isinstance(lost, KeeperLost)
    assert lost.final
    assert "another agent" in lost.reason
    assert await second.pids() == {attempt: [lab.started(attempt).pid]}
    with pytest.raises(Unavailable):
        await lab.client.pids()
    await second.kill(attempt)
    await second.close()


async def test_an_agent_that_does_not_read_stops_nothing(lab: KeeperLab) -> None:
    await lab.disconnect()
    raw = Raw(lab)
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.socket.setblocking(False)
    flood = b'{"kind": "dance"}\n' * 5_000
    refused = 0
    while refused < 20:  # until the keeper has stopped reading for good
        try:
            raw.socket.send(flood)
            refused = 0
        except BlockingIOError:
            refused += 1
            await asyncio.sleep(0.01)
    assert resident_kb(lab.keeper_pid) < 64_000
    raw.close()
    await lab.connect()
    assert (await lab.run("still", "true")).exit_code == 0
