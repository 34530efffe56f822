"""The ten faults of a worker for trainings that this one was told of before it was built: each with a test of its name."""

import os
import sys
from importlib.metadata import requires
from pathlib import Path

from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.spec import PauseBy
from tests.agent.dataset.dataset_lab import CSV, JSON, JSON_LINES, described, parquet_bytes, write
from tests.process.lab import Lab
from tests.seen_process import is_alive

SLOTS = 4
"""Of the house's one worker."""
STATUSES = (EventKind.SUBMITTED, EventKind.ASSIGNED, EventKind.RUNNING, EventKind.SUCCEEDED, EventKind.FINISHED)
WAIT = 'echo up; while ! [ -e "$GO" ]; do sleep 0.02; done'


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


def test_fault_1_every_status_is_reported(house: Lab, tmp_path: Path) -> None:
    job_id = house.give(WAIT, environment={"GO": str(tmp_path / "go")})
    house.wait_state(job_id, "running")
    (tmp_path / "go").touch()
    job = house.wait_state(job_id, "succeeded")
    kinds = [event["kind"] for event in sorted(job["events"], key=lambda event: event["seq"])]
    assert [kind for kind in kinds if kind in STATUSES] == list(STATUSES)
    assert job["finished_at_ms"] >= job["started_at_ms"]


def test_fault_2_there_is_no_task_without_a_token_and_no_report_without_one(house: Lab) -> None:
    code = """
import http.client, os
place = os.environ["OPSCONSOLE_API"].partition("//")[2]
host, _, path = place.partition("/")
for token in (os.environ["OPSCONSOLE_JOB_TOKEN"], "", os.environ["OPSCONSOLE_JOB_TOKEN"][:-1] + "!"):
    one = http.client.HTTPConnection(host, timeout=10)
    one.request("PUT", f"/{path}/metrics".replace("//", "/"), b'{"loss": 1}', {"Authorization": f"Bearer {token}"} if token else {})
    print(one.getresponse().status, flush=True)
"""
    job_id = house.give(python(code), num_tasks=2)
    house.wait_state(job_id, "succeeded")
    for task in (0, 1):
        assert house.lines(job_id, task=task) == ["200", "401", "401"]


def test_fault_3_every_format_of_a_dataset_is_known(tmp_path: Path) -> None:
    files = {"a.csv": CSV, "a.json": JSON, "a.jsonl": JSON_LINES, "a.parquet": parquet_bytes()}
    write(tmp_path, files)
    found = {name: described(tmp_path / name) for name in files}
    assert {one.rows for one in found.values()} == {3}
    assert len({one.columns for one in found.values()}) == 1
    assert [one.format for one in found.values()] == ["csv", "json", "json_lines", "parquet"]


def test_fault_4_resume_goes_on_and_restarts_nothing(house: Lab) -> None:
    code = """
import opsconsole, os, sys, time
first = int(open(opsconsole.resume_from()).read()) + 1 if opsconsole.resume_from() else 0
for step in range(first, 10):
    print(step, flush=True)
    while step == 4 and not opsconsole.should_pause():
        time.sleep(0.02)
    if opsconsole.should_pause():
        path = os.path.join(os.environ["OPSCONSOLE_OUTPUT_PATH"], "state")
        open(path, "w").write(str(step))
        opsconsole.checkpoint(path, step=step)
        sys.exit(opsconsole.PAUSED_EXIT_CODE)
"""
    job_id = house.give(python(code), pause_by=PauseBy.CHECKPOINT)
    house.wait_lines(job_id, *map(str, range(5)))
    house.act("pause", job_id)
    house.wait_state(job_id, "paused")
    house.act("resume", job_id)
    house.wait_state(job_id, "succeeded")
    assert house.lines(job_id) == [str(step) for step in range(5, 10)], "the second attempt has the rest alone"


def test_fault_5_cancel_ends_the_processes(house: Lab) -> None:
    job_id = house.give(
        "trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' & echo $$ $!; wait", grace_ms=200
    )
    house.wait(lambda: house.lines(job_id), "the tree")
    pids = [int(word) for word in house.lines(job_id)[0].split()]
    assert all(is_alive(pid) for pid in pids)
    house.act("cancel", job_id)
    house.wait_state(job_id, "killed")
    assert not any(is_alive(pid) for pid in pids)


def test_fault_6_what_is_printed_is_captured_while_it_runs(house: Lab, tmp_path: Path) -> None:
    job_id = house.give(f"echo out; echo err >&2; {WAIT}", environment={"GO": str(tmp_path / "go")})
    house.wait(lambda: sorted(house.lines(job_id)) == ["err", "out", "up"], "both streams")
    assert house.state(job_id) == "running"
    (tmp_path / "go").touch()
    house.wait_state(job_id, "succeeded")


def test_fault_7_every_credential_is_used(house: Lab) -> None:
    job_id = house.give("env")
    house.wait_state(job_id, "succeeded")
    names = {line.partition("=")[0] for line in house.lines(job_id)} - set(os.environ)
    assert [name for name in names if any(word in name for word in ("TOKEN", "KEY", "SECRET", "PASSWORD"))] == [
        "OPSCONSOLE_JOB_TOKEN"
    ]  # which fault 2 shows to be asked for


def test_fault_8_nvml_is_a_dependency_and_a_worker_without_gpu_works(house: Lab) -> None:
    assert any(one.startswith("nvidia-ml-py>=12.535") for one in requires("opsconsole") or ())
    job_id = house.give(python("import os; print(repr(os.environ.get('CUDA_VISIBLE_DEVICES', '')))"))
    house.wait_state(job_id, "succeeded")
    assert house.worker("gpu-a")["gpus"] == []


def test_fault_9_no_more_run_at_once_than_may(house: Lab, tmp_path: Path) -> None:
    job_id = house.give(WAIT, num_tasks=SLOTS, environment={"GO": str(tmp_path / "go")})
    further = house.give("true", num_tasks=2)
    house.wait(
        lambda: sum(task["state"] == "running" for task in house.job(job_id)["tasks"]) == SLOTS, "all slots taken"
    )
    assert [task["state"] for task in house.job(further)["tasks"]] == ["pending", "pending"]
    why = house.run("why", further).stdout
    assert f"is full: {SLOTS} of {SLOTS} slots taken" in why
    assert f"({job_id}, {SLOTS} tasks)" in why, "who holds them is named"
    (tmp_path / "go").touch()
    house.wait_state(further, "succeeded")
    house.wait_state(job_id, "succeeded")


def test_fault_10_an_error_reaches_whoever_asks(house: Lab) -> None:
    job_id = house.give(python("raise ValueError('the learning rate is negative')"))
    job = house.wait_state(job_id, "failed")
    (task,) = job["tasks"]
    assert (task["exit_code"], "the learning rate is negative" in task["error"]) == (1, True)
    assert any("the learning rate is negative" in event for event in house.events(f"{job_id}/task-0"))
