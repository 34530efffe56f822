"""A job from the command line to a process on a worker and back, on real processes."""

import json
import re

from tests.process.lab import Lab, words


def test_a_job_runs_and_its_log_comes_back(house: Lab) -> None:
    done = house.run("submit", "--follow", "--name", "hello", *words("echo out; echo err >&2; exit 3"), code=3)
    assert done.stdout.splitlines() == ["out"]
    (job,) = (row for row in house.rows("jobs") if row["name"] == "hello")
    assert (job["name"], job["state"], job["worker"], job["num_tasks"]) == ("hello", "failed", "gpu-a", 1)
    assert re.fullmatch("[0-9a-z]+", job["id"])
    shown = house.job(job["id"][:4])
    task = shown["tasks"][0]
    assert task["id"] == f"{job['id']}/task-0"
    assert (task["exit_code"], task["error"], task["attempt"], task["worker"]) == (3, "exit code 3", 0, "gpu-a")
    assert task["started_at_ms"] <= task["finished_at_ms"]
    assert house.run("logs", job["id"], "--source", "stderr").stderr.splitlines() == ["err"]
    kinds = [event["kind"] for event in shown["events"]]
    assert kinds.index("submitted") < kinds.index("assigned") < kinds.index("failed")


def test_submit_prints_the_id_alone_and_wait_tells_the_end(house: Lab) -> None:
    job_id = house.submit(*words("exit 0"))
    assert re.fullmatch("[0-9a-hjkmnp-tv-z]{10}", job_id)
    assert house.run("wait", job_id).returncode == 0
    assert house.run("submit", "--wait", *words("kill -TERM $$"), code=143).stdout.strip()
    assert house.run("wait", house.submit(*words("exit 7")), code=1).returncode == 1


def test_a_task_finds_its_place_in_the_environment(house: Lab) -> None:
    job_id = house.submit("--tasks", "2", "--env", "COLOUR=blue", "--", "env")
    house.wait_state(job_id, "succeeded")
    text = house.run("logs", job_id, "--task", "1").stdout
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    for prefix in ("OPSCONSOLE_", "IRIS_"):
        assert found[f"{prefix}JOB_ID"] == job_id
        assert found[f"{prefix}TASK_ID"] == f"{job_id}/task-1"
        assert (found[f"{prefix}TASK_INDEX"], found[f"{prefix}NUM_TASKS"]) == ("1", "2")
        assert found[f"{prefix}ATTEMPT_ID"] == "0"
        assert found[f"{prefix}WORKER_ID"]
    assert found["COLOUR"] == "blue"
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert "OPSCONSOLE_TOKEN" not in found


def test_a_command_that_does_not_exist_is_told_in_words(house: Lab) -> None:
    job_id = house.submit("--", "no-such-program", "--at-all")
    task = house.wait_state(job_id, "failed")["tasks"][0]
    assert "no-such-program" in task["error"]
    assert "not found" in task["error"]


def test_slots_are_never_exceeded(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a", slots=2)
    script = "d=$LAB/running; mkdir -p $d; touch $d/$OPSCONSOLE_TASK_INDEX; ls $d | wc -l; sleep 0.2; rm $d/$OPSCONSOLE_TASK_INDEX"
    job_id = lab.give(script, num_tasks=8)
    lab.wait_state(job_id, "succeeded")
    lab.wait(lambda: all(lab.lines(job_id, task=index) for index in range(8)), "what all have printed")
    counts = [int(*lab.lines(job_id, task=index)) for index in range(8)]
    assert max(counts) == 2


def test_higher_priority_first_then_first_come(lab: Lab) -> None:
    lab.serve()
    ids = [
        lab.give(f"echo {name} >> $LAB/order", priority=priority, name=name)
        for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 9))
    ]
    lab.agent("gpu-a", slots=1)
    for job_id in ids:
        lab.wait_state(job_id, "succeeded")
    assert (lab.folder / "order").read_text().split() == ["d", "b", "a", "c"]


def test_a_waiting_job_says_why(lab: Lab) -> None:
    lab.serve()
    job_id = lab.give("true")
    assert "no worker has joined" in lab.run("why", job_id).stdout
    lab.agent("gpu-a", "--tag", "zone=a")
    lab.wait_state(job_id, "succeeded")
    far = lab.submit("--require", "zone=b", *words("true"))
    lab.wait(lambda: "zone" in lab.job(far)["reason"], "a reason")
    why = lab.run("why", far).stdout
    assert "gpu-a" in why
    assert "zone" in why
    gpu = lab.give("true", resources={"gpus": 1})
    lab.wait(lambda: "GPU" in lab.job(gpu)["reason"], "a reason")
    lab.act("cancel", far, gpu)
    assert lab.state(far) == lab.state(gpu) == "killed"


def test_json_has_the_fields_of_the_contract(lab: Lab) -> None:
    lab.serve()
    (lab.folder / "in").mkdir()
    (lab.folder / "out").mkdir()
    lab.agent(
        "gpu-a",
        "--input-path",
        str(lab.folder / "in"),
        "--output-path",
        str(lab.folder / "out"),
        "--filesystem",
        "vast",
    )
    worker = lab.rows("workers")[0]
    assert set(worker) >= {
        "id", "name", "status", "connection", "tags", "properties", "gpus", "running_tasks", "last_seen_ms",
    }  # fmt: skip
    paths = {"input": str(lab.folder / "in"), "output": str(lab.folder / "out"), "filesystem": "vast"}
    assert worker["properties"]["io_paths"] == paths
    assert (worker["status"], worker["connection"]) == ("available", "connected")
    job_id = lab.give('echo "$OPSCONSOLE_OUTPUT_PATH"; ls "$OPSCONSOLE_OUTPUT_PATH"')
    lab.wait_state(job_id, "succeeded")
    job = lab.rows("show", job_id)[0]
    assert set(job) >= {
        "id", "name", "project", "state", "reason", "priority", "num_tasks", "task_counts", "worker", "output_path",
        "submitted_by", "created_at_ms", "started_at_ms", "finished_at_ms", "tasks", "events",
    }  # fmt: skip
    assert job["task_counts"] == {"succeeded": 1}
    assert set(job["tasks"][0]) >= {
        "id", "index", "state", "exit_code", "error", "worker", "attempt", "attempt_id", "started_at_ms",
        "finished_at_ms", "resource_usage", "attempts",
    }  # fmt: skip
    assert job["output_path"] == f"{lab.folder}/out/jobs/{job_id}"
    lab.wait_lines(job_id, job["output_path"], "logs", "models")
    text = lab.run("workers").stdout
    assert "vast" in text
    assert "Place your files here" in text


def test_the_same_submission_twice_is_one_job(house: Lab) -> None:
    before = house.ask(lambda client: client.jobs())
    first = json.loads(house.run("submit", "--json", *words("true")).stdout.splitlines()[0])
    assert first["id"] not in {row.id for row in before}
    assert len(house.ask(lambda client: client.jobs())) == len(before) + 1


def test_an_unknown_id_is_one_clear_line(house: Lab) -> None:
    unknown = house.run("show", "zzzz", code=1)
    assert "no job zzzz" in unknown.stderr
    assert len(unknown.stderr.splitlines()) == 1
    assert house.run("show", "not/an/id", code=2).stderr.count("\n") == 1
