"""Whose coordinator, which data folder; the console's own worker as a child that is kept alive and never left behind."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole.endpoint import is_running
from opsconsole_console.boot import composition
from opsconsole_console.boot.composition import (
    AgentProcess,
    Embedded,
    attached,
    coordinator_config,
    resolve_data_dir,
)
from opsconsole_console.boot.config import parse_config
from opsconsole_coordinator.runtime import CoordinatorConfig
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.host.data_folder import LOCK_FILE
from tests.client.fake_server import FakeServer
from tests.waiting import until_sync

NO_CONFIG = parse_config("")
STUB = """
import os, sys, signal
log = open(sys.argv[-1], "a")
log.write(f"{os.getpid()}\\n")
log.close()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while sys.stdin.buffer.read(1):
    pass
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("OPSCONSOLE_DATA_DIR", raising=False)


def test_the_data_folder_is_the_flags_then_the_environments_then_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_config("[coordinator]\ndata_dir = '/from/file'")
    assert resolve_data_dir(None, None, NO_CONFIG) == tmp_path / "XDG_DATA_HOME" / "opsconsole"
    assert resolve_data_dir(None, None, config) == Path("/from/file")
    monkeypatch.setenv("OPSCONSOLE_DATA_DIR", "/from/environment")
    assert resolve_data_dir(None, None, config) == Path("/from/environment")
    assert resolve_data_dir(Path("/from/flag"), None, config) == Path("/from/flag")


def test_flags_beat_the_file_and_that_beats_defaults(tmp_path: Path) -> None:
    config = parse_config("[coordinator]\nlisten = '0.0.0.0:1'\nname = 'lab'")
    made = coordinator_config(tmp_path, config, listen="127.0.0.1:2", tls=None, advertise=None, name=None)
    assert (made.listen, made.name, made.tls, made.advertise) == ("127.0.0.1:2", "lab", "auto", None)


def test_the_lock_is_the_truth(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    descriptor = os.open(tmp_path / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    assert not is_running(tmp_path)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert is_running(tmp_path)
    os.close(descriptor)
    assert not is_running(tmp_path)


def test_attaching_to_what_doesnt_say_where_it_is_yet(tmp_path: Path) -> None:
    find = attached(tmp_path)
    with pytest.raises(Unavailable, match="starting or stopping"):
        find()
    with FakeServer() as server:
        server.write_data_dir(tmp_path)
        assert find().url == server.url


def test_what_was_started_is_ended_and_a_start_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def config(listen: str) -> CoordinatorConfig:
        return coordinator_config(tmp_path / "data", NO_CONFIG, listen=listen, tls=None, advertise=None, name=None)

    embedded = Embedded(tmp_path / "data", lambda: config("127.0.0.1:0"), agent_arguments=None)
    embedded.start()
    address = attached(tmp_path / "data")().url
    assert is_running(tmp_path / "data")
    embedded.close()
    assert not is_running(tmp_path / "data")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not address.endswith(f":{port}")
        failing = Embedded(tmp_path / "data", lambda: config(f"127.0.0.1:{port}"), agent_arguments=())
        with pytest.raises(OpsconsoleError, match=f"{port}.*--listen"):
            failing.start()
        failing.close()
    assert not is_running(tmp_path / "data")


# --- the agent process -----------------------------------------------------------------------------------------


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentProcess]:
    monkeypatch.setattr(composition, "_RESTART_FIRST_S", 0.02)
    agent = AgentProcess([], tmp_path / "agent" / "agent.log")
    agent._command = [sys.executable, "-c", STUB, str(tmp_path / "pids")]
    agent.start()
    until_sync(lambda: _pids(tmp_path))
    yield agent
    agent.stop()


def _pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_agent_that_ends_is_started_again(agent: AgentProcess, tmp_path: Path) -> None:
    os.kill(_pids(tmp_path)[0], signal.SIGKILL)
    until_sync(lambda: len(_pids(tmp_path)) == 2)
    assert agent.pid == _pids(tmp_path)[1]


def test_a_stopped_agent_stays_stopped(agent: AgentProcess, tmp_path: Path) -> None:
    agent.stop()
    assert agent.pid is None
    assert len(_pids(tmp_path)) == 1


def test_its_log_doesnt_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "LOG_BYTES_MAX", 10)
    (tmp_path / "agent.log").write_text("x" * 11)
    agent = AgentProcess([], tmp_path / "agent.log")
    agent._command = [sys.executable, "-c", STUB, str(tmp_path / "pids")]
    agent.start()
    until_sync(lambda: _pids(tmp_path))
    agent.stop()
    assert (tmp_path / "agent.log.1").read_text() == "x" * 11
    assert (tmp_path / "agent.log").read_text() == ""


@pytest.mark.process
def test_a_killed_console_leaves_no_agent_behind(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from opsconsole_console.boot.composition import AgentProcess
agent = AgentProcess([], Path({str(tmp_path)!r}) / "agent.log")
agent._command = [{sys.executable!r}, "-c", {STUB!r}, {str(tmp_path / "pids")!r}]
agent.start()
time.sleep(60)
"""
    console = subprocess.Popen([sys.executable, "-c", code])
    try:
        until_sync(lambda: _pids(tmp_path))
    finally:
        console.kill()
        console.wait()
    (pid,) = _pids(tmp_path)
    until_sync(lambda: not _is_alive(pid), what="the agent's end")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
