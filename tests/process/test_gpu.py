"""GPUs that aren't there, through the real binding: shown, given to one task each, avoided when lost or taken."""

import re
from typing import Any

from tests.nvml import FakeGpus
from tests.process.lab import Lab

HOLD = 'echo "gpus: $CUDA_VISIBLE_DEVICES"; echo "pid: $$"; while [ ! -e "$GO" ]; do sleep 0.05; done'


def shown(lab: Lab, job_id: str, task: int, key: str) -> str:
    """What a task printed after `key: `."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [line.partition(": ")[2] for line in lab.lines(job_id, task=task) if line.startswith(f"{key}: ")]
        return bool(found)

    lab.wait(look, f"task {task} to print its {key}")
    return found[0]


def test_each_task_has_its_gpus_for_itself(lab: Lab) -> None:
    gpus = FakeGpus(lab.folder, count=4)
    gpus.set(0, memory_used_mb=2_048, utilization_percent=30, temperature_c=55, power_w=120.5)
    lab.serve()
    lab.agent("gpu-a", slots=None, environ=gpus.environment())
    row = lab.rows("workers")[0]
    assert len(row["gpus"]) == 4
    assert row["gpus"][0].items() >= {
        "index": 0, "uuid": gpus.gpus[0].uuid, "name": "NVIDIA Test 24GB", "memory_total_mb": 24_576,
        "memory_used_mb": 2_048, "utilization_percent": 30, "temperature_c": 55, "power_w": 120.5,
    }.items()  # fmt: skip
    assert row["max_concurrent_jobs"] == 4, "one slot per GPU"
    assert row["properties"].keys() >= {"gpu_model", "gpu_memory_mb", "gpu_count", "driver_version", "cuda_version"}

    go = {"GO": f"{lab.folder}/go"}
    pair = lab.submit("--gpus", "1", "--tasks", "2", "--env", f"GO={lab.folder}/go", "--", "sh", "-c", HOLD)
    given = [shown(lab, pair, index, "gpus") for index in range(2)]
    assert len(set(given)) == 2
    assert set(given) < {gpu.uuid for gpu in gpus.gpus}
    without = lab.give(HOLD, environment=go)
    assert shown(lab, without, 0, "gpus") == ""

    # One heartbeat later: a task's own process is shown as its own, a lost GPU as lost, a foreign process is avoided.
    free = [index for index, gpu in enumerate(gpus.gpus) if gpu.uuid not in given]
    used = next(index for index, gpu in enumerate(gpus.gpus) if gpu.uuid == given[0])
    gpus.process(used, int(shown(lab, pair, 0, "pid")), 4_000, 80)
    gpus.lose(free[0])
    gpus.process(free[1], 1, 9_000)
    now = lab.worker("gpu-a")["last_seen_ms"]
    lab.wait(lambda: gpu_of(lab, free[0])["state"] == "lost", "the GPU to be shown as lost")
    assert lab.worker("gpu-a")["last_seen_ms"] > now
    assert [user["attempt_id"] for user in gpu_of(lab, free[1])["processes"]] == [""]
    assert gpu_of(lab, used)["processes"][0]["attempt_id"] == lab.job(pair)["tasks"][0]["attempt_id"]
    assert lab.job(pair)["tasks"][0]["resource_usage"]["gpu_memory_mb"] == 4_000

    # What it holds is kept as a curve, and nothing of those that hold none.
    lab.wait(lambda: "memory_mb" in gpu_metrics(lab, f"{pair}/task-0"), "samples of its GPU")
    samples = {row["metric"]: row for row in lab.rows("metrics", f"{pair}/task-0", "--gpu")}
    assert samples["memory_mb"]["values"][-1] == gpus.gpus[used].memory_used_mb
    assert samples["memory_total_mb"]["last"] == 24_576
    assert samples["utilization_percent"]["last"] == gpus.gpus[used].utilization_percent
    assert lab.rows("metrics", without, "--gpu") == lab.rows("metrics", pair) == []

    third = lab.give(HOLD, environment=go, resources={"gpus": 1})
    lab.wait(lambda: "GPU" in lab.job(third)["reason"], "a reason")
    reason = lab.job(third)["reason"]
    assert f"GPU {free[0]} is lost" in reason
    assert re.search(rf"GPU {free[1]} is used by pid 1 \(.*, 9G\), which opsconsole didn't start", reason), reason
    too_many = lab.give("true", resources={"gpus": 8})
    lab.wait(lambda: "has 4 of the 8 GPUs needed" in lab.job(too_many)["reason"], "a reason")
    lab.act("cancel", too_many)
    gpus.recover(free[0])
    assert shown(lab, third, 0, "gpus") == gpus.gpus[free[0]].uuid
    (lab.folder / "go").touch()
    for job_id in (pair, without, third):
        lab.wait_state(job_id, "succeeded")


def test_tasks_share_a_gpu_by_memory_beside_a_foreign_process(lab: Lab) -> None:
    gpus = FakeGpus(lab.folder, count=1)
    gpus.process(0, 1, 9_000)
    lab.serve()
    lab.agent("gpu-a", slots=None, environ=gpus.environment())
    go = f"GO={lab.folder}/go"
    share = ("--gpu-memory", "6G", "--share")
    pair = lab.submit(*share, "--tasks", "2", "--env", go, "--", "sh", "-c", HOLD)
    assert [shown(lab, pair, index, "gpus") for index in range(2)] == [gpus.gpus[0].uuid] * 2
    late = lab.submit(*share, "--env", go, "--", "sh", "-c", HOLD)
    lab.wait(lambda: "to share" in lab.job(late)["reason"], "a reason")
    assert lab.job(late)["reason"].startswith(
        "gpu-a needs 6G of a GPU to share, none has that much left: GPU 0 has 3.2G of 24G left, shared by 2 tasks, used by pid 1 ("
    )
    gpus.process(0, int(shown(lab, pair, 0, "pid")), 7_000)
    lab.wait(lambda: any("asked for 6G" in line for line in lab.events()), "to be told of what it holds")
    gpus.end_process(1)
    assert shown(lab, late, 0, "gpus") == gpus.gpus[0].uuid
    assert "shared by 3, 5.2G left" in lab.run("workers").stdout
    (lab.folder / "go").touch()
    for job_id in (pair, late):
        lab.wait_state(job_id, "succeeded")


def gpu_metrics(lab: Lab, task_id: str) -> set[str]:
    """What was measured of a task's GPUs."""
    runs = lab.ask(lambda client: client.metrics(task_id, gpus=True))
    return {metric.name for run in runs for metric in run.gpus}


