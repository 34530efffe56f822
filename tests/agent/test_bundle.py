"""Jobs that bring code and a setup, on a whole agent with a real keeper. The trees lie in its store already."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.host.content.scan import scan_file
from opsconsole_protocol.job_content import Bundle, Upload
from opsconsole_protocol.link import Mode
from tests.agent.conftest import StartAgent, processes_below
from tests.agent.fake_coordinator import FakeCoordinator
from tests.agent.transfer.tree import keep_tree, make_tree
from tests.waiting import until

pytestmark = pytest.mark.process
A, B, C = "j0b0000000.0.0.aaaa", "j0b0000000.1.0.bbbb", "j0b0000000.2.0.cccc"
SHOW = 'echo "setup $OPSCONSOLE_SETUP_PATH"; cat "$OPSCONSOLE_SETUP_PATH/made"'


async def keep(state_dir: Path, folder: Path, manifest: Manifest) -> None:
    """Have the tree in an agent's store, before the agent starts."""
    await asyncio.to_thread(keep_tree, state_dir, folder, manifest)


async def keep_code(tmp_path: Path, name: str = "code", **files: str) -> Bundle:
    """A bundle of these files, in the agent's store."""
    manifest = make_tree(tmp_path / name, **files)
    await keep(tmp_path / "state", tmp_path / name, manifest)
    return Bundle(content_id=manifest.content_id, size_bytes=manifest.size_bytes, files=manifest.files)


