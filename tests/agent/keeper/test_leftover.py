"""An attempt ends when nothing of it lives, and takes nothing of another with it."""

import asyncio
import signal
import time

import pytest

from opsconsole_agent.keeper.process import find_process
from opsconsole_protocol.ids import AttemptId
from tests.agent.keeper_lab import KeeperLab, alive, proc
from tests.waiting import until

pytestmark = pytest.mark.process


def pid_in(lab: KeeperLab, name: str) -> int:
    """What a script has written into a file."""
    return int((lab.folder / name).read_text() or 0)


async def until_written(lab: KeeperLab, name: str) -> int:
    await until(lambda: (lab.folder / name).exists() and (lab.folder / name).read_text().endswith("\n"))
    return pid_in(lab, name)


async def test_a_background_process_is_asked_to_end_before_the_exit_is_told(lab: KeeperLab) -> None:
    attempt = await lab.shell(
        "left", "(trap 'echo asked; exit' TERM; while :; do sleep 0.02; done) & sleep 0.2; exit 5"
    )
    ended = await lab.ended(attempt)
    assert ended.exit_code == 5
    assert ended.leftovers >= 1
    assert ended.proof
    assert lab.output("left") == "asked\n"
    assert lab.marked() == []


async def test_one_that_does_not_listen_is_killed(lab: KeeperLab) -> None:
    attempt = await lab.shell(
        "deaf", "(trap '' TERM; echo $(sh -c 'echo $PPID') > pid; while :; do sleep 0.05; done) & sleep 0.3"
    )
    pid = await until_written(lab, "pid")
    begin = time.monotonic()
    await lab.ended(attempt)
    assert time.monotonic() - begin > 1
    assert not alive(pid)
    assert lab.marked() == []


async def test_a_daemon_of_a_finished_attempt_does_not_stay(lab: KeeperLab) -> None:
    attempt = await lab.shell("daemon", "(setsid sleep 600 &) ; exit 0")
    ended = await lab.ended(attempt)
    assert (ended.exit_code, ended.leftovers) == (0, 1)
    assert lab.marked() == []


async def test_leftovers_have_the_grace_time_of_a_cancel(lab: KeeperLab) -> None:
    script = "(trap 'sleep 2.6; echo saved; exit' TERM; echo ready; while :; do sleep 0.02; done) & wait"
    attempt = await lab.shell("saver", script)
    await until(lambda: lab.output("saver") == "ready\n")
    begin = time.monotonic()
    await lab.client.term(attempt, grace_ms=8_000)
    ended = await lab.ended(attempt)
    assert 2.5 < time.monotonic() - begin < 8
    assert ended.signal == signal.SIGTERM
    assert lab.output("saver") == "ready\nsaved\n"


async def test_leftovers_of_a_killed_attempt_go_at_once(lab: KeeperLab) -> None:
    attempt = await lab.shell(
        "k", "(trap '' TERM; sleep 600) & (setsid sh -c 'trap \"\" TERM; echo up; sleep 600' &) ; wait"
    )
    await until(lambda: lab.output("k") == "up\n")
    begin = time.monotonic()
    await lab.client.kill(attempt)
    await lab.ended(attempt)
    assert time.monotonic() - begin < 1.5
    assert lab.marked() == []


async def test_a_living_attempts_daemon_outlives_other_attempts(lab: KeeperLab) -> None:
    tree = await lab.tree()
    for number in range(20):
        assert (await lab.run(f"short{number}", "true")).leftovers == 0
    assert all(alive(pid) for pid in lab.tree_pids())
    await lab.client.kill(tree)
    assert (await lab.ended(tree)).proof


async def test_a_daemon_without_mark_goes_with_its_attempt(lab: KeeperLab) -> None:
    attempt = await lab.shell(
        "scrub", "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > pid; exec sleep 600' &) ; sleep 0.3; exit 0"
    )
    pid = await until_written(lab, "pid")
    ended = await lab.ended(attempt)
    assert ended.leftovers == 1
    assert not alive(pid)


SCRUB = (
    "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > pid; exec sleep 600' &) ; while [ ! -s pid ]; do sleep 0.01; done"
)


