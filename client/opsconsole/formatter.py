"""A job as other systems take it: a command line, a script for Slurm's sbatch, a command for Run:ai.

    text = Slurm().format(JobSpec(command=("python", "train.py", "--lr", "{lr}")), {"lr": 0.1})

Every value is quoted. What such a system has no word for is named in a comment, or refused where the job would be another without.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from opsconsole.function import PythonFunction
from opsconsole_protocol.api.template import fill, places
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec, check_fields, check_spec

_NAME_CHARACTERS_MAX = 60
_LEFT_OUT = {
    "uploads": "files that it brings along",
    "bundle": "its code",
    "setup": "its setup",
    "datasets": "its datasets",
    "inputs": "its inputs",
    "after": "the jobs that it comes after",
    "after_failure": "the jobs that it comes after if they fail",
    "after_any": "the jobs that it comes after when they end",
    "takes": "the jobs whose results it takes",
    "requirements": "what it requires of a worker",
    "worker": "the worker that it names",
    "workers": "the workers that it names",
    "ports": "its ports",
    "collect": "what is collected",
    "gang": "that its tasks start together",
    "max_retries_failure": "its retries",
    "priority": "its priority",
    "held": "that it is held",
    "resume_from": "what it goes on from",
    "max_retries_preemption": "how often it may be lost",
    "max_task_failures": "how many of its tasks may fail",
    "scheduling_timeout_ms": "how long it waits for a worker",
    "job_timeout_ms": "its limit over all tasks and retries",
    "grace_ms": "its grace period",
    "lost_after_ms": "when its worker counts as lost",
    "fence_after_ms": "that it is stopped without contact",
    "place": "where its tasks go first",
    "pause_by": "how it is paused",
    "pause_signal": "the signal that tells it to save a checkpoint",
    "save_within_ms": "how long it may take to save one",
    "metric_pattern": "how its metrics are found",
}
"""What none of these systems is told, by its field."""


class Formatter(ABC):
    """Makes the text by which another system runs a task, and hands it over."""

    left_out: ClassVar[Mapping[str, str]] = _LEFT_OUT
    """What the system isn't told, by its field, in words."""

    @abstractmethod
    def text(self, spec: JobSpec) -> str:
        """A job whose parameters are filled in, as this system takes it. Raises InvalidRequest."""

    @abstractmethod
    def execute(self, command: str) -> int:
        """Hand over what `format` made and return the exit code. Blocks. Raises OSError where the program isn't here."""

    def format(self, task: JobSpec | PythonFunction, parameters: Mapping[str, Any] | None = None) -> str:
        """A job as this system takes it, `parameters` filled in where `{name}` stands in its command; of a function they are its arguments.

        Raises InvalidRequest for what can't be right, and for a parameter that has no place.
        """
        if isinstance(task, PythonFunction):
            function = PythonFunction(task.function, parameters, job=task.job) if parameters else task
            if function.needs_file:
                raise InvalidRequest(
                    f"the arguments of {function.function} are too long for a text: give them in a file"
                )
            spec = function.spec()
        else:
            spec = _filled(task, parameters or {})
        spec = check_fields(spec)
        check_spec(spec)
        return self.text(spec)

    def _comments(self, spec: JobSpec) -> list[str]:
        """What isn't told to the other system."""
        default = JobSpec(command=spec.command)
        names = [words for name, words in self.left_out.items() if getattr(spec, name) != getattr(default, name)]
        if spec.resources.share:
            names.append("sharing a GPU (--share)")
        elif spec.resources.gpu_memory_mb:
            names.append("how much memory its GPUs have")
        return [f"# left out, see to it yourself: {', '.join(names)}"] if names else []


class CommandLine(Formatter):
    """One line for a shell: `env K=V … CMD`. `execute` runs it here, without a shell."""

    def text(self, spec: JobSpec) -> str:
        """See Formatter."""
        if spec.num_tasks > 1:
            raise InvalidRequest(
                f"a command line runs one task, and this job has {spec.num_tasks:,}: choose one of them"
            )
        return shlex.join((*_env(spec.environment), *spec.command_of(0)))

    def execute(self, command: str) -> int:
        """See Formatter."""
        return _exit_code(subprocess.run(shlex.split(command), check=False).returncode)


