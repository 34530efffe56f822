"""Programs that are run within an attempt: its environment, its processes, its end; and none outlives who asked for it."""

import os
from pathlib import Path

import pytest

from opsconsole_agent.keeper_client.message import GuestExited, JoinCommand
from opsconsole_protocol.error import Conflict, Forbidden, InvalidRequest, NotFound
from opsconsole_protocol.ids import AttemptId
from tests.agent.keeper_lab import KeeperLab, alive
from tests.waiting import until

pytestmark = pytest.mark.process

NULL = os.devnull
TICKS = "i=0; while :; do i=$((i+1)); echo $i > ticks; sleep 0.02; done"


async def join(
    lab: KeeperLab, attempt_id: AttemptId, script: str, guest: str = "guest", program: str = "/bin/sh"
) -> None:
    """Run a shell script within an attempt; what it prints goes to GUEST.out."""
    out = lab.folder / f"{guest}.out"
    out.touch()
    command = JoinCommand(
        attempt_id=attempt_id, guest=guest, argv=[program, "-c", script], cwd=str(lab.folder), env={"ADDED": "yes"},
        stdin=NULL, stdout=str(out), stderr=NULL, terminal=False,
    )  # fmt: skip
    await lab.client.join(command)


def exit_of(lab: KeeperLab, guest: str = "guest") -> GuestExited | None:
    return next((one for one in lab.events if isinstance(one, GuestExited) and one.guest == guest), None)


async def exited(lab: KeeperLab, guest: str = "guest") -> GuestExited:
    await until(lambda: exit_of(lab, guest) is not None, what="the end of the guest")
    found = exit_of(lab, guest)
    assert found is not None
    return found


@pytest.mark.parametrize("adopted", [False, True])
async def test_it_has_the_attempt_s_environment_also_after_the_keeper_s_death(lab: KeeperLab, adopted: bool) -> None:
    command = lab.command("task", "/bin/sleep", "600", env={"PATH": os.environ["PATH"], "LR": "0.1\n=2"})
    await lab.client.start(command)
    if adopted:
        await lab.kill_keeper_and_wait()
    await join(lab, command.attempt_id, 'echo "$LR-$ADDED"; pwd; exit 7')
    assert await exited(lab) == GuestExited("guest", 7, None, ending=False)
    assert (lab.folder / "guest.out").read_text() == f"0.1\n=2-yes\n{lab.folder}\n"
    await lab.client.kill(command.attempt_id)


async def test_it_is_one_of_the_attempt_s_processes(lab: KeeperLab) -> None:
    attempt_id = await lab.start("task", "/bin/sleep", "600")
    await join(lab, attempt_id, f"setsid sleep 600 & echo $$ > pid; {TICKS}")
    ticks = lab.folder / "ticks"
    await until(lambda: ticks.exists() and ticks.read_text() != "", what="its ticks")
    assert len((await lab.client.pids())[attempt_id]) >= 3
    await lab.client.freeze(attempt_id)
    frozen = ticks.read_text()
    with pytest.raises(Conflict, match="paused"):
        await join(lab, attempt_id, "true", "other")
    await lab.client.thaw(attempt_id)
    await until(lambda: ticks.read_text() not in {"", frozen}, what="more ticks")
    pid = int((lab.folder / "pid").read_text())
    await lab.client.kill(attempt_id)
    await lab.ended(attempt_id)
    assert not alive(pid)
    assert (await exited(lab)).ending
    with pytest.raises(Conflict, match="has ended"):
        await join(lab, attempt_id, "true", "third")


async def test_the_end_of_the_attempt_waits_for_it(lab: KeeperLab) -> None:
    go = lab.folder / "go"
    attempt_id = await lab.shell("task", f"while [ ! -e {go} ]; do sleep 0.02; done")
    await join(lab, attempt_id, "trap 'sleep 0.2; echo saved; exit' TERM; echo up; while :; do sleep 0.02; done")
    out = lab.folder / "guest.out"
    await until(lambda: out.read_text() == "up\n", what="its start")
    go.touch()
    ended = await lab.ended(attempt_id)
    assert (ended.exit_code, ended.leftovers > 0) == (0, True)
    assert out.read_text() == "up\nsaved\n"
    assert (await exited(lab)).ending


async def test_it_ends_with_the_agent_that_asked_for_it(lab: KeeperLab) -> None:
    attempt_id = await lab.start("task", "/bin/sleep", "600")
    await join(lab, attempt_id, "echo $$ > pid; trap '' TERM HUP; while :; do sleep 0.02; done")
    pid = lab.folder / "pid"
    await until(lambda: pid.exists() and pid.read_text() != "", what="its start")
    await lab.disconnect()
    await until(lambda: not alive(int(pid.read_text())), what="its end")
    await lab.connect()
    assert attempt_id in await lab.client.pids()
    await lab.client.kill(attempt_id)


async def test_what_cannot_be_run_is_refused_and_nothing_else_is_signalled(lab: KeeperLab, tmp_path: Path) -> None:
    attempt_id = await lab.start("task", "/bin/sleep", "600")
    with pytest.raises(NotFound, match="command not found: nothing"):
        await join(lab, attempt_id, "", program="nothing")
    plain = tmp_path / "plain"
    plain.touch()
    with pytest.raises(Forbidden, match="not executable"):
        await join(lab, attempt_id, "", program=str(plain))
    with pytest.raises(NotFound, match="no attempt"):
        await join(lab, lab.id("other"), "true")
    with pytest.raises(InvalidRequest):
        await lab.client.signal_guest("guest", 999)
    await lab.client.signal_guest("nobody", 9)  # it has exited, or never was
    assert attempt_id in await lab.client.pids()
    await lab.client.kill(attempt_id)
