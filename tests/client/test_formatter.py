"""Jobs as other systems take them: the scripts are run, by the shell that would run them there."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from opsconsole import CommandLine, PythonFunction, RunAI, Slurm
from opsconsole.formatter import read_formatter
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec, Resources

HOSTILE = "a b'; touch /tmp/x $(id) \n#SBATCH --uid=0 {y}"


def run(script: str, folder: Path, **environ: str) -> str:
    done = subprocess.run(
        ["sh"], input=script, cwd=folder, env=dict(os.environ) | environ, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_command_line_has_every_value_quoted_and_runs_without_a_shell(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import sys, os; open(sys.argv[1], 'w').write(sys.argv[2] + os.environ['K'])"
    spec = JobSpec(command=("python3", "-c", code, str(out), "{x}"), environment={"K": HOSTILE})
    command = CommandLine().format(spec, {"x": HOSTILE})
    assert CommandLine().execute(command) == 0
    assert out.read_text() == 2 * HOSTILE
    assert CommandLine().execute(CommandLine().format(JobSpec(command=("sh", "-c", "exit 3")))) == 3
    with pytest.raises(InvalidRequest, match=r"write \{lr\} in the command"):
        CommandLine().format(JobSpec(command=("true",)), {"lr": 1})


def test_a_script_for_slurm_runs_each_task_s_command(tmp_path: Path) -> None:
    spec = JobSpec(
        command=("echo", "{n}"),
        num_tasks=2,
        task_commands=(("echo", "one"), ("printf", "%s", HOSTILE)),
        name=HOSTILE,
        workdir=str(tmp_path),
        resources=Resources(gpus=2, cpus=1.5, memory_mb=2048),
        timeout_ms=90_000,
        priority=3,
        environment={"K": HOSTILE},
    )
    script = Slurm().format(spec)
    directives = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    assert directives[1:6] == [
        "#SBATCH --array=0-1",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --mem=2048M",
        "#SBATCH --time=2",
    ]
    assert "# left out, see to it yourself: its priority" in script.splitlines()
    first = script.index("set -eu")
    assert "#SBATCH" not in script[:first].split("#SBATCH --time=2")[1], "nothing of the job's becomes a directive"
    assert run(script, tmp_path, SLURM_ARRAY_TASK_ID="0", SLURM_ARRAY_JOB_ID="7", SLURM_JOB_ID="8") == "one\n"
    assert run(script, tmp_path, SLURM_ARRAY_TASK_ID="1", SLURM_ARRAY_JOB_ID="7", SLURM_JOB_ID="9") == HOSTILE
    assert sorted(path.name for path in (tmp_path / "jobs" / "7").iterdir()) == ["task-0", "task-1"]


def test_a_variable_s_name_is_no_way_into_a_script() -> None:
    with pytest.raises(InvalidRequest, match="can't be set by a script"):
        Slurm().format(JobSpec(command=("true",), environment={"K; touch /tmp/x": "1"}))


def test_a_function_s_script_calls_it_with_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    script = Slurm().format(PythonFunction("sums:add"), {"a": 1, "b": 2})
    run(script, tmp_path, SLURM_JOB_ID="5")
    assert json.loads((tmp_path / "jobs/5/opsconsole-result.json").read_text())["value"] == 3


def test_a_command_for_run_ai() -> None:
    spec = JobSpec(
        command=("python", "train.py"),
        name="My job_1",
        project="pose",
        resources=Resources(gpus=1, memory_mb=512),
        environment={"K": "a b"},
    )
    text = RunAI("ubuntu:24.04").format(spec)
    assert shlex.split(text) == [
        "runai", "training", "submit", "my-job-1", "--project", "pose", "--image", "ubuntu:24.04",
        "--gpu-devices-request", "1", "--cpu-memory-request", "512Mi", "-e", "K=a b", "--command", "--", "python", "train.py",
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="runs one task"):
        RunAI("ubuntu").format(JobSpec(command=("true",), num_tasks=2))


@pytest.mark.parametrize("text", ["slurm=x", "runai", "runai=", "runai=a b", "runai=-x", "lsf", ""])
def test_a_form_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_formatter(text)