@pytest.fixture(name="tools")
def _tools(tmp_path: Path) -> dict[str, str]:
    """An environment with a few programs and no Python: a virtual environment takes seconds, and few tests need one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "cp", "date", "mkdir", "sleep", "test", "true"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return {"PATH": str(folder)}


def build_log(coordinator: FakeCoordinator, attempt_id: str) -> str:
    """What the preparation said."""
    return coordinator.log(attempt_id, "build").decode()


async def done(coordinator: FakeCoordinator, attempt_id: str) -> None:
    """The attempt has succeeded, and all of its log has arrived."""
    observed = await coordinator.until_state(attempt_id, "succeeded", "failed", timeout_s=60)
    await until(lambda: attempt_id in coordinator.forgotten, 20)
    assert observed.state == "succeeded", f"{observed.error}: {build_log(coordinator, attempt_id)}"


async def test_a_task_runs_in_its_own_copy_of_the_code(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    bundle = await keep_code(tmp_path, train_py="print('trained')", sub__data_txt="x")
    await start_agent()
    script = (
        'pwd; echo "$OPSCONSOLE_BUNDLE_PATH $IRIS_BUNDLE_GCS_PATH"; echo changed >> sub/data.txt; echo new > new.txt'
    )
    for attempt_id in (A, B):
        coordinator.assign(attempt_id, "sh", "-c", script, bundle=bundle)
        await done(coordinator, attempt_id)
        work = tmp_path / "state" / "attempts" / attempt_id / "work"
        assert coordinator.log(attempt_id).decode().splitlines() == [str(work), f"{work} {bundle.content_id}"]
        assert (work / "sub" / "data.txt").read_text() == "xchanged\n", "nobody else's changes"
        assert sorted(path.name for path in work.iterdir()) == ["new.txt", "sub"], "what is as it came is removed"
    observed = coordinator.observed[A]
    assert observed.build_started_ms is not None
    assert observed.build_from_cache
    assert observed.note.startswith("what it left in")


async def test_a_task_that_changes_nothing_leaves_nothing(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    bundle = await keep_code(tmp_path, train_py="print('trained')", sub__data_txt="x")
    await start_agent()
    coordinator.assign(A, "test", "-f", "sub/data.txt", bundle=bundle)
    await done(coordinator, A)
    assert coordinator.observed[A].note == ""
    await until(lambda: not (tmp_path / "state" / "attempts" / A / "work" / "sub").exists())
    for attempt_id, brings in (B, bundle), (C, None):  # the last in the folder that was the one's before
        coordinator.assign(attempt_id, "true", bundle=brings)
        await done(coordinator, attempt_id)


async def test_uploads_are_inputs_by_their_names(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    folder = make_tree(tmp_path / "images", a_png="A", deep__b_png="B")
    await keep(tmp_path / "state", tmp_path / "images", folder)
    (tmp_path / "data.csv").write_text("1,2\n")
    file = scan_file(tmp_path / "data.csv")
    await keep(tmp_path / "state", tmp_path, file)
    uploads = (
        Upload(name="train.csv", content_id=file.content_id, size_bytes=4, files=1),
        Upload(name="pictures", content_id=folder.content_id, size_bytes=2, files=2, is_folder=True),
    )
    await start_agent()
    script = (
        'cat "$OPSCONSOLE_INPUT_0"; ls "$OPSCONSOLE_INPUT_1"; echo "$OPSCONSOLE_INPUTS" | wc -l;'
        "ls ../inputs; cat ../inputs/pictures/deep/b.png"
    )
    coordinator.assign(A, "sh", "-c", script, uploads=uploads)
    await done(coordinator, A)
    assert coordinator.log(A).decode().split() == ["1,2", "a.png", "deep", "2", "pictures", "train.csv", "B"]


async def test_an_upload_whose_name_leads_elsewhere_is_refused(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    bundle = await keep_code(tmp_path, a_txt="a")
    await start_agent()
    upload = Upload(name="../../x", content_id=bundle.content_id, size_bytes=1, files=1, is_folder=True)
    coordinator.assign(A, "true", uploads=(upload,))
    observed = await coordinator.until_state(A, "failed")
    assert "leads out" in observed.error


async def test_a_setup_runs_once_for_all_with_the_same_lock_files(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path, tools: dict[str, str]
) -> None:
    first = await keep_code(tmp_path, "one", requirements_txt="a", train_py="1")
    second = await keep_code(tmp_path, "two", requirements_txt="a", train_py="2")
    other = await keep_code(tmp_path, "three", requirements_txt="b", train_py="1")
    await start_agent(max_concurrent_jobs=3)
    setup = f'echo run >> {tmp_path}/runs; echo setting up; date +%N > "$OPSCONSOLE_SETUP_PATH/made"'
    for attempt_id, bundle in ((A, first), (B, second), (C, other)):
        coordinator.assign(attempt_id, "sh", "-c", SHOW, bundle=bundle, setup=setup, environment=tools)
    for attempt_id in (A, B, C):
        await done(coordinator, attempt_id)
    assert (tmp_path / "runs").read_text() == "run\nrun\n"
    assert coordinator.log(A) == coordinator.log(B) != coordinator.log(C)
    from_cache = {coordinator.observed[one].build_from_cache for one in (A, B)}
    assert from_cache == {True, False}
    assert "setting up" in build_log(coordinator, C)
    assert "is used again" in build_log(coordinator, A) + build_log(coordinator, B)


async def test_a_setup_finds_a_virtual_environment_and_tasks_run_with_it(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    bundle = await keep_code(tmp_path, mine_py="print('mine')")
    await start_agent()
    setup = 'python -c "import sys; print(sys.prefix)"; cp mine.py $(python -c "import site; print(site.getsitepackages()[0])")'
    for attempt_id in (A, B):
        coordinator.assign(
            attempt_id, "sh", "-c", "cd /; python -m mine; command -v python", bundle=bundle, setup=setup
        )
        await done(coordinator, attempt_id)
        said, path = coordinator.log(attempt_id).decode().split()
        assert said == "mine"
        assert path.startswith(str(tmp_path / "state" / "setups"))
    assert coordinator.observed[B].build_from_cache


async def test_what_a_setup_changes_in_the_code_is_there_for_the_next_task_with_that_code(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path, tools: dict[str, str]
) -> None:
    bundle = await keep_code(tmp_path, package_json="{}", main_js="1")
    other = await keep_code(tmp_path, "other", package_json="{}", main_js="2")
    await start_agent()
    setup = f"echo run >> {tmp_path}/runs; mkdir -p node_modules/a && cp main.js node_modules/a/"
    for attempt_id, code in ((A, bundle), (B, bundle), (C, other)):
        coordinator.assign(attempt_id, "cat", "node_modules/a/main.js", bundle=code, setup=setup, environment=tools)
        await done(coordinator, attempt_id)
    assert [coordinator.log(one).decode() for one in (A, B, C)] == ["1", "1", "2"]
    assert (tmp_path / "runs").read_text() == "run\nrun\n"


async def test_why_a_setup_failed_is_read_as_of_a_task_and_without_its_secrets(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path, tools: dict[str, str]
) -> None:
    bundle = await keep_code(tmp_path, requirements_txt="a")
    await start_agent()
    said = {
        A: (
            "ERROR: No matching distribution found for zz9",
            "there is no package zz9 for that worker's Python",
            "name",
        ),
        B: ("ERROR: https://ana:pa55@host/simple/$TOKEN is gone", "ERROR: https://…@host/simple/$TOKEN is gone", ""),
    }
    for attempt_id, (line, told, hint) in said.items():
        environment = {**tools, "TOKEN": "hunter2"}
        setup = f'echo "{line}"; exit 1'
        coordinator.assign(attempt_id, "true", bundle=bundle, setup=setup, environment=environment)
        observed = await coordinator.until_state(attempt_id, "failed")
        assert observed.error == f"the setup failed, exit code 1: {told} (its log has the source `build`)"
        assert hint in observed.hint
        assert bool(hint) == bool(observed.hint)


async def test_a_setup_that_fails_says_so_in_one_line_and_is_tried_again_by_the_next(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path, tools: dict[str, str]
) -> None:
    bundle = await keep_code(tmp_path, requirements_txt="a")
    await start_agent()
    setup = f'test -e {tmp_path}/ok || {{ echo "no such package: nonsense"; exit 3; }}; echo 1 > "$OPSCONSOLE_SETUP_PATH/made"'
    coordinator.assign(A, "true", bundle=bundle, setup=setup, environment=tools)
    observed = await coordinator.until_state(A, "failed")
    assert observed.error == "the setup failed, exit code 3: no such package: nonsense (its log has the source `build`)"
    assert observed.cause == "setup_failed"
    assert observed.started_at_ms is None
    await until(lambda: A in coordinator.forgotten)
    assert "no such package" in build_log(coordinator, A)
    assert not list((tmp_path / "state" / "setups").iterdir())
    (tmp_path / "ok").touch()
    coordinator.assign(B, "sh", "-c", SHOW, bundle=bundle, setup=setup, environment=tools)
    await done(coordinator, B)


async def test_of_a_setup_that_says_nothing_no_line_of_ours_is_shown_for_it(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path, tools: dict[str, str]
) -> None:
    bundle = await keep_code(tmp_path, requirements_txt="a")
    await start_agent()
    coordinator.assign(A, "true", bundle=bundle, setup="exit 3", environment=tools)
    observed = await coordinator.until_state(A, "failed")
    assert observed.error == "the setup failed, exit code 3, and it printed nothing (its log has the source `build`)"
    await until(lambda: "the setup runs: exit 3" in build_log(coordinator, A), 10)  # its log comes behind its end


async def test_a_setup_that_is_cancelled_ends_with_all_its_processes(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path, tools: dict[str, str]
) -> None:
    bundle = await keep_code(tmp_path, requirements_txt="a")
    await start_agent()
    coordinator.assign(
        A,
        "true",
        bundle=bundle,
        setup=f"sleep 1000 & echo $! > {tmp_path}/pid; echo waiting; sleep 1000",
        environment=tools,
    )
    await until(lambda: "\nwaiting" in build_log(coordinator, A), 30)
    assert coordinator.state(A) == "building"
    pid = int((tmp_path / "pid").read_text())
    coordinator.want(A, Mode.STOP, "cancelled by ana")
    await coordinator.until_state(A, "killed")
    await until(lambda: not Path(f"/proc/{pid}").exists())
    await until(lambda: not list((tmp_path / "state" / "setups").iterdir()))
    await until(lambda: not list((tmp_path / "state" / "logs").glob("*side*")))


async def test_a_setup_that_a_dead_agent_left_behind_is_ended_and_runs_again(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path, tools: dict[str, str]
) -> None:
    bundle = await keep_code(tmp_path, requirements_txt="a")
    first = await start_agent()
    setup = (
        f"if mkdir {tmp_path}/first 2>/dev/null; then echo $$ > {tmp_path}/pid; echo waiting; sleep 1000; fi;"
        f'echo again > "$OPSCONSOLE_SETUP_PATH/made"'
    )
    coordinator.assign(A, "sh", "-c", SHOW, bundle=bundle, setup=setup, environment=tools)
    await until(lambda: "\nwaiting" in build_log(coordinator, A), 30)
    pid = int((tmp_path / "pid").read_text())
    await first.crash()
    assert processes_below(tmp_path)
    await start_agent()
    await done(coordinator, A)
    assert coordinator.log(A).decode().split()[-1] == "again"
    await until(lambda: not Path(f"/proc/{pid}").exists())


async def test_outputs_without_an_output_path_are_kept_in_the_state_folder(
    coordinator: FakeCoordinator, start_agent: StartAgent, tmp_path: Path
) -> None:
    await start_agent()
    coordinator.assign(
        A, "sh", "-c", 'echo 12345 > "$OPSCONSOLE_OUTPUT_PATH/models/best"; touch "$OPSCONSOLE_OUTPUT_PATH/x"'
    )
    await done(coordinator, A)
    observed = coordinator.observed[A]
    assert observed.output_path == str(tmp_path / "state" / "outputs" / "jobs" / "j0b0000000")
    assert (observed.output_files, observed.output_bytes) == (2, 6)
    assert (Path(observed.output_path) / "models" / "best").read_text() == "12345\n"
    properties: dict[str, Any] = dict(coordinator.registers[0].properties)
    assert properties["io_paths"]["output"] is None, json.dumps(properties["io_paths"])


async def test_a_task_that_writes_more_results_than_it_may_is_ended(
    coordinator: FakeCoordinator, start_agent: StartAgent
) -> None:
    await start_agent(job_output_bytes=1 << 20)
    script = 'dd if=/dev/zero of="$OPSCONSOLE_OUTPUT_PATH/models/big" bs=1M count=3; sleep 1000'
    coordinator.assign(A, "sh", "-c", script)
    coordinator.assign(B, "sh", "-c", "sleep 1000", num_tasks=2, task_index=1)
    observed = await coordinator.until_state(A, "failed", timeout_s=30)
    assert observed.cause == "output_too_large"
    assert re.fullmatch(r"its results have [34]\.\d MB, and this worker allows a task 1\.0 MB .*", observed.error)
    assert coordinator.state(B) == "running"
