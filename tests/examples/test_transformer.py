"""The transformer example with real PyTorch: paused by checkpoint, its worker killed, and finished by one that shares nothing with that."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.lab import Lab, lab
from tests.training_python import PYTHON, needs_training_python

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "transformer"
STEPS = 300
TOLERANCE = 1e-6
"""Of the final loss, about 1.36: how far a run that was paused may be from an undisturbed one. On a CPU they were always equal."""


@pytest.fixture(name="lab")
def _lab(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


def submit(lab: Lab, *arguments: str, sleep: float = 0) -> str:
    """The example with its code and data brought along: no worker has either."""
    script = f'exec "{PYTHON}" train.py --data "$OPSCONSOLE_INPUT_0" --steps {STEPS} --sleep {sleep}'
    sent = ("--bundle", str(EXAMPLE), "--upload", str(EXAMPLE / "sums.jsonl"), "--env", "OMP_NUM_THREADS=1")
    return lab.submit(*sent, *arguments, "--", "sh", "-c", script)


def loss(lab: Lab, job_id: str) -> float:
    (found,) = (
        match[1] for line in lab.lines(job_id) if (match := re.match(rf"final loss (\S+) after {STEPS} steps", line))
    )
    return float(found)


def curve(lab: Lab, job_id: str) -> dict[float, float]:
    runs = lab.ask(lambda client: client.metrics(job_id, ("loss",), points_max=10_000))
    return {x: y for run in runs for metric in run.metrics for x, y in zip(metric.x, metric.y, strict=True)}


@needs_training_python
@pytest.mark.process
@pytest.mark.timeout(600)
def test_a_paused_transformer_goes_on_elsewhere_and_ends_as_an_undisturbed_one(lab: Lab) -> None:
    began_s = time.monotonic()
    lab.serve()
    lab.agent("gpu-a", slots=1)
    job_id = submit(lab, "--pause-by", "checkpoint", sleep=0.05)
    lab.wait(lambda: len(curve(lab, job_id)) >= 5, "a curve while it runs", timeout_s=180)
    assert lab.state(job_id) == "running"
    lab.act("pause", job_id)
    paused = lab.wait_state(job_id, "paused", timeout_s=60)
    step = paused["tasks"][0]["checkpoint"]["step"]
    assert 50 <= step < STEPS

    lab.wait(lambda: lab.job(job_id)["tasks"][0]["checkpoint"]["copied"], "the coordinator's copy")
    for keeper in lab.keepers("gpu-a"):
        keeper.signal(signal.SIGKILL)
    lab.kill(lab.processes["gpu-a"], signal.SIGKILL)
    lab.state_dir("gpu-a").rename(lab.folder / "gone")
    lab.agent("gpu-b", slots=1)
    lab.act("resume", job_id)
    job = lab.wait_state(job_id, "succeeded", timeout_s=180)
    assert job["worker"] == "gpu-b"

    undisturbed = submit(lab)
    lab.wait_state(undisturbed, "succeeded", timeout_s=180)
    assert list(curve(lab, job_id)) == list(range(10, STEPS + 1, 10)), "every step once"
    difference = abs(loss(lab, job_id) - loss(lab, undisturbed))
    whole = curve(lab, undisturbed)
    others = [x for x, value in curve(lab, job_id).items() if abs(value - whole[x]) > TOLERANCE]
    print(f"paused at step {step:g}; final loss {loss(lab, job_id):.9f}, which differs by {difference:.1e}; ", end="")
    print(f"points of the curve that differ: {others}; {time.monotonic() - began_s:.0f} s")
    assert difference <= TOLERANCE
    # The Trainer's next value is the mean of what it has done since the pause, not of ten steps.
    assert others in ([], [10 * (step // 10 + 1)])
