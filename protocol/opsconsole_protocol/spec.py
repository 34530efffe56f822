"""The spec of a job: what its submitter says."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from opsconsole_protocol import requirement
from opsconsole_protocol.bound import (
    COMMAND_BYTES_MAX,
    COMMAND_WORDS_MAX,
    ENVIRONMENT_BYTES_MAX,
    ID_CHARACTERS_MAX,
    INPUTS_MAX,
    NAME_CHARACTERS_MAX,
    PATH_CHARACTERS_MAX,
    PORTS_MAX,
    PROJECT_CHARACTERS_MAX,
    VARIABLES_MAX,
    WHOLE_MAX,
    PortName,
    check_count,
    check_length,
    check_tree,
    cut,
)
from opsconsole_protocol.dataset import JobDataset, check_datasets, is_url
from opsconsole_protocol.dependency import Dependency, End, read_dependency, renamed
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.input_name import check_input
from opsconsole_protocol.job_content import Bundle, Upload, check_contents
from opsconsole_protocol.name import check_name
from opsconsole_protocol.pattern import compile_pattern
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.title import shared_word, title_of
from opsconsole_protocol.validation_error import request_text

NUM_TASKS_MAX = 100_000
PRIORITY_MAX = 1_000_000
RETRIES_MAX = 1_000_000
GPUS_OF_TASK_MAX = 1_024
"""More than any worker has. A job that asks for more than there are waits, and each worker says why."""
CPUS_MAX = 100_000
MEMORY_MB_MAX = 1 << 40
AFTER_MAX = 10_000
TAKES_MAX = 100
WORKERS_MAX = 1_000
DURATION_MS_MAX = 10_000_000_000_000
FENCE_AFTER_MIN_MS = 10_000
"""Two heartbeats: from an idle coordinator an agent hears once a heartbeat, and a fence must not take that for silence."""

REPEAT = "repeat"
"""The parameter that tells the repeats of one point from each other. It needs no place in the command: tasks find it in their environment."""

DEFAULT_PROJECT = "default"
"""That of jobs that name none."""

PAUSE_SIGNALS = ("USR1", "USR2", "HUP", "INT", "TERM")

Count = Annotated[int, Meta(ge=0, le=RETRIES_MAX)]
Milliseconds = Annotated[int, Meta(ge=0, le=DURATION_MS_MAX)]


class PauseBy(StrEnum):
    """How a running task is paused."""

    FREEZE = "freeze"
    """Its processes are stopped where they are; they keep their memory, that of GPUs too."""
    CHECKPOINT = "checkpoint"
    """It is asked to save a checkpoint and to end with exit code 85; then it holds nothing, and goes on from there."""


class Place(StrEnum):
    """Which of the workers that would do tasks go to."""

    PACK = "pack"
    """The fullest, so that others stay free for those who need much."""
    SPREAD = "spread"
    """The least full, and tasks of one job to different ones where that can be."""


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one task needs for itself, beside a slot of its worker. Memory in MiB; `gpu_memory_mb` is for each GPU.

    With `share` a task takes so much of each GPU's memory, and others that share may have the rest. Without it a GPU is for one
    task, and `gpu_memory_mb` is what it must have at least.
    """

    gpus: Annotated[int, Meta(ge=0, le=GPUS_OF_TASK_MAX)] | None = None
    """None: one where GPU memory is asked for, else none."""
    cpus: Annotated[float, Meta(ge=0, le=CPUS_MAX)] = 0
    memory_mb: Annotated[int, Meta(ge=0, le=MEMORY_MB_MAX)] = 0
    gpu_memory_mb: Annotated[int, Meta(ge=0, le=MEMORY_MB_MAX)] = 0
    share: bool = False

    @property
    def gpus_asked(self) -> int:
        """How many GPUs a task gets: asking for GPU memory is asking for a GPU."""
        return self.gpus if self.gpus is not None else 1 if self.gpu_memory_mb else 0

    @property
    def share_mb(self) -> int:
        """How much of each GPU's memory a task takes that shares them; 0 where it has them for itself."""
        return self.gpu_memory_mb if self.share else 0


