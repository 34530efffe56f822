"""Results that the coordinator keeps (`--collect`): real agents send them when the job ends, and they outlive the worker."""

import signal
import subprocess
from pathlib import Path
from typing import Any

from opsconsole_protocol import api
from opsconsole_protocol.file_listing import PartQuery
from opsconsole_protocol.stream.message import FileRoot, RootKind
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
    listed = lab.run("ls", job_id)
    assert listed.stdout == "task-0/\ntask-1/\n"
    assert "what the coordinator has collected of task-0, task-1 can be had" in listed.stderr
    assert lab.run("ls", f"{job_id}/task-1:models").stdout == "a.pt\n"
    assert lab.run("ls", f"{job_id}/task-1", "--find", "*.pt").stdout == "models/a.pt\n"
    root = FileRoot(kind=RootKind.OUTPUT, job_id=job_id, task_index=1)
    read = api.ReadFilePart(query=PartQuery(root=root, path=b"models/a.pt", offset=2))
    part = lab.ask(lambda client: client.run(client.client.request(read)))
    assert isinstance(part, api.FilePartAnswer)
    assert part.part.data == b"ights\n"
    lab.run("get", job_id, "models/*", "--to", str(tmp_path / "all"))
    assert len(list((tmp_path / "all").glob("task-*/models/a.pt"))) == 2
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
