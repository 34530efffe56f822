"""Why real programs failed is told in words, with a hint, and without a secret."""

import sys
from typing import Any

from tests.process.lab import Lab

CHAINED = """
import os

def load(config):
    try:
        return config["lr"]
    except KeyError as error:
        raise RuntimeError(f"no learning rate for {os.environ['API_KEY']}") from error

print("loading", flush=True)
load({})
"""
POOL = """
import concurrent.futures, importlib

def work(name):
    return importlib.import_module(name)

if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        pool.submit(work, "no_such_module").result()
"""
CAUGHT = """
import sys, traceback

def shard(number):
    raise ValueError("bad shard")

try:
    shard(3)
except ValueError:
    traceback.print_exc()
print("skipping shard 3", file=sys.stderr)
print("all other shards done", file=sys.stderr)
sys.exit(3)
"""
CRASH = "import faulthandler, os; faulthandler.enable(); os.kill(os.getpid(), 11)"


def failed(lab: Lab, script: str, **fields: Any) -> dict[str, Any]:
    """The task of a job that runs this Python script, from a file as people do."""
    file = lab.folder / "train.py"
    file.write_text(script)
    task: dict[str, Any] = lab.wait_state(lab.give((sys.executable, str(file)), **fields), "failed")["tasks"][0]
    return task


def test_scripts_that_fail_say_why_and_what_to_do(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    task = failed(lab, CHAINED, environment={"API_KEY": "hunter2"})
    told = "exit code 1: RuntimeError: no learning rate for $API_KEY (from KeyError: 'lr') (train.py, line 8)"
    assert (task["error"], task["cause"]) == (told, "exit_code")
    assert lab.lines(task["id"])[0] == "loading", "the log has all of it"

    task = failed(lab, POOL)
    assert task["error"] == "exit code 1: no module named no_such_module (train.py, line 5)"
    assert "--setup" in task["hint"]
    [event] = [text for text in lab.events(task["id"]) if "failed" in text]
    assert event.endswith(f"failed on gpu-a: {task['error']}; {task['hint']}")
    shown = lab.run("show", task["id"].partition("/")[0]).stdout
    assert f"Hint:      {task['hint']}\n" in shown
    assert task["error"] in shown

    task = failed(lab, CAUGHT)
    assert (task["error"], task["hint"]) == ("exit code 3", ""), "what was caught isn't blamed"

    task = failed(lab, CRASH)
    assert task["error"] == "killed by signal 11 (SIGSEGV): Python crashed: Segmentation fault"

    job_id = lab.give(("bash", "-c", "echo begun\nno-such-program --now\n"))
    task = lab.wait_state(job_id, "failed")["tasks"][0]
    assert task["error"] == "exit code 127: command not found: no-such-program"
    assert (task["cause"], task["exit_code"]) == ("command_not_found", 127)
