"""Pauses by checkpoint with real tasks: what they held is free, and they go on where they were, also on another worker."""

import shlex
import signal
import sys

from opsconsole_protocol.spec import PauseBy
from tests.process.lab import Lab

TRAIN = """
import opsconsole, os, sys, time
total, done = 0, -1
came_from = opsconsole.resume_from()
if came_from:
    step, total = open(os.path.join(came_from, "state.txt")).read().split()
    done, total = int(step), int(total)
print("from", done + 1, flush=True)
for step in range(done + 1, 200):
    total += step
    opsconsole.report(step=step, total=total)
    if opsconsole.should_pause():
        folder = os.path.join(os.environ["OPSCONSOLE_OUTPUT_PATH"], "models", f"step-{step}")
        os.makedirs(folder)
        with open(os.path.join(folder, "state.txt"), "w") as file:
            file.write(f"{step} {total}")
        opsconsole.checkpoint(folder, step=step)
        sys.exit(opsconsole.PAUSED_EXIT_CODE)
    if step == 50:
        open(os.environ["REACHED"], "w").close()
        while not (opsconsole.should_pause() or os.path.exists(os.environ["GO"])):
            time.sleep(0.02)
print("total", total)
"""

ON_SIGNAL = """
import opsconsole, signal, sys
def save(number, frame):
    print("signal", signal.Signals(number).name, opsconsole.should_pause(), flush=True)
    sys.exit(opsconsole.PAUSED_EXIT_CODE)
signal.signal(signal.SIGUSR1, save)
print("up", flush=True)
while True:
    signal.pause()
"""


def test_a_signal_asks_for_the_checkpoint_as_well_and_reaches_the_first_process_alone(house: Lab) -> None:
    child = "trap 'echo child' USR1; echo child is up; while :; do sleep 0.05; done"
    first = f"{shlex.quote(sys.executable)} -c {shlex.quote(ON_SIGNAL)}"
    job_id = house.give(f"sh -c {shlex.quote(child)} & exec {first}", pause_by=PauseBy.CHECKPOINT, pause_signal="USR1")
    house.wait(lambda: sorted(house.lines(job_id)) == ["child is up", "up"], "both processes")
    house.act("pause", job_id)
    job = house.wait_state(job_id, "paused")
    said = house.lines(job_id)
    assert "signal SIGUSR1 True" in said
    assert "child" not in said
    assert "made way" in " ".join(event["text"] for event in job["events"])
    house.act("cancel", job_id)
    house.wait_state(job_id, "killed")


LATE = """
import opsconsole, signal, sys, time
print("starts", flush=True)
while not opsconsole.should_pause():
    time.sleep(0.02)
time.sleep(0.5)  # it still imports what it needs
def save(number, frame):
    print("saved", flush=True)
    sys.exit(opsconsole.PAUSED_EXIT_CODE)
signal.signal(signal.SIGUSR1, save)
while True:
    signal.pause()
"""


def test_a_task_that_is_asked_by_a_signal_before_it_catches_it_saves_once_it_does(house: Lab) -> None:
    """Who has just begun to import what it needs isn't ended by that signal."""
    job_id = house.give([sys.executable, "-c", LATE], pause_by=PauseBy.CHECKPOINT, pause_signal="USR1")
    house.wait_lines(job_id, "starts")
    house.act("pause", job_id)
    house.wait_state(job_id, "paused")
    house.wait_lines(job_id, "starts", "saved")
    house.act("cancel", job_id)
    house.wait_state(job_id, "killed")


def test_a_training_goes_on_where_it_was_on_a_worker_that_shares_nothing_with_the_first(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a", slots=1)
    reached, go = lab.folder / "checkpoint-reached", lab.folder / "checkpoint-go"
    job_id = lab.give(
        f"{shlex.quote(sys.executable)} -c {shlex.quote(TRAIN)}",
        environment={"REACHED": str(reached), "GO": str(go)},
        pause_by=PauseBy.CHECKPOINT,
    )
    lab.wait(reached.exists, "step 50")
    assert "paused by" in lab.run("pause", job_id).stdout
    lab.wait_state(job_id, "paused")
    # It holds nothing: the one slot of its worker is free for somebody else.
    other = lab.submit("--", "true")
    lab.wait_state(other, "succeeded")
    (found,) = lab.rows("show", job_id)
    step = found["checkpoint"]["step"]
    assert found["state"] == "paused"
    lab.kill(lab.processes["gpu-a"], signal.SIGKILL)
    lab.agent("gpu-b")
    go.touch()
    lab.act("resume", job_id)
    job = lab.wait_state(job_id, "succeeded", timeout_s=90)
    assert job["worker"] == "gpu-b"
    assert lab.lines(job_id)[-2:] == [f"from {step + 1:g}", f"total {sum(range(200))}"]
    (run,) = lab.ask(lambda client: client.metrics(job_id, ("total",), points_max=10_000))
    assert list(run.metrics[0].x) == list(range(200)), "every step once"
    assert list(run.metrics[0].y)[-1] == sum(range(200))


def test_a_training_makes_way_for_what_is_urgent_and_goes_on_where_it_was(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a", slots=1)
    assert (
        "make way for higher priority bands"
        in lab.run("project", "set", "lab", "--create", "--preemptible", "yes").stdout
    )
    reached, go = lab.folder / "checkpoint-reached", lab.folder / "checkpoint-go"
    training = lab.give(
        f"{shlex.quote(sys.executable)} -c {shlex.quote(TRAIN)}",
        environment={"REACHED": str(reached), "GO": str(go)},
        pause_by=PauseBy.CHECKPOINT,
        project="lab",
        max_retries_preemption=0,
    )
    lab.wait(reached.exists, "step 50")
    urgent = lab.submit("--priority", "100", "--", "true")
    lab.wait_state(urgent, "succeeded")
    go.touch()
    job = lab.wait_state(training, "succeeded")
    assert f"makes way for job {urgent} of priority 100" in " ".join(event["text"] for event in job["events"])
    assert lab.lines(training)[-2:] == ["from 52", f"total {sum(range(200))}"]
