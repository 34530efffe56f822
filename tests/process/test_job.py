"""A job from the command line to a process on a worker and back, on real processes."""

import json
import re

from tests.process.lab import Lab, words


def test_a_job_runs_and_its_log_comes_back(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    done = lab.run("submit", "--follow", "--name", "hello", *words("echo out; echo err >&2; exit 3"), code=3)
    assert done.stdout.splitlines() == ["out"]
    job = lab.rows("jobs")[0]
    assert (job["name"], job["state"], job["worker"], job["num_tasks"]) == ("hello", "failed", "gpu-a", 1)
    assert re.fullmatch("[0-9a-z]+", job["id"])
    shown = lab.job(job["id"][:4])
    task = shown["tasks"][0]
    assert task["id"] == f"{job['id']}/task-0"
    assert (task["exit_code"], task["error"], task["attempt"], task["worker"]) == (3, "exit code 3", 0, "gpu-a")
    assert task["started_at_ms"] <= task["finished_at_ms"]
    assert lab.run("logs", job["id"], "--source", "stderr").stderr.splitlines() == ["err"]
    kinds = [event["kind"] for event in shown["events"]]
    assert kinds.index("submitted") < kinds.index("assigned") < kinds.index("failed")


def test_submit_prints_the_id_alone_and_wait_tells_the_end(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    job_id = lab.submit(*words("exit 0"))
    assert re.fullmatch("[0-9a-hjkmnp-tv-z]{10}", job_id)
    assert lab.run("wait", job_id).returncode == 0
    assert lab.run("submit", "--wait", *words("kill -TERM $$"), code=143).stdout.strip()
    assert lab.run("wait", lab.submit(*words("exit 7")), code=1).returncode == 1


def test_a_task_finds_its_place_in_the_environment(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    job_id = lab.submit("--tasks", "2", "--env", "COLOUR=blue", "--", "env")
    lab.run("wait", job_id)
    text = lab.run("logs", job_id, "--task", "1").stdout
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


def test_a_command_that_does_not_exist_is_told_in_words(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    job_id = lab.submit("--", "no-such-program", "--at-all")
    task = lab.wait_state(job_id, "failed")["tasks"][0]
    assert "no-such-program" in task["error"]
    assert "not found" in task["error"]


def test_slots_are_never_exceeded(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a", slots=2)
    script = "d=$LAB/running; mkdir -p $d; touch $d/$OPSCONSOLE_TASK_INDEX; ls $d | wc -l; sleep 0.2; rm $d/$OPSCONSOLE_TASK_INDEX"
    job_id = lab.submit("--tasks", "8", *words(script))
    lab.run("wait", job_id)
    counts = [int(lab.run("logs", job_id, "--task", str(index)).stdout) for index in range(8)]
    assert max(counts) == 2


def test_higher_priority_first_then_first_come(lab: Lab) -> None:
    lab.serve()
    ids = [
        lab.submit("--priority", priority, "--name", name, *words(f"echo {name} >> $LAB/order"))
        for name, priority in (("a", "0"), ("b", "5"), ("c", "0"), ("d", "9"))
    ]
    lab.agent("gpu-a", slots=1)
    lab.run("wait", *ids)
    assert (lab.folder / "order").read_text().split() == ["d", "b", "a", "c"]


def test_a_waiting_job_says_why(lab: Lab) -> None:
    lab.serve()
    job_id = lab.submit(*words("true"))
    assert "no worker has joined" in lab.run("why", job_id).stdout
    lab.agent("gpu-a", "--tag", "zone=a")
    lab.run("wait", job_id)
    far = lab.submit("--require", "zone=b", *words("true"))
    lab.wait(lambda: "zone" in lab.job(far)["reason"], "a reason")
    why = lab.run("why", far).stdout
    assert "gpu-a" in why
    assert "zone" in why
    gpu = lab.submit("--gpus", "1", *words("true"))
    lab.wait(lambda: "GPU" in lab.job(gpu)["reason"], "a reason")
    lab.run("cancel", far, gpu)
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
    job_id = lab.submit(*words('echo "$OPSCONSOLE_OUTPUT_PATH"; ls "$OPSCONSOLE_OUTPUT_PATH"'))
    lab.run("wait", job_id)
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
    assert lab.run("logs", job_id).stdout.split() == [job["output_path"], "logs", "models"]
    text = lab.run("workers").stdout
    assert "vast" in text
    assert "Place your files here" in text


def test_the_same_submission_twice_is_one_job(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    first = json.loads(lab.run("submit", "--json", *words("true")).stdout.splitlines()[0])
    assert first["id"]
    assert len(lab.rows("jobs")) == 1


def test_an_unknown_id_is_one_clear_line(lab: Lab) -> None:
    lab.serve()
    unknown = lab.run("show", "zzzz", code=1)
    assert "no job zzzz" in unknown.stderr
    assert len(unknown.stderr.splitlines()) == 1
    assert lab.run("show", "not/an/id", code=2).stderr.count("\n") == 1