def gpu_of(lab: Lab, index: int) -> dict[str, Any]:
    """One GPU as the coordinator shows it."""
    found: dict[str, Any] = lab.worker("gpu-a")["gpus"][index]
    return found


def test_a_driver_that_fails_is_shown_and_hurts_nobody(lab: Lab) -> None:
    gpus = FakeGpus(lab.folder, count=1)
    gpus.driver(init=9)
    lab.serve()
    lab.agent("gpu-a", slots=None, environ=gpus.environment())
    worker = lab.worker("gpu-a")
    assert worker["gpus"] == []
    assert worker["gpu_message"]
    assert "Traceback" not in lab.said("gpu-a")
    job_id = lab.give("true")
    lab.wait_state(job_id, "succeeded")


def test_a_gpu_that_reports_broken_hardware_is_shown_and_gets_no_new_work(lab: Lab) -> None:
    gpus = FakeGpus(lab.folder, count=2)
    lab.serve()
    agent = lab.agent("gpu-a", environ=gpus.environment())
    one = {"resources": {"gpus": 1}}
    gpus.xid(0, 31)  # a program's own fault
    gpus.xid(1, 79)
    lab.wait(lambda: gpu_of(lab, 1)["state"] == "error", "the GPU to be shown as broken")
    assert gpu_of(lab, 0)["state"] == "ok"
    assert "GPU 1 reported Xid 79 on" in lab.worker("gpu-a")["attention"]
    assert "it has fallen off the bus: reset it" in lab.run("workers").stdout
    assert any("GPU 1 reported Xid 79" in line for line in lab.events("gpu-a"))

    bad = lab.give("exit 3", **one)
    assert lab.wait_state(bad, "failed")["tasks"][0]["error"] == "exit code 3"
    assert not lab.worker("gpu-a")["attention"].startswith("avoided"), "it ran on the good GPU"
    pair = lab.give("true", resources={"gpus": 2})
    lab.wait(lambda: "GPU 1 is in error: GPU 1 reported Xid 79" in lab.job(pair)["reason"], "a reason")

    agent.terminate()
    lab.wait_ended(agent)
    lab.agent("gpu-a", environ=gpus.environment())
    lab.wait_state(pair, "succeeded")
    assert gpu_of(lab, 1)["state"] == "ok", "a restarted agent takes the GPU for mended"


def test_a_failure_just_before_its_gpu_reports_broken_hardware_is_the_workers(lab: Lab) -> None:
    gpus = FakeGpus(lab.folder, count=1)
    lab.serve()
    lab.agent("gpu-a", environ=gpus.environment())
    job_id = lab.give("exit 1", resources={"gpus": 1})
    lab.wait_state(job_id, "failed")
    gpus.xid(0, 48)
    attention = "avoided after a failure on GPU 0, which is in trouble"
    lab.wait(lambda: lab.worker("gpu-a")["attention"] == attention, "the worker to be avoided")
