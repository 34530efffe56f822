"""Results that the coordinator keeps (`--collect`): real agents send them when the job ends, and they outlive the worker."""

import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.process.lab import Lab

SCRIPT = (
    "mkdir -p $OPSCONSOLE_OUTPUT_PATH/models && echo weights > $OPSCONSOLE_OUTPUT_PATH/models/a.pt"
    " && echo big > $OPSCONSOLE_OUTPUT_PATH/checkpoint.bin"
)


def collected(lab: Lab, job_id: str, task: int = 0) -> dict[str, Any]:
    """What the coordinator says of a task's results."""
    found = lab.job(job_id)["tasks"][task].get("collected")
    return found if isinstance(found, dict) else {}


def stop(lab: Lab, name: str) -> None:
    process: subprocess.Popen[bytes] = lab.processes[name]
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def test_collected_results_can_be_had_without_their_worker_and_after_a_restart(lab: Lab, tmp_path: Path) -> None:
    server = lab.serve()
    lab.agent("gpu-a")
    job_id = lab.give(SCRIPT, collect=("models/*",), num_tasks=2)
    lab.wait_state(job_id, "succeeded")
    for task in range(2):
        lab.wait(lambda task=task: collected(lab, job_id, task).get("state") == "kept", "the results")
        assert collected(lab, job_id, task)["files"] == 1
    stop(lab, "gpu-a")
    lab.kill(server)
    lab.serve()
    for task in range(2):
        lab.run("get", f"{job_id}/task-{task}", "--to", str(tmp_path / f"out-{task}"))
        files = [path for path in (tmp_path / f"out-{task}").rglob("*") if path.is_file()]
        assert [(path.name, path.read_text()) for path in files] == [("a.pt", "weights\n")]


def test_a_job_that_leaves_nothing_to_collect_has_nothing_kept(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    job_id = lab.give("true", collect=("models/*",))
    lab.wait_state(job_id, "succeeded")
    lab.wait(lambda: collected(lab, job_id).get("state") == "kept", "the end of it")
    assert collected(lab, job_id).get("content_id") is None
