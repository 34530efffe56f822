"""Where jobs go, on real workers: folders and files that have to be there, who is next, and gangs that find each other
(hard use 13, 17, 18, 20, 34, 38, 43)."""

import socket
import sys
from pathlib import Path

from opsconsole_protocol.spec import Resources
from tests.process.lab import Lab, words

RENDEZVOUS = """
import os, socket
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    assert os.environ["OPSCONSOLE_PORT_MASTER"] == os.environ["OPSCONSOLE_GANG_PORT"]
    with socket.create_server((os.environ["OPSCONSOLE_BIND_HOST"], address[1])) as server:
        for _ in range(size - 1):
            server.accept()[0].sendall(b"hello")
else:
    for _ in range(10_000):
        try:
            with socket.create_connection(address, timeout=30) as found:
                print(found.recv(5).decode(), "from", rank, flush=True)
                break
        except ConnectionRefusedError:
            os.sched_yield()
"""
TAKEN = """
import os, socket, subprocess, sys
port = int(os.environ["OPSCONSOLE_PORT_HTTP"])
if os.environ["OPSCONSOLE_ATTEMPT_ID"] == "0":
    open(os.environ["MEET"], "w").write(str(port))  # the test takes it
    while not os.path.exists(os.environ["MEET"] + ".taken"):
        os.sched_yield()
with socket.create_server(("127.0.0.1", port)):
    print("mine")
"""


def test_a_gang_of_two_hosts_finds_its_first(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    lab.agent("gpu-b")
    job_id = lab.give((sys.executable, "-c", RENDEZVOUS), num_tasks=2, gang=True, ports=("master",))
    job = lab.wait_state(job_id, "succeeded", "failed")
    assert job["state"] == "succeeded", job
    assert {task["worker"] for task in job["tasks"]} == {"gpu-a", "gpu-b"}
    lab.wait(lambda: lab.lines(job_id, task=1) == ["hello from 1"], "the greeting")


def test_a_port_that_another_program_took_is_chosen_again(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    meet = lab.folder / "meet"
    job_id = lab.give((sys.executable, "-c", TAKEN), ports=("http",), environment={"MEET": str(meet)})
    lab.wait(lambda: meet.exists() and meet.read_text() != "", "the port that was chosen")
    with socket.create_server(("127.0.0.1", int(meet.read_text()))):
        Path(f"{meet}.taken").touch()
        job = lab.wait_state(job_id, "succeeded", "failed", "worker_failed")
    assert job["state"] == "succeeded"
    first, second = job["tasks"][0]["attempts"]
    assert first["error"] == f"port {meet.read_text()} was taken by another program: it is tried again with others"
    assert (first["state"], second["state"]) == ("worker_failed", "succeeded")


def test_a_job_goes_where_its_folder_and_its_file_are(lab: Lab) -> None:
    only_b, inputs = lab.folder / "onlyb", lab.folder / "in"
    inputs.mkdir()
    lab.serve()
    lab.agent("gpu-a", "--input-path", str(inputs))
    lab.agent("gpu-b")
    waiting = lab.submit("--workdir", str(only_b), "--worker", "gpu-a", "--worker", "gpu-b", *words("pwd"))
    lab.wait(lambda: "there is no such folder on this worker" in lab.job(waiting)["reason"], "a reason")
    only_b.mkdir()
    lab.wait_state(waiting, "succeeded")
    lab.wait_lines(waiting, str(only_b))
    refused = lab.run("submit", "--workdir", "relative", *words("pwd"), code=2).stderr
    assert "--workdir 'relative' is not absolute" in refused
    assert "contains a folder" in lab.run("submit", "--input", "./f.npy", *words("true"), code=2).stderr

    file = inputs / "f.npy"
    file.write_bytes(b"0" * 100)
    growing = lab.submit("--input", "f.npy", *words("wc -c < $OPSCONSOLE_INPUT_FILE"))
    size = 100

    def grow() -> bool:
        nonlocal size
        with file.open("ab") as handle:
            handle.write(b"0" * 100)
        size += 100
        return "is still growing" in lab.job(growing)["reason"]

    lab.wait(grow, "the file to be seen growing")
    assert lab.job(growing)["state"] == "pending"
    lab.wait_state(growing, "succeeded")
    lab.wait_lines(growing, str(size))


def test_who_is_next_gets_its_room_in_a_stream_of_small_tasks(lab: Lab) -> None:
    cpus = 2
    lab.serve()
    lab.agent("gpu-a", "--max-concurrent-jobs", str(cpus))
    total = lab.worker("gpu-a")["properties"]["cpus"]
    one, all_of_it = Resources(cpus=total / 2), Resources(cpus=total)
    lab.give("sleep 0.3", num_tasks=200, resources=one)
    lab.wait(lambda: lab.worker("gpu-a")["running_tasks"] == cpus, "the stream to flow")
    urgent = lab.give("true", resources=all_of_it, priority=100)
    lab.wait_state(urgent, "succeeded")
    stream = next(job for job in lab.rows("jobs") if job["id"] != urgent)
    assert stream["task_counts"].get("pending", 0) > 0, "it goes on"


def test_an_agent_of_one_project_takes_its_jobs_only(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a", "--project", "pose")
    other = lab.give("true")
    lab.wait(lambda: "takes jobs of project pose only" in lab.job(other)["reason"], "a reason")
    lab.wait_state(lab.give("true", project="pose"), "succeeded")
    assert lab.job(other)["state"] == "pending"
