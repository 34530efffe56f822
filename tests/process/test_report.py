"""What real tasks report, with the agent, the coordinator or the task killed in the middle: every point once."""

import http.client
import json
import shlex
import signal
import sys

from tests.process.lab import Lab

TRAIN = """
import opsconsole, os, sys, time
for step in range(300):
    opsconsole.report(step=step, loss=1 / (step + 1))
    opsconsole.progress(step + 1, 300)
    if step == 100:
        os.mkdir("step-100")
        opsconsole.checkpoint("step-100", step=100)
        opsconsole.note("half time")
        open(os.environ["REACHED"], "w").close()
        while not os.path.exists(os.environ["GO"]):
            time.sleep(0.02)
"""


def test_reports_survive_the_death_of_agent_and_coordinator(lab: Lab) -> None:
    lab.serve()
    port = lab.port
    lab.agent("gpu-a")
    reached, go = lab.folder / "report-reached", lab.folder / "report-go"
    job_id = lab.give(
        f"{shlex.quote(sys.executable)} -c {shlex.quote(TRAIN)}", environment={"REACHED": str(reached), "GO": str(go)}
    )
    lab.wait(reached.exists, "step 100")
    lab.wait(lambda: lab.ask(lambda client: client.show(job_id)).tasks[0].checkpoint is not None, "the checkpoint")
    lab.wait(lambda: lab.ask(lambda client: client.show(job_id)).job.advance is not None, "the progress")
    advance = lab.ask(lambda client: client.show(job_id)).job.advance
    assert advance is not None
    assert (advance.done, advance.total) == (101, 300)
    lab.kill(lab.processes["gpu-a"], signal.SIGKILL)
    lab.kill(lab.processes["serve"], signal.SIGKILL)
    go.touch()
    lab.serve(listen=f"127.0.0.1:{port}")
    lab.agent("gpu-a")
    lab.wait_state(job_id, "succeeded")
    (run,) = lab.ask(lambda client: client.metrics(job_id, ("loss",), points_max=10_000))
    (loss,) = run.metrics
    assert list(loss.x) == list(range(300))
    assert list(loss.y) == [1 / (step + 1) for step in range(300)]
    (found,) = lab.rows("show", job_id)
    assert found["tasks"][0]["metrics"] == {"loss": 1 / 300}
    assert found["tasks"][0]["checkpoint"]["step"] == 100
    assert [event for event in lab.events(f"{job_id}/task-0") if "half time" in event] == [
        f"task {job_id}/task-0: note: half time"
    ]
    table = lab.run("metrics", job_id).stdout.splitlines()
    assert table[1].split() == [f"{job_id}/task-0", "loss", "300", "299", "0.00333333", "0.00333333", "1", "report"]
    assert len(lab.run("metrics", job_id, "--csv", "-").stdout.splitlines()) == 301
    assert json.loads(lab.run("metrics", job_id, "--json").stdout)["values"][0] == 1
    shown = lab.run("show", job_id).stdout
    assert "Metrics:   loss 0.003333" in shown
    assert "Saved:     step 100, " in shown
    assert (found["metrics"], found["checkpoint"]["step"]) == ({"loss": 1 / 300}, 100)


CURL = """
import json, os, urllib.request
for step in range(5):
    request = urllib.request.Request(
        os.environ["OPSCONSOLE_API"] + "/metrics", json.dumps({"step": step, "loss": 1 / (step + 1)}).encode(), method="PUT",
        headers={"Authorization": "Bearer " + os.environ["OPSCONSOLE_JOB_TOKEN"]})
    urllib.request.urlopen(request).read()
print(os.environ["OPSCONSOLE_JOB_TOKEN"])
"""


def test_a_task_reports_by_http_and_its_token_dies_with_it(house: Lab) -> None:
    job_id = house.give((sys.executable, "-c", CURL))
    house.wait_state(job_id, "succeeded")
    (run,) = house.ask(lambda client: client.metrics(job_id, ("loss",)))
    assert run.metrics[0].x == (0, 1, 2, 3, 4)
    (token,) = house.lines(job_id)
    port = (house.state_dir("gpu-a") / "api_port").read_text()
    late = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    late.request("PUT", "/metrics", b'{"loss": 1}', {"Authorization": f"Bearer {token}"})
    answer = late.getresponse()
    assert answer.status == 401
    assert b"has ended" in answer.read()
    late.close()
    assert token not in house.said("gpu-a")
