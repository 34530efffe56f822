"""Telling processes apart, and signalling none but the one that is meant."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from opsconsole_agent.keeper import process
from opsconsole_agent.keeper.process import (
    Children,
    Process,
    find_process,
    list_processes,
    now_ticks,
    read_mark,
    send_signal,
)
from tests.waiting import until_sync

pytestmark = pytest.mark.process


@pytest.fixture(name="sleeper")
def _sleeper() -> Iterator[subprocess.Popen[bytes]]:
    env = {"PATH": os.environ["PATH"], "FIRST": "1", process.MARK: "marked"}
    with subprocess.Popen(["sleep", "600"], env=env, start_new_session=True) as child:
        until_sync(lambda: read_mark(child.pid) == "marked")
        yield child
        child.kill()


def looked(pid: int) -> Process:
    found = find_process(pid)
    assert found is not None
    return found


def test_a_process_is_seen_as_it_is(sleeper: subprocess.Popen[bytes]) -> None:
    seen = looked(sleeper.pid)
    assert (seen.parent, seen.group, seen.session) == (os.getpid(), sleeper.pid, sleeper.pid)
    assert seen.alive
    assert 0 <= now_ticks() - seen.start_time < 6000
    assert list_processes()[sleeper.pid].identity == seen.identity


def test_a_name_with_brackets_does_not_confuse() -> None:
    script = "import ctypes, time; ctypes.CDLL(None).prctl(15, b') R 1 1 (', 0, 0, 0); print('up', flush=True); time.sleep(600)"
    with subprocess.Popen(["python3", "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert looked(child.pid).parent == os.getpid()
        child.kill()


def test_a_zombie_does_not_live(sleeper: subprocess.Popen[bytes]) -> None:
    os.kill(sleeper.pid, signal.SIGKILL)
    until_sync(lambda: looked(sleeper.pid).state == "Z")
    assert not looked(sleeper.pid).alive
    assert looked(sleeper.pid).stopped
    assert read_mark(sleeper.pid) is None


def test_one_whose_first_thread_has_ended_does_live() -> None:
    script = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); ctypes.CDLL(None).pthread_exit(0)"
    with subprocess.Popen(["python3", "-c", script]) as child:
        until_sync(lambda: looked(child.pid).state == "Z")
        assert looked(child.pid).alive
        child.kill()


def test_there_is_no_process_with_an_impossible_pid() -> None:
    assert find_process(2**22 + 1) is None
    assert read_mark(2**22 + 1) is None


def test_marks_are_read(sleeper: subprocess.Popen[bytes]) -> None:
    assert read_mark(sleeper.pid) == "marked"
    assert read_mark(os.getpid()) == ""


def test_a_signal_reaches_only_who_started_when_it_should(sleeper: subprocess.Popen[bytes]) -> None:
    meant = looked(sleeper.pid)
    other = looked(sleeper.pid)
    other.start_time -= 1
    assert send_signal(other, signal.SIGKILL)
    time.sleep(0.05)
    assert looked(sleeper.pid).alive
    assert send_signal(meant, signal.SIGKILL)
    assert sleeper.wait() == -signal.SIGKILL
    assert send_signal(meant, signal.SIGKILL), "it is gone, as was wished"


def test_the_same_without_pidfd(sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", missing)
    test_a_signal_reaches_only_who_started_when_it_should(sleeper)


def test_our_own_group_is_never_signalled() -> None:
    for group in (os.getpgrp(), 0, 1):
        process.send_signal_to_group(group, signal.SIGKILL)


def test_children_are_complete_by_both_ways(sleeper: subprocess.Popen[bytes]) -> None:
    fast = Children()
    slow = Children()
    slow._file = -1
    assert sleeper.pid in fast.pids()
    assert sorted(fast.pids()) == sorted(slow.pids())
