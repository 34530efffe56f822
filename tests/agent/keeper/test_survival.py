"""Agents and keepers die; attempts and what is known of them don't."""

import os
import signal

import pytest

from opsconsole_agent.keeper.event_line import HOST_RESTARTED, KEEPER_DIED
from opsconsole_agent.keeper.process import boot_id, find_process
from opsconsole_agent.keeper_client.message import AttemptThawed
from tests.agent.keeper_lab import NOBODY, KeeperLab, alive, proc
from tests.waiting import until

pytestmark = pytest.mark.process


async def test_tasks_outlive_an_agent_that_is_killed(empty_lab: KeeperLab) -> None:
    lab = empty_lab
    long, short, later = lab.id("long"), lab.id("short"), lab.id("later")
    scripts = {
        long: "echo up; sleep 600",
        short: "exit 4",
        later: "while [ ! -e go ]; do sleep 0.01; done; echo done; exit 5",
    }
    agent = lab.start_agent(scripts)
    os.killpg(agent.pid, signal.SIGKILL)
    agent.wait()
    (lab.folder / "go").touch()
    await until(lambda: "done" in (lab.folder / f"{later}.out").read_text())

    await lab.connect()
    assert lab.hello is not None
    assert long in [one.attempt_id for one in lab.hello.live]
    assert all(one.exit_known for one in lab.hello.live)
    assert (await lab.ended(short)).exit_code == 4
    assert (await lab.ended(later)).exit_code == 5
    await lab.client.kill(long)
    assert (await lab.ended(long)).signal == signal.SIGKILL


async def test_exits_are_told_until_they_are_forgotten(lab: KeeperLab) -> None:
    first = await lab.run("first", "true")
    second = await lab.run("second", "false")
    lab.client.forget([first.attempt_id, lab.id("never")])
    await lab.client.pids()  # answered in order: the exit has been forgotten
    await lab.disconnect()
    await lab.connect()
    assert lab.hello is not None
    assert lab.hello.exits == [second]


async def test_unforgotten_exits_survive_the_keeper(lab: KeeperLab) -> None:
    ended = await lab.run("seven", "/bin/sh", "-c", "exit 7")
    gone = await lab.run("gone", "true")
    lab.client.forget([gone.attempt_id])
    await lab.client.pids()
    hello = await lab.kill_keeper_and_wait()
    assert hello.exits == [ended]
    assert hello.live == []


async def test_a_new_keeper_adopts_what_lives(lab: KeeperLab) -> None:
    tree = await lab.tree()
    pids = lab.tree_pids()
    hello = await lab.kill_keeper_and_wait()
    assert [(one.attempt_id, one.pid, one.exit_known) for one in hello.live] == [(tree, pids[0], False)]
    assert all(alive(pid) for pid in pids)
    assert set(pids) <= set((await lab.client.pids())[tree])
    await lab.client.kill(tree)
    ended = await lab.ended(tree)
    assert (ended.exit_code, ended.signal, ended.exit_known, ended.error) == (None, None, False, KEEPER_DIED)
    assert not any(alive(pid) for pid in pids)


async def test_the_end_of_an_adopted_attempt_is_noticed(lab: KeeperLab) -> None:
    attempt = await lab.shell("a", "while [ ! -e go ]; do sleep 0.01; done; exit 3")
    hello = await lab.kill_keeper_and_wait()
    assert len(hello.live) == 1
    (lab.folder / "go").touch()
    ended = await lab.ended(attempt)
    assert (ended.exit_code, ended.exit_known, ended.error) == (None, False, KEEPER_DIED)
    assert ended.oom_kill is None


async def test_what_ended_between_two_keepers_is_reported_as_unknown(lab: KeeperLab) -> None:
    attempt = await lab.shell("a", "while [ ! -e go ]; do sleep 0.01; done; exit 3")
    pid = lab.started(attempt).pid
    await lab.disconnect()
    lab.kill_keeper()
    (lab.folder / "go").touch()
    await until(lambda: not alive(pid))
    await lab.connect()
    ended = await lab.ended(attempt)
    assert (ended.pid, ended.exit_known, ended.error) == (pid, False, KEEPER_DIED)


async def test_a_leader_that_died_between_two_keepers_takes_its_daemon_along(lab: KeeperLab) -> None:
    tree = await lab.tree()
    leader, child, daemon = lab.tree_pids()
    await lab.disconnect()
    lab.kill_keeper()
    os.kill(leader, signal.SIGKILL)
    await until(lambda: not alive(leader))
    assert alive(child)
    assert alive(daemon)
    await lab.connect()
    ended = await lab.ended(tree)
    assert ended.leftovers >= 2
    assert lab.marked() == []