class JobSpec(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A job as it is submitted. `command` is an argument list, run without a shell.

    What was once stored has to stay readable, so a new limit goes to `check_bounds` and not into the type.
    """

    command: Annotated[tuple[str, ...], Meta(min_length=1, max_length=COMMAND_WORDS_MAX)]
    """Of a sweep: with `{name}` where the values of its parameters go, so that tasks can be added."""
    name: Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)] = ""
    project: Annotated[str, Meta(min_length=1, max_length=PROJECT_CHARACTERS_MAX)] = DEFAULT_PROJECT
    num_tasks: Annotated[int, Meta(ge=1, le=NUM_TASKS_MAX)] = 1
    priority: Annotated[int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0
    worker: str | None = None
    workers: tuple[str, ...] = ()
    """Any of these will do; `worker`, where it is given, counts as one more."""
    requirements: tuple[str, ...] = ()
    resources: Resources = Resources()
    inputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """`JOB`, `JOB/task-3`, or `JOB:*` for each task the same of that job: it starts only once these have succeeded."""
    max_retries_failure: Count = 0
    max_retries_preemption: Count = 100
    max_task_failures: Count | None = None
    """How many tasks may fail before the rest are ended; None: any number. A gang is ended by its first failed task."""
    max_parallel: Annotated[int, Meta(ge=1, le=NUM_TASKS_MAX)] | None = None
    """How many of its tasks may run at a time; None: as many as there is room for."""
    timeout_ms: Milliseconds | None = None
    scheduling_timeout_ms: Milliseconds | None = None
    job_timeout_ms: Milliseconds | None = None
    """The limit of the whole job from its first start, over all tasks and retries. It doesn't count while all that lives is paused."""
    grace_ms: Milliseconds = 5_000
    lost_after_ms: Milliseconds = 60_000
    fence_after_ms: Milliseconds | None = None
    workdir: str | None = None
    """A folder on the worker, from `/` or from `~/`, the home of its user. The job runs only on workers that have it."""
    environment: dict[str, str] = {}
    ports: tuple[PortName, ...] = ()
    template: str | None = None
    template_version: Annotated[int, Meta(ge=1, le=WHOLE_MAX)] | None = None
    """Which version of its template it is made from; None: the newest one, which the coordinator fills in."""
    parameters: tuple[dict[str, Any], ...] = ()
    """For a template or a sweep: the values of each task, in the order of their indices."""
    task_commands: tuple[tuple[str, ...], ...] = ()
    """For a sweep: each task's own argument list. Without them every task runs `command`."""
    held: bool = False
    gang: bool = False
    """All tasks start at once or none does, and none goes on without the others."""
    uploads: tuple[Upload, ...] = ()
    """Files and folders from the submitter's machine. A task finds them after its `inputs`."""
    bundle: Bundle | None = None
    """The code, in a copy of which every task runs."""
    setup: str = ""
    """A line for the worker's shell, run once a worker in the bundle's folder before the first task with it."""
    collect: tuple[str, ...] = ()
    """Patterns of result files that the coordinator keeps once the job has ended."""
    pause_by: PauseBy = PauseBy.FREEZE
    """How its tasks are paused unless whoever does it says otherwise."""
    pause_signal: str = ""
    """The signal that tells a task to save a checkpoint, beside the flag: `USR1`; empty: none."""
    save_within_ms: Milliseconds = 300_000
    """How long saving a checkpoint for a pause may take before an operator is told that it hasn't."""
    resume_from: str | None = None
    """A file or folder on the worker from which its first attempts go on, until one has saved a checkpoint of its own."""
    metric_pattern: str = ""
    """Finds metrics in the lines that its tasks print: named groups are metrics, `step`, or `done` of `total`."""
    after_failure: tuple[str, ...] = ()
    """Written as `after`: it starts only once these have ended, none of them well."""
    after_any: tuple[str, ...] = ()
    """Written as `after`: it starts only once these have ended, well or not."""
    takes: tuple[str, ...] = ()
    """`JOB` or `JOB:NAME`: it starts only once these have succeeded, and finds what was collected of them after its uploads."""
    place: Place | None = None
    """None: as its project says."""
    datasets: tuple[JobDataset, ...] = ()
    """What its tasks read with `opsconsole.load_dataset()`: looked at on the worker, and refused there if broken, before a task starts."""

    @property
    def title(self) -> str:
        """The job's name, or else the template's, or else that of the program or script that does the work in the command."""
        return cut(self.name or self.template or title_of(self._shared_command()), NAME_CHARACTERS_MAX)

    @property
    def datasets_there(self) -> tuple[str, ...]:
        """Those of its datasets that have to lie on its worker, as inputs do: neither a URL nor one of its uploads."""
        if not self.datasets:
            return ()
        brought = {upload.name for upload in self.uploads} | {one.name or one.job for one in self.taken}
        return tuple(one.where for one in self.datasets if not is_url(one.where) and one.where not in brought)

    @property
    def named_workers(self) -> tuple[str, ...]:
        """The names or ids of the workers that it may run on; empty: on any."""
        return self.workers if self.worker is None else tuple(dict.fromkeys((self.worker, *self.workers)))

    def _shared_command(self) -> tuple[str, ...]:
        """The command. That of a sweep has the names of its parameters in place of their values."""
        if len(self.task_commands) < 2:
            return self.command_of(0)
        first, last = (
            self.task_commands[0],
            self.task_commands[-1],
        )  # they differ in every parameter that has two values
        if len(first) != len(last):
            return self.command
        values = (self.parameters[0], self.parameters[-1]) if self.parameters else ({}, {})
        return tuple(a if a == b else shared_word(a, b, *values) for a, b in zip(first, last, strict=True))

    @property
    def names_jobs(self) -> bool:
        """Whether it comes after other jobs."""
        return bool(self.after or self.after_failure or self.after_any or self.takes)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """Everything of other jobs that it waits for. Raises InvalidRequest for what can't be read."""
        if not self.names_jobs:
            return ()
        return tuple(read_dependency(text, end) for end in End for text in getattr(self, end))

    @property
    def taken(self) -> tuple[Dependency, ...]:
        """The jobs whose results it is given, in the order in which its tasks find them. Raises as `dependencies` does."""
        return tuple(read_dependency(text, End.RESULTS) for text in self.takes)

    @property
    def comes_after(self) -> tuple[str, ...]:
        """The jobs that it comes after, after whichever end, each once. Raises as `dependencies` does."""
        return tuple(dict.fromkeys(one.job for one in self.dependencies))

    def command_of(self, index: int) -> tuple[str, ...]:
        """The argument list of one task."""
        return self.task_commands[index] if self.task_commands else self.command


def with_other_jobs(spec: JobSpec, rename: Callable[[str], str], *, keep_names: bool = False) -> JobSpec:
    """The same after the jobs that `rename` gives for those that it comes after. Raises InvalidRequest for what can't be read."""
    if not spec.names_jobs:
        return spec
    fields = {
        end.value: tuple(renamed(text, end, rename, keep_name=keep_names) for text in getattr(spec, end))
        for end in End
        if getattr(spec, end)
    }
    return msgspec.structs.replace(spec, **fields)


def task_alone(spec: JobSpec, index: int) -> JobSpec:
    """One task of a job as a job. Raises InvalidRequest where it has no such task."""
    if index >= spec.num_tasks:
        raise InvalidRequest(f"the job has {spec.num_tasks} tasks, from task-0 to task-{spec.num_tasks - 1}")
    return msgspec.structs.replace(
        spec, command=spec.command_of(index), num_tasks=1, task_commands=(), gang=False,
        parameters=spec.parameters[index : index + 1],
    )  # fmt: skip


def checked_spec(fields: Mapping[str, Any]) -> JobSpec:
    """A spec whose fields keep to their types and limits. Raises InvalidRequest that names the first that doesn't, or isn't one."""
    for name in fields:
        if name not in JobSpec.__struct_fields__:
            raise InvalidRequest(f"a job has no {name[:60]!r}: {', '.join(JobSpec.__struct_fields__)}")
    try:
        return msgspec.convert(msgspec.to_builtins(fields), JobSpec)
    except msgspec.ValidationError as error:
        raise InvalidRequest(request_text(error)) from None
    except (TypeError, UnicodeEncodeError) as error:
        raise InvalidRequest(f"the job can't be sent: {error}") from None


def check_fields(spec: JobSpec) -> JobSpec:
    """The spec as it is sent: one that was made by hand may have a dict for `resources`. Raises as `checked_spec` does."""
    if not isinstance(spec, JobSpec):
        raise InvalidRequest(f"a {type(spec).__name__} is no job: give a JobSpec")
    return checked_spec({name: getattr(spec, name) for name in spec.__struct_fields__})


def check_own(command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Raise InvalidRequest for what types alone can't say of that part of a spec in which jobs mostly differ from others."""
    check_count("environment variables", environment, VARIABLES_MAX)
    _check_command(command)
    _check_environment(environment)


def check_spec(spec: JobSpec) -> None:
    """Raise InvalidRequest for what types alone can't say."""
    check_bounds(spec)
    check_name(spec.project, "a project's name")
    for command in (spec.command, *spec.task_commands):
        _check_command(command)
    if spec.task_commands and len(spec.task_commands) != spec.num_tasks:
        raise InvalidRequest(f"{len(spec.task_commands)} task commands for {spec.num_tasks} tasks")
    if spec.parameters and len(spec.parameters) != spec.num_tasks:
        raise InvalidRequest(f"{len(spec.parameters)} sets of parameters for {spec.num_tasks} tasks")
    if spec.gang:
        _check_gang(spec)
    _check_environment(spec.environment)
    _check_workdir(spec.workdir)
    for name in spec.inputs:
        _check_input(name)
    if not all(spec.named_workers):
        raise InvalidRequest("--worker is empty: name a worker, or leave it out")
    _check_time_limits(spec)
    check_resources(spec.resources)
    _check_after(spec)
    _check_pause(spec)
    if len(set(spec.ports)) != len(spec.ports):
        raise InvalidRequest(f"two ports of one task have the same name: {', '.join(spec.ports)}")
    _check_requirements(spec.requirements)
    check_contents(spec.uploads, spec.bundle, spec.setup, spec.collect)
    check_datasets(spec.datasets)
    if spec.bundle is not None and spec.workdir is not None:
        raise InvalidRequest("--workdir and --bundle both say where the command runs: leave one out")
    if spec.metric_pattern:
        check_metric_pattern(spec.metric_pattern)
    if spec.setup and spec.bundle is None:
        raise InvalidRequest("--setup runs in the folder of a bundle: add --bundle DIR")


def _check_requirements(lines: tuple[str, ...]) -> None:
    if not all(map(requirement.parse, lines)):
        raise InvalidRequest("--require is empty: say what the worker must have, or leave it out")
    requirement.parse_all(lines)


def _check_time_limits(spec: JobSpec) -> None:
    for option, limit_ms in (
        ("--timeout", spec.timeout_ms),
        ("--job-timeout", spec.job_timeout_ms),
        ("--scheduling-timeout", spec.scheduling_timeout_ms),
    ):
        if limit_ms == 0:
            raise InvalidRequest(
                f"{option} is 0, and nothing can be done in no time: leave it out where there is no limit"
            )
    if spec.fence_after_ms is not None and spec.fence_after_ms < FENCE_AFTER_MIN_MS:
        raise InvalidRequest(
            f"--fence-after {spell_duration(spec.fence_after_ms)} is less than a healthy link may be silent for: "
            f"give {spell_duration(FENCE_AFTER_MIN_MS)} or more"
        )


def check_resources(resources: Resources) -> None:
    """Raise InvalidRequest for what is asked of GPUs and contradicts itself."""
    if resources.gpus == 0 and (resources.gpu_memory_mb or resources.share):
        what = "--gpu-memory" if resources.gpu_memory_mb else "--share"
        raise InvalidRequest(f"--gpus 0 is no GPU, and {what} is of one: leave one of them out")
    if resources.share and not resources.gpu_memory_mb:
        raise InvalidRequest("--share is sharing a GPU by its memory: say how much a task takes of it, --gpu-memory 6G")


def _check_after(spec: JobSpec) -> None:
    known: dict[tuple[str, int | None, bool], End] = {}
    for one in spec.dependencies:
        if one.end is End.RESULTS:
            continue
        before = known.setdefault((one.job, one.task_index, one.each), one.end)
        if before is not one.end:
            raise InvalidRequest(f"{before.option} and {one.end.option} both name {one.text}: leave one out")
        if one.each and spec.gang:
            raise InvalidRequest(
                f"{one.end.option} {one.text}: the tasks of a gang start all at once: name {one.job} as a whole"
            )
    _check_taken(spec)


def _check_taken(spec: JobSpec) -> None:
    """Raise InvalidRequest where two things that a task is given would have one name. Of a job of several tasks it is NAME-0, NAME-1, …"""
    names = [one.name or one.job for one in spec.taken]
    for name in names:
        for other in (*(upload.name for upload in spec.uploads), *names):
            if other.startswith(f"{name}-") and other[len(name) + 1 :].isdigit():
                raise InvalidRequest(
                    f"--take {name} may be given as {other}, which is a name already: give it another, JOB:NAME"
                )
    if len({*names, *(upload.name for upload in spec.uploads)}) != len(names) + len(spec.uploads):
        raise InvalidRequest("two results or uploads have the same name: give one another name with --take JOB:NAME")


def _check_gang(spec: JobSpec) -> None:
    if spec.max_parallel is not None and spec.max_parallel < spec.num_tasks:
        raise InvalidRequest("the tasks of a gang run all at once: leave out --max-parallel, or --gang")
    if spec.max_task_failures:
        raise InvalidRequest("a gang ends with its first failed task: leave out --max-task-failures, or --gang")


def check_bounds(spec: JobSpec) -> None:
    """Raise InvalidRequest where something is longer than any worker would accept."""
    check_length("--worker", spec.worker or "", NAME_CHARACTERS_MAX)
    check_count("workers", spec.workers, WORKERS_MAX)
    for name in spec.workers:
        check_length("--worker", name, NAME_CHARACTERS_MAX)
    check_length("--workdir", spec.workdir or "", PATH_CHARACTERS_MAX)
    check_length("--resume-from", spec.resume_from or "", PATH_CHARACTERS_MAX)
    check_length("--template", spec.template or "", NAME_CHARACTERS_MAX)
    check_count("requirements", spec.requirements, requirement.CONDITIONS_MAX)
    check_count("inputs", spec.inputs, INPUTS_MAX)
    check_count("jobs to come after", [text for end in End for text in getattr(spec, end)], AFTER_MAX)
    check_count("jobs to take results of", spec.takes, TAKES_MAX)
    check_count("ports", spec.ports, PORTS_MAX)
    check_count("environment variables", spec.environment, VARIABLES_MAX)
    check_count("sets of parameters", spec.parameters, NUM_TASKS_MAX)
    check_count("task commands", spec.task_commands, NUM_TASKS_MAX)
    for line in spec.requirements:
        requirement.check_length(line)
    for name in spec.inputs:
        check_length("--input", name, PATH_CHARACTERS_MAX)
    for end in End:
        for text in getattr(spec, end):
            check_length(end.option, text, PATH_CHARACTERS_MAX if end is End.RESULTS else ID_CHARACTERS_MAX)
    for command in spec.task_commands:
        check_count("words of a task's command", command, COMMAND_WORDS_MAX)
    for parameters in spec.parameters:
        check_tree("the parameters of a task", parameters)


def _check_workdir(workdir: str | None) -> None:
    if workdir is None:
        return
    shown = repr(workdir[:200])
    if "\0" in workdir:
        raise InvalidRequest(f"--workdir {shown} contains a NUL character")
    if not workdir.startswith(("/", "~/")) and workdir != "~":
        raise InvalidRequest(
            f"--workdir {shown} is not absolute: it names a folder on the worker, from / or from ~/, its user's home"
        )


def _check_pause(spec: JobSpec) -> None:
    if spec.pause_signal and spec.pause_signal not in PAUSE_SIGNALS:
        raise InvalidRequest(f"--pause-signal {spec.pause_signal[:20]!r} is not one of {', '.join(PAUSE_SIGNALS)}")
    if spec.resume_from is not None and (not spec.resume_from.startswith("/") or "\0" in spec.resume_from):
        raise InvalidRequest(
            f"--resume-from {spec.resume_from[:200]!r} is not absolute: it names a file or folder on the worker, from /"
        )


def _check_input(name: str) -> None:
    try:
        check_input(name)
    except InvalidRequest as error:
        raise InvalidRequest(f"--input: {error.message}") from None


def check_metric_pattern(text: str) -> None:
    """Raise InvalidRequest where a pattern can't be run, or says nothing."""
    if not text:
        raise InvalidRequest(r"--metric-pattern is empty: leave it out, or write one, as in 'loss=(?P<loss>\S+)'")
    try:
        names = set(compile_pattern(text).names)
    except InvalidRequest as error:
        raise InvalidRequest(f"--metric-pattern: {error.message}") from None
    if ("done" in names) != ("total" in names):
        raise InvalidRequest("--metric-pattern: progress has two groups, (?P<done>…) and (?P<total>…)")
    if not names - {"step"}:
        raise InvalidRequest(
            r"--metric-pattern names no metric: write a group for each, as in 'loss=(?P<loss>\S+) at (?P<step>\d+)'"
        )


def _check_command(command: tuple[str, ...]) -> None:
    if not command or not command[0]:
        raise InvalidRequest("the command is empty: give the program and its arguments after --")
    if any("\0" in word for word in command):
        raise InvalidRequest("the command contains a NUL character")
    try:
        size = sum(len(word.encode()) + 1 for word in command)
    except UnicodeEncodeError:
        raise InvalidRequest("the command is not UTF-8: put such bytes into a file or a script") from None
    if size > COMMAND_BYTES_MAX:
        raise InvalidRequest(f"the command is longer than {COMMAND_BYTES_MAX} bytes: put long input into a file")


def _check_environment(environment: Mapping[str, str]) -> None:
    size = 0
    for key, value in environment.items():
        if not key or "=" in key or "\0" in key or "\0" in value:
            raise InvalidRequest(f"{key[:40]!r} is not a name for an environment variable")
        size += len(key) + len(value) + 2
    if size > ENVIRONMENT_BYTES_MAX:
        raise InvalidRequest(f"the environment is larger than {ENVIRONMENT_BYTES_MAX} bytes")
