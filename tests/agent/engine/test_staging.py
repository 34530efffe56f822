"""What is made and looked up before a process starts."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opsconsole_agent.core.intent import Intent
from opsconsole_agent.engine import staging as staging_module
from opsconsole_agent.engine.build import Build, run_at_once
from opsconsole_agent.engine.engine import StepProgress
from opsconsole_agent.engine.staging import Prepared, Staging, TaskDefaults
from opsconsole_agent.probe import folder_check
from opsconsole_agent.probe.io_path import InputFile, WorkerIOConfig, resolve_input
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.error import InvalidRequest, Unavailable
from opsconsole_protocol.ids import AttemptId, ContentId, WorkerId
from opsconsole_protocol.job_content import Bundle
from tests.agent.core.script import make_launch

ATTEMPT = AttemptId("j0b0000000.0.0.aaaa")
NEXT = AttemptId("j0b0000000.1.0.bbbb")


@pytest.fixture(params=[True, False], ids=["direct", "in a child that can be given up on"])
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(staging_module, "filesystem_label", lambda _: "nfs")
    return bool(request.param)


def make_staging(tmp_path: Path, io: WorkerIOConfig | None = None) -> Staging:
    """For one worker with nothing in its own environment but a PATH."""
    defaults = TaskDefaults(WorkerId("worker-1"), "ws://h:1", {"PATH": "/bin"}, io or WorkerIOConfig())
    return Staging(defaults, StateFolder(tmp_path / "state"))


def stage(staging: Staging, *, quick: bool, **launch: Any) -> Prepared:
    """Prepare one attempt."""
    build = Build(ATTEMPT, make_launch(**launch), {"http": 8000}, is_quick=quick)
    return run_at_once(staging.stage(build)) if quick else asyncio.run(staging.stage(build))


def test_a_plain_task_gets_its_own_folder(tmp_path: Path) -> None:
    prepared = stage(make_staging(tmp_path), quick=True, command=("echo", "x"))
    command = prepared.command
    assert command.argv == ["echo", "x"]
    assert command.cwd == str(tmp_path / "state" / "attempts" / ATTEMPT / "work")
    assert Path(command.cwd).is_dir()
    assert command.stdout.endswith(f"{ATTEMPT}/stdout")
    assert command.env["OPSCONSOLE_PORT_HTTP"] == "8000"
    assert "OPSCONSOLE_OUTPUT_PATH" not in command.env
    assert prepared.output_path is None


def test_what_clears_up_late_leaves_the_folder_of_the_next_attempt(tmp_path: Path) -> None:
    """The first attempt's folder is the second's by the time its code is let go of."""

    async def nothing(_: str) -> None:
        return None

    nobody = SimpleNamespace(release=lambda _: None, manifest=nothing)
    equipment: Any = SimpleNamespace(contents=nobody, setups=nobody, datasets=None, side_processes=None)
    state = StateFolder(tmp_path / "state")
    staging = Staging(TaskDefaults(WorkerId("w"), "ws://h:1", {}, WorkerIOConfig()), state, equipment)
    state.make(ATTEMPT)
    state.write_intent(Intent(attempt_id=ATTEMPT, launch=make_launch()))
    state.remove(ATTEMPT, clean=True)
    late = staging.release(ATTEMPT, Bundle(content_id=ContentId("0" * 64), size_bytes=1, files=1))
    asyncio.run(late)
    state.make(NEXT)
    assert Path(state.work(NEXT)).is_dir()


def test_a_working_folder_must_be_there(tmp_path: Path, quick: bool) -> None:
    staging = make_staging(tmp_path)
    assert stage(staging, quick=quick, workdir=str(tmp_path)).command.cwd == str(tmp_path)
    with pytest.raises(InvalidRequest, match="is not on this worker: make it, or change --workdir"):
        stage(staging, quick=quick, workdir=str(tmp_path / "nowhere"))


def test_a_working_folder_that_hangs_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(folder_check, "_TIMEOUT_S", 0.05)
    monkeypatch.setattr("os.path.isdir", lambda _: release.wait(20))
    monkeypatch.setattr(staging_module, "filesystem_label", lambda _: "nfs")
    staging = make_staging(tmp_path)
    try:
        for _ in range(2):
            with pytest.raises(Unavailable, match="doesn't answer: is the mount hung"):
                stage(staging, quick=False, workdir="/mnt/hung")
    finally:
        release.set()


def test_inputs_are_found_and_refused(tmp_path: Path, quick: bool) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").touch()
    staging = make_staging(tmp_path, WorkerIOConfig(tmp_path / "in", None))
    env = stage(staging, quick=quick, inputs=("a.csv",)).command.env
    assert env["OPSCONSOLE_INPUT_FILE"] == str(tmp_path / "in" / "a.csv")
    with pytest.raises(InvalidRequest, match="not found in"):
        stage(staging, quick=quick, inputs=("a.csv", "b.csv"))


@pytest.mark.parametrize(
    ("launch", "below"),
    [
        ({}, ""),
        ({"attempt": 2, "follows": True}, ""),
        ({"num_tasks": 3, "task_index": 2}, "task-2"),
        ({"num_tasks": 3, "task_index": 2, "attempt": 1, "follows": True}, "task-2"),
        # An earlier attempt may live.
        ({"attempt": 2}, "attempts/0.0.aaaa"),
        ({"num_tasks": 3, "task_index": 2, "attempt": 1}, "task-2/attempts/0.0.aaaa"),
    ],
)
def test_results_go_where_nobody_else_writes(tmp_path: Path, quick: bool, launch: dict[str, Any], below: str) -> None:
    (tmp_path / "out").mkdir()
    prepared = stage(make_staging(tmp_path, WorkerIOConfig(None, tmp_path / "out")), quick=quick, **launch)
    expected = tmp_path / "out" / "jobs" / "j0b0000000" / below
    assert prepared.output_path == prepared.command.env["OPSCONSOLE_OUTPUT_PATH"] == str(expected)
    assert sorted(path.name for path in expected.iterdir()) == ["logs", "models"]


@pytest.mark.parametrize("launch", [{}, {"num_tasks": 3, "task_index": 2}])
def test_an_accepted_result_takes_the_place_of_what_was_there(tmp_path: Path, launch: dict[str, Any]) -> None:
    """Also when it is done again, after a crash of the agent in between (hard use 21)."""
    (tmp_path / "out").mkdir()
    staging = make_staging(tmp_path, WorkerIOConfig(None, tmp_path / "out"))
    first = Path(stage(staging, quick=True, **launch).output_path or "")
    (first / "models" / "half").write_text("of the one that was lost")
    own = stage(staging, quick=True, attempt=1, **launch).output_path
    assert own is not None
    (Path(own) / "models" / "best").write_text("whole")
    for _ in range(2):
        staging.publish(own)
        assert [path.name for path in (first / "models").iterdir()] == ["best"]
        assert (Path(own) / "models" / "best").read_text() == "whole", "the path that was told goes on leading there"
        assert (Path(f"{own}.replaced") / "models" / "half").exists()
    staging.publish(str(first))  # nothing to do
    assert (first / "models" / "best").exists()


def test_only_what_is_local_is_touched_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, "filesystem_label", lambda path: "nfs" if "net" in path.parts else "local")
    local, remote = Path("/local"), Path("/net")
    cases: list[tuple[WorkerIOConfig, dict[str, Any], bool]] = [
        (WorkerIOConfig(), {}, True),
        (WorkerIOConfig(), {"workdir": "/local/x"}, True),
        (WorkerIOConfig(), {"workdir": "/net/x"}, False),
        (WorkerIOConfig(remote, local), {}, True),
        (WorkerIOConfig(remote, local), {"inputs": ("a",)}, False),
        (WorkerIOConfig(local, remote), {}, False),
    ]
    for io, launch, expected in cases:
        assert make_staging(tmp_path, io).is_quick(make_launch(**launch)) is expected


def test_steps_that_take_time_tell_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / name).touch()
    build = Build(ATTEMPT, make_launch(inputs=("a", "b")))
    seen: list[StepProgress | None] = []

    def look(io: WorkerIOConfig, name: str) -> InputFile:
        seen.append(build.progress)
        return resolve_input(io, name)

    monkeypatch.setattr(staging_module, "resolve_input", look)
    staging = make_staging(tmp_path, WorkerIOConfig(tmp_path / "in", None))
    run_at_once(staging.stage(build))
    assert seen == [("inputs", 0, 2), ("inputs", 1, 2)]


def test_every_step_tells_its_name_while_it_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = Build(ATTEMPT, make_launch())
    staging = make_staging(tmp_path, WorkerIOConfig(None, None))
    seen: list[StepProgress | None] = []
    for step in staging.steps:

        async def run(build: Build, run: Callable[[Build], Awaitable[None]] = step.run) -> None:
            seen.append(build.progress)
            await run(build)

        monkeypatch.setattr(step, "run", run)
    run_at_once(staging.stage(build))
    names = ["folder", "working folder", "inputs", "output folder", "checkpoint", "command"]
    assert seen == [(name, 0, 1) for name in names]