@pytest.mark.parametrize("freezing", ["any", "signals"])
async def test_a_frozen_attempt_stays_frozen_and_can_be_thawed_by_the_next_keeper(
    empty_lab: KeeperLab, freezing: str
) -> None:
    lab = empty_lab
    lab.start_keeper(freezing=freezing)
    await lab.connect()
    tree = await lab.tree()
    await lab.client.freeze(tree)
    before = lab.counts()
    hello = await lab.kill_keeper_and_wait()
    assert [(one.attempt_id, one.frozen) for one in hello.live] == [(tree, True)]
    assert lab.counts() == before
    await lab.client.thaw(tree)
    await until(lambda: all(now > then for now, then in zip(lab.counts(), before, strict=True)))
    assert any(isinstance(event, AttemptThawed) for event in lab.events)
    await lab.client.kill(tree)
    await lab.ended(tree)


async def test_an_attempt_that_no_log_knows_is_adopted_by_its_mark(lab: KeeperLab) -> None:
    tree = await lab.tree()
    leader = find_process(lab.tree_pids()[0])
    assert leader is not None
    await lab.disconnect()
    lab.kill_keeper()
    (lab.state_dir / "exit.log").unlink()
    await lab.connect()
    assert lab.hello is not None
    assert lab.hello.live == []
    assert await lab.client.adopt(tree, leader.pid, leader.start_time)
    assert await lab.client.adopt(tree, leader.pid, leader.start_time)
    assert len((await lab.client.pids())[tree]) >= 3
    assert lab.exit_of(tree) is None
    await lab.client.kill(tree)
    assert not (await lab.ended(tree)).exit_known
    assert lab.marked() == []


async def test_adopting_by_mark_alone_ends_what_has_no_known_leader(lab: KeeperLab) -> None:
    tree = await lab.tree()
    await lab.disconnect()
    lab.kill_keeper()
    (lab.state_dir / "exit.log").unlink()
    await lab.connect()
    assert await lab.client.adopt(tree)
    ended = await lab.ended(tree)
    assert (ended.pid, ended.exit_known) == (None, False)
    assert lab.marked() == []


async def test_an_attempt_that_never_started_is_not_found(lab: KeeperLab) -> None:
    assert not await lab.client.adopt(lab.id("never"))
    assert lab.exit_of(lab.id("never")) is None


async def test_an_adopted_attempt_whose_process_is_gone_has_ended(lab: KeeperLab) -> None:
    # The pid is taken (it is ours), but by somebody who started at another time.
    assert await lab.client.adopt(lab.id("gone"), os.getpid(), 1)
    ended = await lab.ended(lab.id("gone"))
    assert not ended.exit_known
    assert find_process(os.getpid()) is not None


async def test_after_a_restart_of_the_host_nothing_is_looked_for(lab: KeeperLab) -> None:
    attempt = await lab.start("a", "sleep", "600")
    pid = lab.started(attempt).pid
    await lab.disconnect()
    lab.kill_keeper()
    log = lab.state_dir / "exit.log"
    log.write_text(log.read_text().replace(boot_id(), "00000000-0000-0000-0000-000000000000"))
    await lab.connect()
    ended = await lab.ended(attempt)
    assert (ended.exit_known, ended.error, ended.cause, ended.pid) == (False, HOST_RESTARTED, "host_restarted", pid)
    assert alive(pid)  # it isn't what the log speaks of
    os.kill(pid, signal.SIGKILL)


async def test_a_torn_last_line_is_left_out(lab: KeeperLab) -> None:
    ended = await lab.run("whole", "true")
    await lab.disconnect()
    lab.kill_keeper()
    with (lab.state_dir / "exit.log").open("a") as log:
        log.write('{"kind":"exited","attempt_id":"torn","pid":1')
    await lab.connect()
    assert lab.hello is not None
    assert lab.hello.exits == [ended]
    assert "1 damaged line" in (lab.state_dir / "keeper.log").read_text()
    again = await lab.run("again", "true")
    assert (await lab.kill_keeper_and_wait()).exits == [ended, again]


async def test_the_log_is_emptied_when_all_is_forgotten(lab: KeeperLab) -> None:
    for number in range(20):
        ended = await lab.run(f"n{number}", "true")
        lab.client.forget([ended.attempt_id])
    await lab.client.pids()
    assert len((lab.state_dir / "exit.log").read_text().splitlines()) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
async def test_an_ordinary_users_keeper_is_followed_by_one_that_adopts(empty_lab: KeeperLab) -> None:
    lab = empty_lab
    lab.start_keeper(user=NOBODY)
    lab.folder.chmod(0o777)
    await lab.connect()
    tree = await lab.tree()
    assert f"Uid:\t{NOBODY}\t" in proc(lab.tree_pids()[0], "status")
    await lab.disconnect()
    lab.kill_keeper()
    lab.start_keeper(user=NOBODY)
    await lab.connect()
    assert lab.hello is not None
    assert [one.attempt_id for one in lab.hello.live] == [tree]
    await lab.client.kill(tree)
    await lab.ended(tree)
    assert lab.marked() == []
