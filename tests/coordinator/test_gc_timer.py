"""Full passes of the garbage collector: not while a coordinator serves, but now and then."""

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_coordinator import gc_timer
from opsconsole_coordinator.gc_timer import GcTimer
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.store.schema import StoreError
from tests.coordinator.server.peer import site
from tests.waiting import until


@pytest.fixture
def thawed() -> Iterator[None]:
    """The collector as a program has it, and not as the suite does."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("thawed")
async def test_while_it_serves_only_young_objects_are_looked_at(tmp_path: Path) -> None:
    before = gc.get_threshold()
    async with site(tmp_path / "data"):
        assert gc.get_threshold()[:2] == before[:2]
        assert gc.get_threshold()[2] > 1_000_000
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("thawed")
async def test_while_the_fleet_is_read_no_pass_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    load = CommitLoop.load

    async def noted(commit_loop: CommitLoop) -> None:
        seen.append(gc.isenabled())
        await load(commit_loop)

    monkeypatch.setattr(CommitLoop, "load", noted)
    async with site(tmp_path / "data"):
        assert gc.isenabled()
    (tmp_path / "data" / "opsconsole.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError):
        async with site(tmp_path / "data"):
            pass
    assert seen == [False]
    assert gc.isenabled()


@pytest.mark.usefixtures("thawed")
async def test_what_the_process_has_frozen_stays_so(tmp_path: Path) -> None:
    kept: list[object] = [[]]
    gc.freeze()
    async with site(tmp_path / "data"):
        assert gc.get_threshold()[2] > 1_000_000
    assert not any(one is kept for one in gc.get_objects()), "a pass looks at it again"


async def test_circles_go_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_timer, "EVERY_S", 0.0)
    passes: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            passes.append(info["generation"])

    gc.callbacks.append(note)
    task = asyncio.create_task(GcTimer().run())
    try:
        await until(lambda: 2 in passes)
    finally:
        gc.callbacks.remove(note)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
