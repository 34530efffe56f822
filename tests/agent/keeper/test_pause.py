"""Freezing, thawing and killing whole trees: with a cgroup, with signals, as root and as an ordinary user."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from opsconsole_agent.keeper import freezer
from opsconsole_agent.keeper.process import find_process
from opsconsole_agent.keeper_client.message import AttemptFrozen, AttemptThawed
from opsconsole_protocol.error import Conflict
from tests.agent.keeper_lab import NOBODY, TREE_ROLES, KeeperLab, alive
from tests.waiting import until

pytestmark = pytest.mark.process

ROOT = os.getuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")
STORM = """
storm() { while :; do (sleep 0.01 &); (setsid sleep 0.01 &); echo x >> ticks; done; }
storm & storm & storm
"""
"""Three shells that leave a new orphan behind, in their session or out of it, as fast as they can."""


@pytest.fixture(
    name="each_lab",
    params=["cgroup", "signals", pytest.param("ordinary user", marks=needs_root)],
)
async def _each_lab(request: pytest.FixtureRequest, empty_lab: KeeperLab) -> KeeperLab:
    """Every way in which a keeper can freeze."""
    way: str = request.param
    if way == "cgroup" and freezer.find_freezer() is None:
        pytest.skip("no cgroup freezer may be written here")
    empty_lab.start_keeper(
        freezing="signals" if way == "signals" else "any", user=NOBODY if way == "ordinary user" else 0
    )
    empty_lab.folder.chmod(0o777)
    return await empty_lab.connect()


async def stands_still(lab: KeeperLab, name: str = "tree") -> bool:
    """Whether none of the tree counts for a quarter of a second, in which each would count to ten."""
    before = lab.counts(name)
    await asyncio.sleep(0.25)
    return lab.counts(name) == before


async def until_counting(lab: KeeperLab, name: str = "tree") -> None:
    before = lab.counts(name)
    await until(lambda: all(now > then for now, then in zip(lab.counts(name), before, strict=True)), what="counting")


async def test_a_whole_tree_is_frozen_and_thawed(each_lab: KeeperLab) -> None:
    tree = await each_lab.tree()
    assert await each_lab.client.freeze(tree) >= 3
    assert await stands_still(each_lab)
    assert await each_lab.client.thaw(tree) >= 3
    await until_counting(each_lab)
    kinds = [type(event) for event in each_lab.events if isinstance(event, AttemptFrozen | AttemptThawed)]
    assert kinds == [AttemptFrozen, AttemptThawed]
    # And again: what was made for the first time serves the second.
    await each_lab.client.freeze(tree)
    assert await stands_still(each_lab)
    await each_lab.client.thaw(tree)
    await until_counting(each_lab)
    await each_lab.client.kill(tree)
    await each_lab.ended(tree)


async def test_freezing_twice_and_thawing_twice_change_nothing(each_lab: KeeperLab) -> None:
    tree = await each_lab.tree()
    await each_lab.client.freeze(tree)
    await each_lab.client.freeze(tree)
    assert await stands_still(each_lab)
    await each_lab.client.thaw(tree)
    await each_lab.client.thaw(tree)
    await until_counting(each_lab)
    assert len([event for event in each_lab.events if isinstance(event, AttemptFrozen | AttemptThawed)]) == 2
    await each_lab.client.kill(tree)
    await each_lab.ended(tree)


async def test_a_whole_tree_is_killed(each_lab: KeeperLab) -> None:
    tree = await each_lab.tree()
    pids = each_lab.tree_pids()
    assert await each_lab.client.kill(tree) >= 3
    ended = await each_lab.ended(tree)
    assert ended.signal == signal.SIGKILL
    assert ended.proof
    assert not any(alive(pid) for pid in pids)
    assert each_lab.marked() == []


async def test_a_frozen_tree_is_killed(each_lab: KeeperLab) -> None:
    tree = await each_lab.tree()
    await each_lab.client.freeze(tree)
    await each_lab.client.kill(tree)
    assert (await each_lab.ended(tree)).signal == signal.SIGKILL
    assert each_lab.marked() == []


async def test_a_frozen_tree_is_asked_to_end_and_can(each_lab: KeeperLab) -> None:
    tree = await each_lab.tree()
    await each_lab.client.freeze(tree)
    await each_lab.client.term(tree)
    ended = await each_lab.ended(tree)
    assert ended.signal == signal.SIGTERM
    assert each_lab.marked() == []


async def test_a_storm_of_forks_is_frozen_thawed_and_killed(each_lab: KeeperLab) -> None:
    storm = await each_lab.shell("storm", STORM)
    ticks = each_lab.folder / "ticks"
    await until(lambda: ticks.exists() and ticks.stat().st_size > 100)
    await each_lab.client.freeze(storm)
    size = ticks.stat().st_size
    pids = await each_lab.client.pids()
    await asyncio.sleep(0.25)
    assert ticks.stat().st_size == size
    assert await each_lab.client.pids() == pids
    await each_lab.client.thaw(storm)
    await until(lambda: ticks.stat().st_size > size)
    await each_lab.client.kill(storm)
    ended = await each_lab.ended(storm)
    assert ended.proof
    assert each_lab.marked() == []


async def test_one_attempt_is_frozen_and_killed_without_the_other(each_lab: KeeperLab) -> None:
    one = await each_lab.tree("one")
    other = await each_lab.tree("other")
    await each_lab.client.freeze(one)
    assert await stands_still(each_lab, "one")
    await until_counting(each_lab, "other")
    await each_lab.client.kill(one)
    await each_lab.ended(one)
    await until_counting(each_lab, "other")
    assert each_lab.exit_of(other) is None
    assert all(alive(pid) for pid in each_lab.tree_pids("other"))
    await each_lab.client.kill(other)
    await each_lab.ended(other)


async def test_a_frozen_attempt_is_told_to_the_next_agent(each_lab: KeeperLab) -> None:
    tree = await each_lab.tree()
    await each_lab.client.freeze(tree)
    await each_lab.disconnect()
    await each_lab.connect()
    assert each_lab.hello is not None
    assert [(one.attempt_id, one.frozen) for one in each_lab.hello.live] == [(tree, True)]
    await each_lab.client.thaw(tree)
    await until_counting(each_lab)
    await each_lab.client.kill(tree)
    await each_lab.ended(tree)


async def test_an_attempt_that_is_ending_is_not_frozen(each_lab: KeeperLab) -> None:
    attempt = await each_lab.shell("ending", "trap '' TERM; (trap '' TERM; sleep 60) & echo up; exit 0")
    await until(lambda: each_lab.output("ending") == "up\n")
    await each_lab.client.term(attempt, grace_ms=60_000)

    async def refused() -> bool:
        try:
            await each_lab.client.freeze(attempt)
        except Conflict as error:
            return "is ending" in error.message
        await each_lab.client.thaw(attempt)
        return False

    while not await refused():
        pass
    await each_lab.client.kill(attempt)
    assert (await each_lab.ended(attempt)).exit_code == 0


async def test_who_stood_still_before_is_not_thawed(empty_lab: KeeperLab) -> None:
    empty_lab.start_keeper(freezing="signals")
    lab = await empty_lab.connect()
    tree = await lab.tree()
    _, child, _ = lab.tree_pids()
    os.kill(child, signal.SIGSTOP)
    await until(lambda: state(child) == "T")
    await lab.client.freeze(tree)
    # D: it waits for a child that it is becoming (vfork), and that stands still.
    assert {state(pid) for pid in lab.tree_pids()} <= {"T", "D"}
    await lab.client.thaw(tree)
    leader, _, daemon = lab.tree_pids()
    await until(lambda: "T" not in {state(leader), state(daemon)})
    assert state(child) == "T"
    await lab.client.kill(tree)
    await lab.ended(tree)


@pytest.mark.skipif(freezer.find_freezer() is None, reason="no cgroup freezer may be written here")
async def test_a_cgroup_lives_no_longer_than_its_attempt(lab: KeeperLab) -> None:
    tree = await lab.tree()
    await lab.client.freeze(tree)
    folders = {cgroup_of(pid) for pid in lab.tree_pids()}
    assert len(folders) == 1
    assert lab.id("tree") in folders.pop()
    found = freezer.find_freezer()
    assert found is not None
    made = found.cgroup(lab.id("tree"))
    assert made is not None
    assert len(made.pids()) >= len(TREE_ROLES)
    await lab.client.kill(tree)
    await lab.ended(tree)
    await until(lambda: not Path(made.path).exists(), what="the cgroup's end")


def cgroup_of(pid: int) -> str:
    """The line that names the attempt's cgroup."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line for line in lines if "opsconsole-" in line)


def state(pid: int) -> str:
    process = find_process(pid)
    return process.state if process is not None else ""
