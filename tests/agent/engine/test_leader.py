"""The first process of an attempt is found among all that live of it."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from opsconsole_agent.engine.leader import leader_of, minds

SHELL = "sleep 60 & setsid sleep 60 & echo up; wait"


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """A shell that leads a session, and what it started: one in its own session and one in another; the shell's first."""
    with subprocess.Popen(["/bin/sh", "-c", SHELL], start_new_session=True, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        children = psutil.Process(shell.pid).children(recursive=True)
        try:
            yield [shell.pid, *(one.pid for one in children)]
        finally:
            for one in children:
                one.kill()
            shell.kill()


def test_it_is_found_though_all_are_as_old_as_each_other_and_in_whatever_order(
    pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(pids) == 3
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 1.0)
    for order in itertools.permutations(pids):
        found = leader_of(order)
        assert found is not None
        assert found.pid == pids[0]


def test_there_is_none_where_it_has_ended(pids: list[int]) -> None:
    """What it has left in its session doesn't take its place."""
    assert leader_of([pid for pid in pids[1:] if os.getsid(pid) == pids[0]]) is None
    assert leader_of([]) is None


@pytest.mark.parametrize(
    ("said", "is_minded"),
    [
        ("", False),
        ("signal.signal(signal.SIGUSR1, print)", True),
        ("signal.signal(signal.SIGUSR1, signal.SIG_IGN)", True),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])", True),
        ("signal.signal(signal.SIGUSR2, print)", False),
    ],
)
def test_a_process_minds_a_signal_once_it_has_said_what_comes_of_it(said: str, is_minded: bool) -> None:
    script = f"import signal, time\n{said}\nprint('up', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert minds(process.pid, signal.SIGUSR1) is is_minded
        process.kill()


def test_one_that_is_gone_counts_as_if_it_minded() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert minds(process.pid, signal.SIGUSR1)
