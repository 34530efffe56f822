"""A process that ends while a test looks at it has ended, and the test goes on."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.seen_process import ENDED, SeenProcess, everyone, find, is_alive
from tests.waiting import until_sync


def test_what_lives_is_told_as_it_is() -> None:
    with subprocess.Popen(("sleep", "300"), env={"MARK": "here"}) as child:
        seen = find(child.pid)
        assert seen is not None
        until_sync(lambda: seen.command == ["sleep", "300"], 10, "the program to be there")
        assert (seen.environ["MARK"], seen.user_id, seen.threads) == ("here", os.geteuid(), 1)
        assert child.pid in [one.pid for one in everyone()]
        seen.signal(signal.SIGSTOP)
        until_sync(lambda: seen.is_stopped, 10, "it to be stopped")
        assert not seen.ends(0.01)
        seen.kill()
        assert child.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("is_reaped", [False, True])
def test_what_has_ended_since_is_told_as_ended(is_reaped: bool) -> None:
    with subprocess.Popen(("sleep", "300")) as child:
        seen = find(child.pid)
        assert seen is not None
        child.kill()
        until_sync(lambda: not seen.is_alive, 10, "its end")
        if is_reaped:
            child.wait(10)
        assert (seen.status, seen.is_stopped, seen.command, seen.environ) == (ENDED, False, [], {})
        assert not is_alive(child.pid)
        assert child.pid not in [one.pid for one in everyone()]
        assert "ended" in repr(seen)
        seen.signal(signal.SIGTERM)
        assert seen.ends(1)
        if is_reaped:
            assert (find(child.pid), seen.user_id, seen.threads) == (None, None, 0)


@pytest.mark.parametrize("name", ["cmdline", "environ", "status", "uids", "num_threads", "cpu_times", "send_signal"])
def test_an_end_between_two_looks_is_no_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = SeenProcess(psutil.Process())

    def ended(self: psutil.Process, *_: object) -> None:
        raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setattr(psutil.Process, name, ended)
    seen.signal(0)
    assert isinstance((seen.status, seen.command, seen.environ, seen.user_id, seen.threads, seen.user_s), tuple)


def test_tests_look_at_processes_through_this_alone() -> None:
    tests = Path(__file__).parent
    own = {"seen_process.py", "test_seen_process.py"}
    looking = [
        path for name in ("process", "terminal", "chaos", "client", "console") for path in (tests / name).rglob("*.py")
    ]
    assert [path for path in looking if "import psutil\n" in path.read_text()] == []
    assert own <= {path.name for path in tests.iterdir()}
