"""Workers: where their files are, who has the input, what a task uses, and taking one out of service."""

from pathlib import Path

import pytest

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec
from tests.process.lab import Lab


def test_folders_that_can_not_be_used_are_told_in_one_line(lab: Lab) -> None:
    lab.serve()
    (lab.folder / "file").touch()
    wrong = {
        "missing": ("--input-path", f"{lab.folder}/nowhere"),
        "file": ("--input-path", f"{lab.folder}/file"),
        "unwritable": ("--output-path", "/proc"),
    }
    agents = {name: lab.agent(name, *arguments, join=False) for name, arguments in wrong.items()}
    for name, arguments in wrong.items():
        assert lab.wait_ended(agents[name]) in {1, 2}
        said = lab.said(name)
        assert len(said.splitlines()) == 1, said
        assert arguments[1] in said
    assert lab.ask(lambda client: client.workers()) == []


@pytest.fixture
def shelves(lab: Lab) -> Lab:
    """Two workers with input folders; `data.csv` is on the second one only, and a link leads out of it."""
    lab.serve()
    for name in ("gpu-a", "gpu-b"):
        (lab.folder / name / "in").mkdir(parents=True)
        (lab.folder / name / "out").mkdir()
        lab.agent(
            name, "--input-path", f"{lab.folder}/{name}/in", "--output-path", f"{lab.folder}/{name}/out",
            "--filesystem", f"disk-{name}", join=False,
        )  # fmt: skip
    (lab.folder / "gpu-b/in/data.csv").write_text("1,2,3\n")
    (lab.folder / "secret").write_text("no")
    (lab.folder / "gpu-b/in/link").symlink_to(lab.folder / "secret")
    for name in ("gpu-a", "gpu-b"):
        lab.wait_connected(name)
    return lab


def test_a_job_runs_where_its_input_is(shelves: Lab) -> None:
    lab = shelves
    for name in ("gpu-a", "gpu-b"):
        paths = {"input": f"{lab.folder}/{name}/in", "output": f"{lab.folder}/{name}/out", "filesystem": f"disk-{name}"}
        assert lab.worker(name)["properties"]["io_paths"] == paths
    job_id = lab.submit("--input", "data.csv", "--", "sh", "-c", 'cat "$OPSCONSOLE_INPUT_PATH/data.csv"')
    done = lab.wait_state(job_id, "succeeded")
    assert done["worker"] == "gpu-b"
    assert done["output_path"] == f"{lab.folder}/gpu-b/out/jobs/{job_id}"
    lab.wait_lines(job_id, "1,2,3")
    answer = lab.ask(lambda client: client.run(client.client.candidates(JobSpec(command=("x",), inputs=("data.csv",)))))
    verdicts = {one.worker: one for one in answer.verdicts}
    assert "found, 6 B" in verdicts["gpu-b"].input
    assert "not found" in verdicts["gpu-a"].reason

    with pytest.raises(InvalidRequest, match="leads out"):  # no name of any file there: not left to wait (hard use 18)
        lab.give("true", inputs=("../secret",))
    waiting = {name: lab.give("true", inputs=(name,)) for name in ("missing.csv", "link", "/etc/passwd")}

    def reasons(job_id: str) -> dict[str, str]:
        why = lab.ask(lambda client: client.run(client.client.why(job_id)))
        return {one.worker: one.reason for one in why.verdicts}

    expected = {"missing.csv": "not found", "link": "leads out", "/etc/passwd": "no folder with"}
    for name, words in expected.items():
        lab.wait(lambda name=name, words=words: words in reasons(waiting[name])["gpu-b"], f"{name}: {words}")
    lab.wait(lambda: "not found" in lab.job(waiting["missing.csv"])["reason"], "the reason")
    assert all(lab.state(job_id) == "pending" for job_id in waiting.values())
    lab.act("cancel", *waiting.values())


def test_a_drained_worker_finishes_what_it_has_and_takes_nothing_new(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    running = lab.give("while [ ! -e $GO ]; do sleep 0.05; done", environment={"GO": f"{lab.folder}/go"})
    lab.wait_state(running, "running")
    lab.run("worker", "drain", "gpu-a")
    assert lab.worker("gpu-a")["status"] == "maintenance"
    waiting = lab.give("true")
    lab.wait(lambda: "maintenance" in lab.job(waiting)["reason"], "the reason")
    (lab.folder / "go").touch()
    lab.wait_state(running, "succeeded")
    assert lab.state(waiting) == "pending"
    lab.run("worker", "undrain", "gpu-a")
    lab.wait_state(waiting, "succeeded")
    assert lab.worker("gpu-a")["status"] == "available"
    assert any("maintenance" in event or "drain" in event for event in lab.events("gpu-a"))


def test_what_a_task_uses_is_shown_while_it_runs(house: Lab) -> None:
    script = (
        "import os, time; kept = bytearray(80 * 1024 * 1024); kept[::4096] = b'x' * len(kept[::4096]); os.fork()\n"
        "open('file', 'wb').write(bytes(20 * 1024 * 1024))\n"
        "end = time.time() + 60\n"
        "while time.time() < end: sum(range(10000)); time.sleep(0.005)"
    )
    job_id = house.give(["python3", "-c", script])

    def usage() -> dict[str, float]:
        return house.job(job_id)["tasks"][0]["resource_usage"] or {}

    house.wait(lambda: usage().get("current_memory_mb", 0) > 80 and usage().get("cpu_percent", 0) > 0, "its usage")
    house.wait(lambda: usage().get("disk_mb") or 0 >= 20, "its disk usage")
    used = usage()
    assert used["process_count"] == 2
    assert used["peak_memory_mb"] >= used["current_memory_mb"]
    assert used["gpu_memory_mb"] is None
    house.act("cancel", job_id)
    attempt = house.wait_state(job_id, "killed")["tasks"][0]["attempts"][0]
    assert attempt["peak_memory_mb"] >= 80
    assert attempt["cpu_seconds"] > 0


def test_a_workers_tags_and_properties_choose_it(house: Lab) -> None:
    worker = house.worker("gpu-a")
    properties = worker["properties"]
    assert properties.keys() >= {"hostname", "cpu_count", "memory_mb", "max_concurrent_jobs", "io_paths"}
    assert properties["max_concurrent_jobs"] == worker["max_concurrent_jobs"] == 4
    assert properties["hostname"] == Path("/proc/sys/kernel/hostname").read_text().strip()
    fits = house.give("true", requirements=(f"cpu_count>={properties['cpu_count']}", "max_concurrent_jobs=4"))
    much = house.give("true", requirements=(f"cpu_count>{properties['cpu_count']}",))
    house.wait_state(fits, "succeeded")
    house.wait(lambda: "cpu_count" in house.job(much)["reason"], "the reason")
    house.act("cancel", much)
