"""Freezing, thawing and killing whole trees: with a cgroup, with signals, as root and as an ordinary user."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from opsconsole_agent.keeper import freezer
from opsconsole_agent.keeper.process import look
from opsconsole_agent.keeper_client.message import AttemptFrozen, AttemptThawed
from opsconsole_protocol.error import Conflict
from tests.agent.keeper.house import NOBODY, TREE_ROLES, House, alive
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
    name="kept",
    params=["cgroup", "signals", pytest.param("ordinary user", marks=needs_root)],
)
async def _kept(request: pytest.FixtureRequest, empty_house: House) -> House:
    """Every way in which a keeper can freeze."""
    way: str = request.param
    if way == "cgroup" and freezer.detect() is None:
        pytest.skip("no cgroup freezer may be written here")
    empty_house.start_keeper(
        freezing="signals" if way == "signals" else "any", user=NOBODY if way == "ordinary user" else 0
    )
    empty_house.folder.chmod(0o777)
    return await empty_house.connect()


async def stands_still(home: House, name: str = "tree") -> bool:
    """Whether none of the tree counts for a quarter of a second, in which each would count to ten."""
    before = home.counts(name)
    await asyncio.sleep(0.25)
    return home.counts(name) == before


async def until_counting(home: House, name: str = "tree") -> None:
    before = home.counts(name)
    await until(lambda: all(now > then for now, then in zip(home.counts(name), before, strict=True)), what="counting")


async def test_a_whole_tree_is_frozen_and_thawed(kept: House) -> None:
    tree = await kept.tree()
    assert await kept.link.freeze(tree) >= 3
    assert await stands_still(kept)
    assert await kept.link.thaw(tree) >= 3
    await until_counting(kept)
    kinds = [type(event) for event in kept.events if isinstance(event, AttemptFrozen | AttemptThawed)]
    assert kinds == [AttemptFrozen, AttemptThawed]
    # And again: what was made for the first time serves the second.
    await kept.link.freeze(tree)
    assert await stands_still(kept)
    await kept.link.thaw(tree)
    await until_counting(kept)
    await kept.link.kill(tree)
    await kept.ended(tree)


async def test_freezing_twice_and_thawing_twice_change_nothing(kept: House) -> None:
    tree = await kept.tree()
    await kept.link.freeze(tree)
    await kept.link.freeze(tree)
    assert await stands_still(kept)
    await kept.link.thaw(tree)
    await kept.link.thaw(tree)
    await until_counting(kept)
    assert len([event for event in kept.events if isinstance(event, AttemptFrozen | AttemptThawed)]) == 2
    await kept.link.kill(tree)
    await kept.ended(tree)


async def test_a_whole_tree_is_killed(kept: House) -> None:
    tree = await kept.tree()
    pids = kept.tree_pids()
    assert await kept.link.kill(tree) >= 3
    ended = await kept.ended(tree)
    assert ended.signal == signal.SIGKILL
    assert ended.proof
    assert not any(alive(pid) for pid in pids)
    assert kept.marked() == []


async def test_a_frozen_tree_is_killed(kept: House) -> None:
    tree = await kept.tree()
    await kept.link.freeze(tree)
    await kept.link.kill(tree)
    assert (await kept.ended(tree)).signal == signal.SIGKILL
    assert kept.marked() == []


async def test_a_frozen_tree_is_asked_to_end_and_can(kept: House) -> None:
    tree = await kept.tree()
    await kept.link.freeze(tree)
    await kept.link.term(tree)
    ended = await kept.ended(tree)
    assert ended.signal == signal.SIGTERM
    assert kept.marked() == []


async def test_a_storm_of_forks_is_frozen_thawed_and_killed(kept: House) -> None:
    storm = await kept.shell("storm", STORM)
    ticks = kept.folder / "ticks"
    await until(lambda: ticks.exists() and ticks.stat().st_size > 100)
    await kept.link.freeze(storm)
    size = ticks.stat().st_size
    pids = await kept.link.pids()
    await asyncio.sleep(0.25)
    assert ticks.stat().st_size == size
    assert await kept.link.pids() == pids
    await kept.link.thaw(storm)
    await until(lambda: ticks.stat().st_size > size)
    await kept.link.kill(storm)
    ended = await kept.ended(storm)
    assert ended.proof
    assert kept.marked() == []


async def test_one_attempt_is_frozen_and_killed_without_the_other(kept: House) -> None:
    one = await kept.tree("one")
    other = await kept.tree("other")
    await kept.link.freeze(one)
    assert await stands_still(kept, "one")
    await until_counting(kept, "other")
    await kept.link.kill(one)
    await kept.ended(one)
    await until_counting(kept, "other")
    assert kept.exit_of(other) is None
    assert all(alive(pid) for pid in kept.tree_pids("other"))
    await kept.link.kill(other)
    await kept.ended(other)


async def test_a_frozen_attempt_is_told_to_the_next_agent(kept: House) -> None:
    tree = await kept.tree()
    await kept.link.freeze(tree)
    await kept.disconnect()
    await kept.connect()
    assert kept.hello is not None
    assert [(one.attempt_id, one.frozen) for one in kept.hello.live] == [(tree, True)]
    await kept.link.thaw(tree)
    await until_counting(kept)
    await kept.link.kill(tree)
    await kept.ended(tree)


async def test_an_attempt_that_is_ending_is_not_frozen(kept: House) -> None:
    attempt = await kept.shell("ending", "trap '' TERM; (trap '' TERM; sleep 60) & echo up; exit 0")
    await until(lambda: kept.output("ending") == "up\n")
    await kept.link.term(attempt, grace_ms=60_000)

    async def refused() -> bool:
        try:
            await kept.link.freeze(attempt)
        except Conflict as error:
            return "is ending" in error.message
        await kept.link.thaw(attempt)
        return False

    while not await refused():
        pass
    await kept.link.kill(attempt)
    assert (await kept.ended(attempt)).exit_code == 0


async def test_who_stood_still_before_is_not_thawed(empty_house: House) -> None:
    empty_house.start_keeper(freezing="signals")
    home = await empty_house.connect()
    tree = await home.tree()
    _, child, _ = home.tree_pids()
    os.kill(child, signal.SIGSTOP)
    await until(lambda: state(child) == "T")
    await home.link.freeze(tree)
    # D: it waits for a child that it is becoming (vfork), and that stands still.
    assert {state(pid) for pid in home.tree_pids()} <= {"T", "D"}
    await home.link.thaw(tree)
    leader, _, daemon = home.tree_pids()
    await until(lambda: "T" not in {state(leader), state(daemon)})
    assert state(child) == "T"
    await home.link.kill(tree)
    await home.ended(tree)


@pytest.mark.skipif(freezer.detect() is None, reason="no cgroup freezer may be written here")
async def test_a_cgroup_lives_no_longer_than_its_attempt(home: House) -> None:
    tree = await home.tree()
    await home.link.freeze(tree)
    folders = {cgroup_of(pid) for pid in home.tree_pids()}
    assert len(folders) == 1
    assert home.id("tree") in folders.pop()
    found = freezer.detect()
    assert found is not None
    made = found.cgroup(home.id("tree"))
    assert made is not None
    assert len(made.pids()) >= len(TREE_ROLES)
    await home.link.kill(tree)
    await home.ended(tree)
    await until(lambda: not Path(made.path).exists(), what="the cgroup's end")


def cgroup_of(pid: int) -> str:
    """The line that names the attempt's cgroup."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line for line in lines if "opsconsole-" in line)


def state(pid: int) -> str:
    process = look(pid)
    return process.state if process is not None else ""
