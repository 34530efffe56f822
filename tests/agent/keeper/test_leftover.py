"""An attempt ends when nothing of it lives, and takes nothing of another with it."""

import asyncio
import signal
import time

import pytest

from opsconsole_agent.keeper.process import look
from opsconsole_protocol.ids import AttemptId
from tests.agent.keeper.house import House, alive, proc
from tests.waiting import until

pytestmark = pytest.mark.process


def pid_in(home: House, name: str) -> int:
    """What a script has written into a file."""
    return int((home.folder / name).read_text() or 0)


async def until_written(home: House, name: str) -> int:
    await until(lambda: (home.folder / name).exists() and (home.folder / name).read_text().endswith("\n"))
    return pid_in(home, name)


async def test_a_background_process_is_asked_to_end_before_the_exit_is_told(home: House) -> None:
    attempt = await home.shell(
        "left", "(trap 'echo asked; exit' TERM; while :; do sleep 0.02; done) & sleep 0.2; exit 5"
    )
    ended = await home.ended(attempt)
    assert ended.exit_code == 5
    assert ended.leftovers >= 1
    assert ended.proof
    assert home.output("left") == "asked\n"
    assert home.marked() == []


async def test_one_that_does_not_listen_is_killed(home: House) -> None:
    attempt = await home.shell(
        "deaf", "(trap '' TERM; echo $(sh -c 'echo $PPID') > pid; while :; do sleep 0.05; done) & sleep 0.3"
    )
    pid = await until_written(home, "pid")
    begin = time.monotonic()
    await home.ended(attempt)
    assert time.monotonic() - begin > 1
    assert not alive(pid)
    assert home.marked() == []


async def test_a_daemon_of_a_finished_attempt_does_not_stay(home: House) -> None:
    attempt = await home.shell("daemon", "(setsid sleep 600 &) ; exit 0")
    ended = await home.ended(attempt)
    assert (ended.exit_code, ended.leftovers) == (0, 1)
    assert home.marked() == []


async def test_leftovers_have_the_grace_time_of_a_cancel(home: House) -> None:
    script = "(trap 'sleep 2.6; echo saved; exit' TERM; echo ready; while :; do sleep 0.02; done) & wait"
    attempt = await home.shell("saver", script)
    await until(lambda: home.output("saver") == "ready\n")
    begin = time.monotonic()
    await home.link.term(attempt, grace_ms=8_000)
    ended = await home.ended(attempt)
    assert 2.5 < time.monotonic() - begin < 8
    assert ended.signal == signal.SIGTERM
    assert home.output("saver") == "ready\nsaved\n"


async def test_leftovers_of_a_killed_attempt_go_at_once(home: House) -> None:
    attempt = await home.shell(
        "k", "(trap '' TERM; sleep 600) & (setsid sh -c 'trap \"\" TERM; echo up; sleep 600' &) ; wait"
    )
    await until(lambda: home.output("k") == "up\n")
    begin = time.monotonic()
    await home.link.kill(attempt)
    await home.ended(attempt)
    assert time.monotonic() - begin < 1.5
    assert home.marked() == []


async def test_a_living_attempts_daemon_outlives_other_attempts(home: House) -> None:
    tree = await home.tree()
    for number in range(20):
        assert (await home.run(f"short{number}", "true")).leftovers == 0
    assert all(alive(pid) for pid in home.tree_pids())
    await home.link.kill(tree)
    assert (await home.ended(tree)).proof


async def test_a_daemon_without_mark_goes_with_its_attempt(home: House) -> None:
    attempt = await home.shell(
        "scrub", "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > pid; exec sleep 600' &) ; sleep 0.3; exit 0"
    )
    pid = await until_written(home, "pid")
    ended = await home.ended(attempt)
    assert ended.leftovers == 1
    assert not alive(pid)


SCRUB = (
    "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > pid; exec sleep 600' &) ; while [ ! -s pid ]; do sleep 0.01; done"
)


