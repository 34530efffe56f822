"""Unchanged scripts: what they print gives progress and curves, each point once, with the agent killed in the middle."""

import signal
import sys

from tests.process.lab import Lab

WAIT = """
import os, sys, time
def pause():
    open(os.environ["REACHED"], "w").close()
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.02)
"""
TQDM = (
    WAIT
    + """
from tqdm import tqdm
for epoch in range(3):
    with tqdm(total=100, desc="train", mininterval=0) as bar:
        for step in range(100):
            bar.set_postfix(loss=1 / (1 + epoch * 100 + step), refresh=False)
            bar.update()
            if (epoch, step) == (1, 40):
                pause()
"""
)
PRINTS = (
    WAIT
    + """
for epoch in range(1, 4):
    for step in range(100):
        print(f"INFO epoch {epoch} step {(epoch - 1) * 100 + step} loss={1 / (1 + step)} retries=3", flush=True)
        if (epoch, step) == (2, 40):
            pause()
    print(f"Epoch {epoch}/3 val_loss: {epoch}", flush=True)
"""
)


def _killed_in_the_middle(lab: Lab, script: str) -> str:
    lab.serve()
    lab.agent("gpu-a")
    reached, go = lab.folder / "reached", lab.folder / "go"
    job_id = lab.give((sys.executable, "-c", script), environment={"REACHED": str(reached), "GO": str(go)})
    lab.wait(reached.exists, "half of the script")
    lab.wait(lambda: lab.ask(lambda client: client.show(job_id)).job.advance is not None, "the progress")
    lab.kill(lab.processes["gpu-a"], signal.SIGKILL)
    go.touch()
    lab.agent("gpu-a")
    lab.wait_state(job_id, "succeeded")
    return job_id


def test_a_script_with_bars_has_curves_and_progress(lab: Lab) -> None:
    job_id = _killed_in_the_middle(lab, TQDM)
    (run,) = lab.ask(lambda client: client.metrics(job_id, ("loss",), points_max=10_000))
    (loss,) = run.metrics
    assert loss.is_recognised
    assert list(loss.x) == list(range(1, 301))
    assert [round(one, 4) for one in loss.y[:3]] == [1, 0.5, 0.333]
    assert loss.points == 300
    assert "(as printed)" in lab.run("show", job_id).stdout
    assert lab.run("metrics", job_id).stdout.splitlines()[1].split()[-1] == "output"


def test_a_script_that_prints_has_curves_and_progress(lab: Lab) -> None:
    job_id = _killed_in_the_middle(lab, PRINTS)
    (run,) = lab.ask(lambda client: client.metrics(job_id, ("loss", "val_loss"), points_max=10_000))
    found = {one.name: one for one in run.metrics}
    assert set(found) == {"loss", "val_loss"}
    assert list(found["loss"].x) == list(range(300))
    assert found["loss"].points == 300
    assert list(found["val_loss"].y) == [1, 2, 3]


def test_what_a_task_reports_itself_is_left_to_it(house: Lab) -> None:
    script = (
        "import opsconsole\n"
        "for step in range(20):\n"
        "    print(f'step={step} loss={step + 100} acc={step}', flush=True)\n"
        "    opsconsole.report(step=step, loss=step)\n"
    )
    job_id = house.give((sys.executable, "-c", script))
    house.wait_state(job_id, "succeeded")
    (run,) = house.ask(lambda client: client.metrics(job_id, ("loss", "acc")))
    found = {one.name: one for one in run.metrics}
    assert (list(found["loss"].y), found["loss"].is_recognised) == (list(range(20)), False)
    assert (list(found["acc"].y), found["acc"].is_recognised) == (list(range(20)), True)


def test_an_operators_pattern_finds_metrics(house: Lab) -> None:
    script = "for n in range(5): print(f'<{n}> verlust {n / 2} loss=9')"
    pattern = r"<(?P<step>\d+)> verlust (?P<verlust>\S+)"
    job_id = house.submit("--metric-pattern", pattern, "--", sys.executable, "-c", script)
    house.wait_state(job_id, "succeeded")
    (run,) = house.ask(lambda client: client.metrics(job_id, ("verlust",)))
    assert [(one.name, list(one.x), list(one.y)) for one in run.metrics] == [
        ("verlust", [0, 1, 2, 3, 4], [0, 0.5, 1, 1.5, 2])
    ]