class Slurm(Formatter):
    """A script for sbatch, with an array for several tasks. `execute` submits it and waits: the exit code is the job's.

    Its tasks find OPSCONSOLE_TASK_INDEX, _NUM_TASKS and _OUTPUT_PATH: `jobs/ID/`, or `jobs/ID/task-N/`, below the folder that it is
    submitted in.
    """

    left_out: ClassVar[Mapping[str, str]] = {**_LEFT_OUT, "project": "its project"}

    def text(self, spec: JobSpec) -> str:
        """See Formatter."""
        resources = spec.resources
        options = [f"--job-name={_plain_name(spec)}"]
        most = f"%{spec.max_parallel}" if spec.max_parallel is not None else ""
        options += [f"--array=0-{spec.num_tasks - 1}{most}"] if spec.num_tasks > 1 else []
        options += [f"--gpus-per-node={resources.gpus_asked}"] if resources.gpus_asked else []
        options += [f"--cpus-per-task={-int(-resources.cpus // 1)}"] if resources.cpus else []
        options += [f"--mem={resources.memory_mb}M"] if resources.memory_mb else []
        options += [f"--time={-(-spec.timeout_ms // 60_000)}"] if spec.timeout_ms else []
        lines = ["#!/bin/sh", *(f"#SBATCH {option}" for option in options), *self._comments(spec), "set -eu"]
        for key, value in spec.environment.items():
            if not key.isascii() or not key.isidentifier():
                raise InvalidRequest(f"{key[:40]!r} can't be set by a script: give the variable a plain name")
            lines.append(f"export {key}={shlex.quote(value)}")
        lines.append('export OPSCONSOLE_TASK_INDEX="${SLURM_ARRAY_TASK_ID:-0}"')
        lines.append(f"export OPSCONSOLE_NUM_TASKS={spec.num_tasks}")
        own = "/task-$OPSCONSOLE_TASK_INDEX" if spec.num_tasks > 1 else ""
        job = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}"
        lines.append(f'export OPSCONSOLE_OUTPUT_PATH="$PWD/jobs/{job}{own}"')
        lines.append('mkdir -p "$OPSCONSOLE_OUTPUT_PATH"')
        if spec.workdir is not None:
            home, rest = ('"$HOME"', spec.workdir[1:]) if spec.workdir.startswith("~") else ("", spec.workdir)
            lines.append(f"cd -- {home}{shlex.quote(rest) if rest else ''}")
        if spec.task_commands:
            lines.append('case "$OPSCONSOLE_TASK_INDEX" in')
            lines += [f"{index}) exec {shlex.join(words)} ;;" for index, words in enumerate(spec.task_commands)]
            lines.append("esac")
        else:
            lines.append(f"exec {shlex.join(spec.command)}")
        return "\n".join(lines) + "\n"

    def execute(self, command: str) -> int:
        """See Formatter."""
        return _exit_code(subprocess.run(("sbatch", "--wait"), input=command, text=True, check=False).returncode)


class RunAI(Formatter):
    """A command for Run:ai's command line. `image`: the container that the task runs in.

    `execute` only submits: the exit code says whether Run:ai took the workload, not how that ended.
    """

    left_out: ClassVar[Mapping[str, str]] = {**_LEFT_OUT, "timeout_ms": "its time-out"}

    def __init__(self, image: str) -> None:
        if not image or image.startswith("-") or any(sign.isspace() for sign in image):
            raise InvalidRequest(f"{image[:60]!r} is no container image: give one, as in pytorch/pytorch:latest")
        self.image = image

    def text(self, spec: JobSpec) -> str:
        """See Formatter."""
        if spec.num_tasks > 1:
            raise InvalidRequest(
                f"a Run:ai workload runs one task, and this job has {spec.num_tasks:,}: choose one of them"
            )
        resources = spec.resources
        words = [
            "runai",
            "training",
            "submit",
            _plain_name(spec).lower().replace("_", "-").replace(".", "-"),
        ]
        words += ["--project", spec.project, "--image", self.image]
        words += ["--gpu-devices-request", str(resources.gpus_asked)] if resources.gpus_asked else []
        words += ["--cpu-core-request", f"{resources.cpus:g}"] if resources.cpus else []
        words += ["--cpu-memory-request", f"{resources.memory_mb}Mi"] if resources.memory_mb else []
        words += ["--working-dir", spec.workdir] if spec.workdir is not None else []
        for key, value in spec.environment.items():
            words += ["-e", f"{key}={value}"]
        line = shlex.join((*words, "--command", "--", *spec.command_of(0)))
        return "\n".join((*self._comments(spec), line)) + "\n"

    def execute(self, command: str) -> int:
        """See Formatter."""
        return _exit_code(subprocess.run(shlex.split(command, comments=True), check=False).returncode)


def read_formatter(text: str) -> Formatter:
    """`shell`, `slurm` or `runai=IMAGE`. Raises InvalidRequest."""
    name, _, image = text.partition("=")
    if text == "shell":
        return CommandLine()
    if text == "slurm":
        return Slurm()
    if name == "runai" and image:
        return RunAI(image)
    raise InvalidRequest(f"{text[:60]!r} is no form for a job: shell, slurm or runai=IMAGE")


def _filled(spec: JobSpec, parameters: Mapping[str, Any]) -> JobSpec:
    for name in parameters:
        if name not in places(spec.command):
            raise InvalidRequest(f"write {{{name}}} in the command where the value of {name} goes")
    return replace(spec, command=fill(spec.command, parameters)) if parameters else spec


def _env(environment: Mapping[str, str]) -> tuple[str, ...]:
    return ("env", *(f"{key}={value}" for key, value in environment.items())) if environment else ()


def _plain_name(spec: JobSpec) -> str:
    """The job's title in signs that no system minds."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", spec.title).strip("-.")[:_NAME_CHARACTERS_MAX] or "job"


def _exit_code(returncode: int) -> int:
    """As a shell would say it."""
    return 128 - returncode if returncode < 0 else returncode
