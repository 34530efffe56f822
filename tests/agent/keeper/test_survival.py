"""Agents and keepers die; attempts and what is known of them don't."""

import os
import signal

import pytest

from opsconsole_agent.keeper import main as keeper_main
from opsconsole_agent.keeper.attempt import HOST_RESTARTED, KEEPER_DIED
from opsconsole_agent.keeper.process import boot_id, look
from opsconsole_agent.keeper_client.message import AttemptThawed, KeeperHello, KeeperLost
from opsconsole_protocol.error import Unavailable
from tests.agent.keeper.house import NOBODY, House, alive, proc
from tests.waiting import until

pytestmark = pytest.mark.process


async def test_tasks_outlive_an_agent_that_is_killed(empty_house: House) -> None:
    home = empty_house
    long, short, later = home.id("long"), home.id("short"), home.id("later")
    scripts = {
        long: "echo up; sleep 600",
        short: "exit 4",
        later: "while [ ! -e go ]; do sleep 0.01; done; echo done; exit 5",
    }
    agent = home.start_agent(scripts)
    os.killpg(agent.pid, signal.SIGKILL)
    agent.wait()
    (home.folder / "go").touch()
    await until(lambda: "done" in (home.folder / f"{later}.out").read_text())

    await home.connect()
    assert home.hello is not None
    assert long in [one.attempt_id for one in home.hello.live]
    assert all(one.exit_known for one in home.hello.live)
    assert (await home.ended(short)).exit_code == 4
    assert (await home.ended(later)).exit_code == 5
    await home.link.kill(long)
    assert (await home.ended(long)).signal == signal.SIGKILL


KILLED_ONCE = """
import os, sys
marker, real = {marker!r}, {real!r}
if not os.path.exists(marker):
    open(marker, "w").close()
    os.kill(os.getpid(), 9)
os.execv(sys.executable, [sys.executable, "-I", "-S", real, *sys.argv[1:]])
"""
"""A keeper that is killed before it says anything; the next one lives."""