async def test_a_scrubbed_daemon_is_ended_while_others_live(home: House) -> None:
    """Forked twice, out of the session, without the mark: its task had `succeeded` while it lived on (hard use 50)."""
    long = await home.shell("long", "echo up; exec sleep 600")
    await until(lambda: home.output("long") == "up\n")
    ended = await home.ended(await home.shell("scrub", f"{SCRUB}; exit 0"))
    assert (ended.exit_code, ended.leftovers, ended.proof) == (0, 1, True)
    pid = pid_in(home, "pid")
    assert ended.outlived == [f"{pid} sleep"]
    assert not alive(pid)
    assert home.exit_of(long) is None


async def test_pause_stops_a_scrubbed_daemon_too(home: House) -> None:
    await home.shell("long", "echo up; exec sleep 600")
    scrub = await home.shell("scrub", f"{SCRUB}; exec sleep 600")
    pid = await until_written(home, "pid")
    assert await home.link.freeze(scrub) == 2
    found = look(pid)
    assert found is not None
    assert found.stopped or "opsconsole-" in proc(pid, "cgroup")
    await home.link.kill(scrub)
    await home.ended(scrub)
    assert not alive(pid)


async def test_the_next_keeper_knows_a_scrubbed_daemon(home: House) -> None:
    await home.shell("long", "echo up; exec sleep 600")
    scrub = await home.shell("scrub", f"{SCRUB}; exec sleep 600")
    pid = await until_written(home, "pid")
    await home.kill_keeper_and_wait()
    await until_pids(home, scrub, pid)
    await home.link.kill(scrub)
    await home.ended(scrub)
    assert not alive(pid)


async def until_pids(home: House, attempt_id: AttemptId, pid: int) -> None:
    assert pid in (await home.link.pids())[attempt_id]


async def test_a_daemon_that_may_be_anothers_is_left_until_the_last_of_them_ends(home: House) -> None:
    """One that took a new limit on purpose, too: there is nothing left to know it by."""
    long = await home.shell("long", "echo up; sleep 600")
    await until(lambda: home.output("long") == "up\n")
    scrub = await home.shell(
        "scrub",
        "ulimit -S -q $(ulimit -H -q); "
        "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > pid; exec sleep 600' &) ; sleep 0.3; exit 0",
        program="/bin/bash",
    )
    pid = await until_written(home, "pid")
    ended = await home.ended(scrub)
    assert (ended.exit_code, ended.proof) == (0, False)
    assert alive(pid)
    await home.link.kill(long)
    last = await home.ended(long)
    assert last.proof
    assert not alive(pid)


async def test_a_daemon_seen_before_it_lost_its_mark_is_known(home: House) -> None:
    long = await home.shell("long", "echo up; sleep 600")
    script = "env -i /bin/sh -c 'echo $$ > pid; (sleep 600 & echo $! > late); while [ ! -e go ]; do sleep 0.01; done'; exit 0"
    attempt = await home.shell("seen", script)
    late = await until_written(home, "late")
    await home.link.pids()  # as the agent does for its measurements
    (home.folder / "go").touch()
    ended = await home.ended(attempt)
    assert (ended.leftovers, ended.proof) == (1, True)
    assert not alive(late)
    await home.link.kill(long)
    await home.ended(long)


async def test_two_that_end_together_leave_nothing(home: House) -> None:
    script = "(env -i /usr/bin/setsid /bin/sh -c 'echo $$ > NAME; exec sleep 600' &) ; while [ ! -e go ]; do sleep 0.01; done"
    one = await home.shell("one", script.replace("NAME", "pid1"))
    two = await home.shell("two", script.replace("NAME", "pid2"))
    pids = [await until_written(home, "pid1"), await until_written(home, "pid2")]
    (home.folder / "go").touch()
    await home.ended(one)
    await home.ended(two)
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_killing_again_while_it_ends_is_harmless(home: House) -> None:
    attempt = await home.shell("stubborn", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    await until(lambda: home.output("stubborn") == "up\n")
    await home.link.term(attempt)
    results = await asyncio.gather(*(home.link.kill(attempt) for _ in range(5)), return_exceptions=True)
    assert isinstance(results[0], int)
    assert (await home.ended(attempt)).signal == signal.SIGKILL
