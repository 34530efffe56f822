"""Work that may not wait, and work in a thread that can be cancelled."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from opsconsole_agent.engine.build import in_thread, run_at_once
from opsconsole_agent.probe.child_call import ChildCall
from tests.waiting import until


def living() -> set[int]:
    """All processes of this host."""
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def pid_of(path: Path) -> int | None:
    """What the child wrote down, once it has."""
    text = path.read_text() if path.exists() else ""
    return int(text) if text else None


def test_what_never_waits_is_done_at_once() -> None:
    async def add(one: int, other: int) -> int:
        return one + other

    async def fail() -> None:
        raise OSError("no")

    assert run_at_once(add(1, 2)) == 3
    with pytest.raises(OSError, match="no"):
        run_at_once(fail())
    with pytest.raises(RuntimeError, match="waits"):
        run_at_once(asyncio.sleep(0))


async def test_a_cancelled_call_ends_the_child_that_it_waits_for(tmp_path: Path) -> None:
    """The child of a preparation that was cancelled went on making folders."""
    program = tmp_path / "hang.py"
    program.write_text(f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    ended: list[str] = []

    def ask() -> None:
        try:
            ChildCall(program, [], hangs_on=str(tmp_path)).result(time.monotonic() + 60)
        except OSError as error:
            ended.append(str(error))

    task = asyncio.create_task(in_thread(ask))
    await until(lambda: pid_of(tmp_path / "pid") is not None)
    pid = pid_of(tmp_path / "pid")
    began_s = time.monotonic()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await until(lambda: bool(ended))
    assert time.monotonic() - began_s < 30
    assert pid not in living(), "it was killed and collected"


async def test_a_call_that_was_cancelled_before_it_started_a_child_starts_none_that_stays(tmp_path: Path) -> None:
    program = tmp_path / "hang.py"
    program.write_text("import time; time.sleep(60)")
    entered, go_on, children = threading.Event(), asyncio.Event(), list[int]()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        entered.set()
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)
        began_s = time.monotonic()
        with pytest.raises(OSError, match="failed"):
            ChildCall(program, [], hangs_on=str(tmp_path)).result(time.monotonic() + 60)
        children.append(round(time.monotonic() - began_s))

    task = asyncio.create_task(in_thread(ask))
    await until(entered.is_set)
    task.cancel()
    await asyncio.wait([task])
    go_on.set()
    await until(lambda: bool(children))
    assert children[0] < 30
