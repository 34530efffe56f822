"""Heartbeats that come in time, whatever the host does."""

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsconsole_agent.probe import disk_space
from opsconsole_agent.probe.gpu import GpuProcess, GpuReport, GpuSample
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_agent.telemetry import Telemetry


@pytest.fixture
async def telemetry(tmp_path: Path) -> AsyncIterator[Telemetry]:
    one = Telemetry(StateFolder(tmp_path))
    yield one
    one.close()


async def test_a_heartbeat_tells_of_host_and_attempts(telemetry: Telemetry) -> None:
    host = await telemetry.identify()
    assert host.cpu_count >= 1
    heartbeat = await telemetry.heartbeat({"a": [os.getpid()]}, {}, 20)
    assert heartbeat.host.memory_used_mb > 0
    assert heartbeat.host.disk_free_mb is not None
    assert heartbeat.usage["a"].process_count == 1
    assert heartbeat.usage["a"].current_memory_mb > 0
    assert (await telemetry.heartbeat({}, {}, 20)).usage == {}


async def test_a_gpu_s_processes_are_told_by_attempt(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = (GpuProcess(41, "python", 100), GpuProcess(42, "foreign", 200))
    report = GpuReport("ok", gpus=(GpuSample(0, "GPU-1", "RTX", 24_000, 300, processes=processes),))
    monkeypatch.setattr(telemetry._gpu_probe, "sample", lambda: report)
    heartbeat = await telemetry.heartbeat({"a": [41]}, {}, 20)
    assert heartbeat.gpus is not None
    assert [(user.pid, user.attempt_id) for user in heartbeat.gpus[0].processes] == [(41, "a"), (42, "")]
    assert telemetry.gpus == heartbeat.gpus


async def test_a_host_that_hangs_is_shown_as_it_was_and_asked_only_once(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await telemetry.identify()
    before = telemetry._last.host
    release, asked = threading.Event(), list[int]()

    def hang() -> GpuReport:
        asked.append(1)
        release.wait(20)
        return GpuReport("none")

    monkeypatch.setattr(telemetry._gpu_probe, "sample", hang)
    try:
        for _ in range(3):
            assert (await telemetry.heartbeat({}, {}, 0.01)).host == before
        assert len(asked) == 1
    finally:
        release.set()
    assert (await telemetry.heartbeat({}, {}, 20)).at_ms > 0


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The bytes that every disk has, and has left. Wanted before `telemetry`, whose probe takes the function once."""
    free = {"bytes": disk_space.NEEDED_BYTES_MIN}
    monkeypatch.setattr(disk_space, "_disk_space", lambda _: (free["bytes"], free["bytes"]))
    return free


async def test_a_disk_with_little_room_is_told_as_a_trouble(
    tmp_path: Path, free: dict[str, int], telemetry: Telemetry
) -> None:
    assert (await telemetry.heartbeat({}, {}, 5)).troubles == ()
    free["bytes"] -= 1
    (trouble,) = (await telemetry.heartbeat({}, {}, 5)).troubles
    assert (trouble.code, trouble.blocks) == ("disk_full", True)
    assert trouble.text == f"its disk is full: make room in {tmp_path}"
