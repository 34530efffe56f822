"""A Python process as a worker: it leaves when nothing waits, and finishes its task when it is told to leave."""

import signal
import subprocess
import sys

from opsconsole import SyncClient
from opsconsole_protocol.spec import JobSpec
from tests.process.lab import Lab

_WORK = """
import sys, opsconsole
with opsconsole.SyncClient.connect() as client:
    client.work("pose", poll_interval=0.1, run_forever=sys.argv[1] == "forever", name="here", tell=print)
print("done")
"""


def start(lab: Lab, how: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _WORK, how],
        env=lab.environ,
        cwd=lab.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_it_leaves_when_nothing_waits_and_finishes_its_task_when_told_to_leave(lab: Lab) -> None:
    lab.serve()
    client = lab.ask(lambda client: client)
    client.set_project("pose", create=True)
    jobs = client.submit([JobSpec(command=("true",), project="pose") for _ in range(3)])
    said, _ = start(lab, "until-empty").communicate(timeout=60)
    assert said.endswith("done\n"), said
    assert {row.state for row in client.wait(*(row.id for row in jobs))} == {"succeeded"}

    slow = 'while [ ! -e "$LAB/end" ]; do sleep 0.05; done'
    (first, second) = client.submit([JobSpec(command=("sh", "-c", slow), project="pose", name=name) for name in "ab"])
    process = start(lab, "forever")
    try:
        lab.wait(lambda: client.show(first.id).job.state == "running", "the first task")
        process.send_signal(signal.SIGTERM)
        lab.wait(lambda: status(client) == "maintenance", "the worker's wish to leave")
        (lab.folder / "end").touch()
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "leaves when 1 task has ended" in said
    assert said.endswith("done\n"), said
    assert client.wait(first.id)[0].state == "succeeded"
    assert client.show(second.id).job.state == "pending"

    said, _ = start(lab, "until-empty").communicate(timeout=60)  # it wants tasks again
    assert said.endswith("done\n"), said
    assert client.wait(second.id)[0].state == "succeeded"


def test_an_agent_leaves_when_nothing_of_its_project_waits(lab: Lab) -> None:
    lab.serve()
    client = lab.ask(lambda client: client)
    client.set_project("pose", create=True)
    mine = client.submit([JobSpec(command=("true",), project="pose") for _ in range(3)])
    (others,) = client.submit([JobSpec(command=("true",))])
    state_dir = str(lab.state_dir("gpu-a"))
    lab.run("agent", "--name", "gpu-a", "--state-dir", state_dir, "--project", "pose", "--exit-when-empty")
    assert {row.state for row in client.jobs(project="pose")} == {"succeeded"}
    assert len(mine) == 3
    assert client.show(others.id).job.state == "pending"


def status(client: SyncClient) -> str:
    (row,) = client.workers()
    return row.status


def test_one_that_is_told_to_leave_while_the_coordinator_is_away_waits_to_tell_it_what_ended(lab: Lab) -> None:
    """Else that would be run again elsewhere."""
    lab.serve()
    port = lab.port
    lab.ask(lambda client: client.set_project("pose", create=True))
    once = 'echo once >>"$LAB/ran"; while [ ! -e "$LAB/end" ]; do sleep 0.05; done; echo over >>"$LAB/ran"'
    job_id = lab.give(once, project="pose")
    process = start(lab, "forever")
    assert process.stdout is not None
    try:
        lab.wait((lab.folder / "ran").exists, "the task")
        lab.kill(lab.processes["serve"])
        process.send_signal(signal.SIGTERM)
        (lab.folder / "end").touch()
        said = ""
        while "isn't reported yet" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        lab.serve(listen=f"127.0.0.1:{port}")
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert said.endswith("done\n"), said
    assert lab.wait_state(job_id, "succeeded")["tasks"][0]["attempt"] == 0
    assert (lab.folder / "ran").read_text() == "once\nover\n"