async def test_a_keeper_that_is_killed_while_it_starts_is_started_again(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = empty_house
    marker = home.folder / "killed"
    script = home.folder / "main.py"
    script.write_text(KILLED_ONCE.format(marker=str(marker), real=keeper_main.__file__))
    monkeypatch.setattr(keeper_main, "__file__", str(script))
    await home.connect()
    assert marker.exists()
    assert (await home.run("first", "/bin/sh", "-c", "exit 3")).exit_code == 3


async def test_exits_are_told_until_they_are_forgotten(home: House) -> None:
    first = await home.run("first", "true")
    second = await home.run("second", "false")
    home.link.forget([first.attempt_id, home.id("never")])
    await home.link.pids()  # answered in order: the exit has been forgotten
    await home.disconnect()
    await home.connect()
    assert home.hello is not None
    assert home.hello.exits == [second]


async def test_unforgotten_exits_survive_the_keeper(home: House) -> None:
    ended = await home.run("seven", "/bin/sh", "-c", "exit 7")
    gone = await home.run("gone", "true")
    home.link.forget([gone.attempt_id])
    await home.link.pids()
    hello = await home.kill_keeper_and_wait()
    assert hello.exits == [ended]
    assert hello.live == []


async def test_a_new_keeper_adopts_what_lives(home: House) -> None:
    tree = await home.tree()
    pids = home.tree_pids()
    hello = await home.kill_keeper_and_wait()
    assert [(one.attempt_id, one.pid, one.exit_known) for one in hello.live] == [(tree, pids[0], False)]
    assert all(alive(pid) for pid in pids)
    assert set(pids) <= set((await home.link.pids())[tree])
    await home.link.kill(tree)
    ended = await home.ended(tree)
    assert (ended.exit_code, ended.signal, ended.exit_known, ended.error) == (None, None, False, KEEPER_DIED)
    assert not any(alive(pid) for pid in pids)


async def test_the_end_of_an_adopted_attempt_is_noticed(home: House) -> None:
    attempt = await home.shell("a", "while [ ! -e go ]; do sleep 0.01; done; exit 3")
    hello = await home.kill_keeper_and_wait()
    assert len(hello.live) == 1
    (home.folder / "go").touch()
    ended = await home.ended(attempt)
    assert (ended.exit_code, ended.exit_known, ended.error) == (None, False, KEEPER_DIED)
    assert ended.oom_kill is None


async def test_what_ended_between_two_keepers_is_reported_as_unknown(home: House) -> None:
    attempt = await home.shell("a", "while [ ! -e go ]; do sleep 0.01; done; exit 3")
    pid = home.started(attempt).pid
    await home.disconnect()
    home.kill_keeper()
    (home.folder / "go").touch()
    await until(lambda: not alive(pid))
    await home.connect()
    ended = await home.ended(attempt)
    assert (ended.pid, ended.exit_known, ended.error) == (pid, False, KEEPER_DIED)


async def test_a_leader_that_died_between_two_keepers_takes_its_daemon_along(home: House) -> None:
    tree = await home.tree()
    leader, child, daemon = home.tree_pids()
    await home.disconnect()
    home.kill_keeper()
    os.kill(leader, signal.SIGKILL)
    await until(lambda: not alive(leader))
    assert alive(child)
    assert alive(daemon)
    await home.connect()
    ended = await home.ended(tree)
    assert ended.leftovers >= 2
    assert home.marked() == []


@pytest.mark.parametrize("freezing", ["any", "signals"])
async def test_a_frozen_attempt_stays_frozen_and_can_be_thawed_by_the_next_keeper(
    empty_house: House, freezing: str
) -> None:
    home = empty_house
    home.start_keeper(freezing=freezing)
    await home.connect()
    tree = await home.tree()
    await home.link.freeze(tree)
    before = home.counts()
    hello = await home.kill_keeper_and_wait()
    assert [(one.attempt_id, one.frozen) for one in hello.live] == [(tree, True)]
    assert home.counts() == before
    await home.link.thaw(tree)
    await until(lambda: all(now > then for now, then in zip(home.counts(), before, strict=True)))
    assert any(isinstance(event, AttemptThawed) for event in home.events)
    await home.link.kill(tree)
    await home.ended(tree)


async def test_an_attempt_that_no_log_knows_is_adopted_by_its_mark(home: House) -> None:
    tree = await home.tree()
    leader = look(home.tree_pids()[0])
    assert leader is not None
    await home.disconnect()
    home.kill_keeper()
    (home.state_dir / "exit.log").unlink()
    await home.connect()
    assert home.hello is not None
    assert home.hello.live == []
    assert await home.link.adopt(tree, leader.pid, leader.start_time)
    assert await home.link.adopt(tree, leader.pid, leader.start_time)
    assert len((await home.link.pids())[tree]) >= 3
    assert home.exit_of(tree) is None
    await home.link.kill(tree)
    assert not (await home.ended(tree)).exit_known
    assert home.marked() == []


async def test_adopting_by_mark_alone_ends_what_has_no_known_leader(home: House) -> None:
    tree = await home.tree()
    await home.disconnect()
    home.kill_keeper()
    (home.state_dir / "exit.log").unlink()
    await home.connect()
    assert await home.link.adopt(tree)
    ended = await home.ended(tree)
    assert (ended.pid, ended.exit_known) == (None, False)
    assert home.marked() == []


async def test_an_attempt_that_never_started_is_not_found(home: House) -> None:
    assert not await home.link.adopt(home.id("never"))
    assert home.exit_of(home.id("never")) is None


async def test_an_adopted_attempt_whose_process_is_gone_has_ended(home: House) -> None:
    # The pid is taken (it is ours), but by somebody who started at another time.
    assert await home.link.adopt(home.id("gone"), os.getpid(), 1)
    ended = await home.ended(home.id("gone"))
    assert not ended.exit_known
    assert look(os.getpid()) is not None


async def test_after_a_restart_of_the_host_nothing_is_looked_for(home: House) -> None:
    attempt = await home.start("a", "sleep", "600")
    pid = home.started(attempt).pid
    await home.disconnect()
    home.kill_keeper()
    log = home.state_dir / "exit.log"
    log.write_text(log.read_text().replace(boot_id(), "00000000-0000-0000-0000-000000000000"))
    await home.connect()
    ended = await home.ended(attempt)
    assert (ended.exit_known, ended.error, ended.pid) == (False, HOST_RESTARTED, pid)
    assert alive(pid)  # it isn't what the log speaks of
    os.kill(pid, signal.SIGKILL)


async def test_a_torn_last_line_is_left_out(home: House) -> None:
    ended = await home.run("whole", "true")
    await home.disconnect()
    home.kill_keeper()
    with (home.state_dir / "exit.log").open("a") as log:
        log.write('{"kind":"exited","attempt_id":"torn","pid":1')
    await home.connect()
    assert home.hello is not None
    assert home.hello.exits == [ended]
    assert "1 damaged line" in (home.state_dir / "keeper.log").read_text()
    again = await home.run("again", "true")
    assert (await home.kill_keeper_and_wait()).exits == [ended, again]


async def test_the_loss_of_the_keeper_is_told_and_pending_commands_fail(home: House) -> None:
    os.kill(home.keeper_pid, signal.SIGSTOP)
    pending = home.link.start(home.command("p", "true"))
    os.kill(home.keeper_pid, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await pending
    await until(lambda: home.link.connected)
    kinds = [type(event) for event in home.events if isinstance(event, KeeperHello | KeeperLost)]
    assert kinds == [KeeperHello, KeeperLost, KeeperHello]
    assert home.exit_of(home.id("p")) is None


async def test_the_log_is_emptied_when_all_is_forgotten(home: House) -> None:
    for number in range(20):
        ended = await home.run(f"n{number}", "true")
        home.link.forget([ended.attempt_id])
    await home.link.pids()
    assert len((home.state_dir / "exit.log").read_text().splitlines()) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
async def test_an_ordinary_users_keeper_is_followed_by_one_that_adopts(empty_house: House) -> None:
    home = empty_house
    home.start_keeper(user=NOBODY)
    home.folder.chmod(0o777)
    await home.connect()
    tree = await home.tree()
    assert f"Uid:\t{NOBODY}\t" in proc(home.tree_pids()[0], "status")
    await home.disconnect()
    home.kill_keeper()
    home.start_keeper(user=NOBODY)
    await home.connect()
    assert home.hello is not None
    assert [one.attempt_id for one in home.hello.live] == [tree]
    await home.link.kill(tree)
    await home.ended(tree)
    assert home.marked() == []