async def test_a_scrubbed_daemon_is_ended_while_others_live(lab: KeeperLab) -> None:
    """Forked twice, out of the session, without the mark: its task had `succeeded` while it lived on (hard use 50)."""
    long = await lab.shell("long", "echo up; exec sleep 600")
    await until(lambda: lab.output("long") == "up\n")
    ended = await lab.ended(await lab.shell("scrub", f"{SCRUB}; exit 0"))
    assert (ended.exit_code, ended.leftovers, ended.proof) == (0, 1, True)
    pid = pid_in(lab, "pid")
    assert ended.outlived == [f"{pid} sleep"]
    assert not alive(pid)
    assert lab.exit_of(long) is None


async def test_pause_stops_a_scrubbed_daemon_too(lab: KeeperLab) -> None:
    await lab.shell("long", "echo up; exec sleep 600")
    scrub = await lab.shell("scrub", f"{SCRUB}; exec sleep 600")
    pid = await until_written(lab, "pid")
    assert await lab.client.freeze(scrub) == 2
    found = find_process(pid)
    assert found is not None
    assert found.stopped or "opsconsole-" in proc(pid, "cgroup")
    await lab.client.kill(scrub)
    await lab.ended(scrub)
    assert not alive(pid)


async def test_the_next_keeper_knows_a_scrubbed_daemon(lab: KeeperLab) -> None:
    await lab.shell("long", "echo up; exec sleep 600")
    scrub = await lab.shell("scrub", f"{SCRUB}; exec sleep 600")
    pid = await until_written(lab, "pid")
    await lab.kill_keeper_and_wait()
    await until_pids(lab, scrub, pid)
    await lab.client.kill(scrub)
    await lab.ended(scrub)
    assert not alive(pid)


async def until_pids(lab: KeeperLab, attempt_id: AttemptId, pid: int) -> None:
    assert pid in (await lab.client.pids())[attempt_id]


async def test_a_daemon_that_may_be_anothers_is_left_until_the_last_of_them_ends(lab: KeeperLab) -> None:
    """One that took a new limit on purpose, too: there is nothing left to know it by."""
    long = await lab.shell("long", "echo up; sleep 600")
    await until(lambda: lab.output("long") == "up\n")
    scrub = await lab.shell(
        "scrub",
        "ulimit -S -q $(ulimit -H -q); "
        "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > pid; exec sleep 600' &) ; sleep 0.3; exit 0",
        program="/bin/bash",
    )
    pid = await until_written(lab, "pid")
    ended = await lab.ended(scrub)
    assert (ended.exit_code, ended.proof) == (0, False)
    assert alive(pid)
    await lab.client.kill(long)
    last = await lab.ended(long)
    assert last.proof
    assert not alive(pid)


async def test_a_daemon_seen_before_it_lost_its_mark_is_known(lab: KeeperLab) -> None:
    long = await lab.shell("long", "echo up; sleep 600")
    script = "env -i /bin/sh -c 'echo $$ > pid; (sleep 600 & echo $! > late); while [ ! -e go ]; do sleep 0.01; done'; exit 0"
    attempt = await lab.shell("seen", script)
    late = await until_written(lab, "late")
    await lab.client.pids()  # as the agent does for its measurements
    (lab.folder / "go").touch()
    ended = await lab.ended(attempt)
    assert (ended.leftovers, ended.proof) == (1, True)
    assert not alive(late)
    await lab.client.kill(long)
    await lab.ended(long)


async def test_two_that_end_together_leave_nothing(lab: KeeperLab) -> None:
    script = "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > NAME; exec sleep 600' &) ; while [ ! -e go ]; do sleep 0.01; done"
    one = await lab.shell("one", script.replace("NAME", "pid1"))
    two = await lab.shell("two", script.replace("NAME", "pid2"))
    pids = [await until_written(lab, "pid1"), await until_written(lab, "pid2")]
    (lab.folder / "go").touch()
    await lab.ended(one)
    await lab.ended(two)
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_killing_again_while_it_ends_is_harmless(lab: KeeperLab) -> None:
    attempt = await lab.shell("stubborn", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    await until(lambda: lab.output("stubborn") == "up\n")
    await lab.client.term(attempt)
    results = await asyncio.gather(*(lab.client.kill(attempt) for _ in range(5)), return_exceptions=True)
    assert isinstance(results[0], int)
    assert (await lab.ended(attempt)).signal == signal.SIGKILL
