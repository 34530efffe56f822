"""The options that say what a job is, and the spec that they make."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsconsole.sweep import Point, unfold
from opsconsole_console.cli.content_option import add_content_options
from opsconsole_console.cli.option import at_least, key_value, typed, whole
from opsconsole_console.cli.sweep_option import add_sweep_options, swept_points
from opsconsole_protocol.api.template import filled
from opsconsole_protocol.api.template_default import DEFAULTS, read_default
from opsconsole_protocol.dataset import read_dataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import duration_ms, size_mb
from opsconsole_protocol.spec import (
    CPUS_MAX,
    PauseBy,
    Place,
    Resources,
    check_metric_pattern,
    check_spec,
    checked_spec,
    task_alone,
)

if TYPE_CHECKING:
    from opsconsole_protocol.api import TemplateRow
    from opsconsole_protocol.spec import JobSpec

_milliseconds = typed(duration_ms)
_mebibytes = typed(size_mb)

_DEST = {
    "requirement": "require",
    "inputs": "input",
    "retries": "max_retries_failure",
    "uploads": "upload",
    "datasets": "dataset",
}
"""The arguments of options that a template's defaults call otherwise."""


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Everything that says what a job is. Options that aren't given are None, or empty lists."""
    what = parser.add_argument_group("what to run")
    what.add_argument("--name", metavar="N", help="what to call the job; else the program's name")
    what.add_argument("--project", metavar="P", help="the queue it belongs to (default)")
    what.add_argument("--tasks", metavar="N", type=at_least(1), help="run the command so many times, as one job (1)")
    what.add_argument(
        "--gang", action="store_true", help="start all tasks at once or none, and run none without the others"
    )
    what.add_argument("--template", metavar="T", help="take the command from this template")
    what.add_argument(
        "--set", metavar="K=V", type=key_value, action="append", default=[], help="a template's parameter"
    )
    what.add_argument(
        "--workdir", metavar="DIR", help="run in this folder of the worker, from / or ~/; else in the attempt's own"
    )
    what.add_argument("--env", metavar="K[=V]", action="append", default=[],
                      help="set an environment variable; without =V it is taken from here")  # fmt: skip
    what.add_argument("--input", metavar="FILE", action="append", default=[],
                      help="a file that a worker must have: NAME in its input folder, LABEL:PATH in a mount of it, "
                      "or a whole path there or here; repeatable")  # fmt: skip
    what.add_argument("--dataset", metavar="[NAME=]PATH|URL", action="append", default=[],
                      help="what opsconsole.load_dataset() gives the task, looked at before it starts: "
                      "as for --input, or a folder, an --upload's name, http(s)://, s3://, hf://; repeatable")  # fmt: skip
    what.add_argument("--port", metavar="NAME", action="append", default=[],
                      help="a free port, told as OPSCONSOLE_PORT_NAME; repeatable")  # fmt: skip
    what.add_argument("--metric-pattern", metavar="REGEX",
                      help="how metrics look in what it prints: 'loss=(?P<loss>\\S+)'; '' for none, "
                      "where a template or a cloned job has one")  # fmt: skip
    add_sweep_options(parser.add_argument_group("a task for each point of a sweep"))
    add_content_options(parser.add_argument_group("what it brings along"))
    parser.set_defaults(packed=None, folder=None)
    _add_where(parser.add_argument_group("where and when"))
    _add_ends(parser.add_argument_group("when it goes wrong"))
    _add_pause(parser.add_argument_group("pauses and checkpoints"))


def _add_where(where: argparse._ArgumentGroup) -> None:
    where.add_argument("--worker", metavar="NAME", action="append", default=[],
                       help="on this worker and no other; repeated: on any of these")  # fmt: skip
    where.add_argument("--require", metavar="R", action="append", default=[],
                       help="what the worker must have, for example 'gpu_memory_mb>=20000'; repeatable")  # fmt: skip
    where.add_argument("--gpus", metavar="N", type=at_least(0), help="GPUs for each task (0)")
    where.add_argument("--cpus", metavar="N", type=_cpus, help="processors for each task")
    where.add_argument("--memory", metavar="8G", type=_mebibytes, help="memory for each task")
    where.add_argument("--gpu-memory", metavar="20G", type=_mebibytes, help="memory that each GPU must have")
    where.add_argument("--share", action="store_true", default=None,
                       help="take only --gpu-memory of each GPU: others that share may have the rest")  # fmt: skip
    where.add_argument("--place", choices=list(Place), metavar="pack|spread",
                       help="on the fullest worker that will do, or on the least full, tasks of one job apart (as the project says)")  # fmt: skip
    where.add_argument("--priority", metavar="N", type=whole, help="higher goes first (0)")
    where.add_argument("--after", metavar="JOB", action="append", default=[],
                       help="only once this job has succeeded, or its task JOB/3; JOB:* for each task the same of it; repeatable")  # fmt: skip
    where.add_argument("--after-failure", metavar="JOB", action="append", default=[],
                       help="only once this job has ended and didn't succeed; repeatable")  # fmt: skip
    where.add_argument("--after-any", metavar="JOB", action="append", default=[],
                       help="only once this job has ended, well or not; repeatable")  # fmt: skip
    where.add_argument("--take", metavar="JOB[:NAME]", action="append", default=[],
                       help="only once this job has succeeded, with what was collected of it as one more input; repeatable")  # fmt: skip
    where.add_argument("--hold", action="store_true", help="don't start it before `opsconsole release`")


def _add_ends(ends: argparse._ArgumentGroup) -> None:
    ends.add_argument(
        "--max-retries-failure",
        metavar="N",
        type=at_least(0),
        help="run a failed task again, at most so many times (0)",
    )
    ends.add_argument(
        "--max-retries-preemption",
        metavar="N",
        type=at_least(0),
        help="run a lost or preempted task again, at most so many times (100)",
    )
    ends.add_argument(
        "--max-task-failures",
        metavar="N",
        type=at_least(0),
        help="end the rest once more tasks than this have failed (never)",
    )
    ends.add_argument(
        "--max-parallel",
        metavar="N",
        type=at_least(1),
        help="run at most this many of its tasks at a time (any number)",
    )
    ends.add_argument("--timeout", metavar="2h", type=_milliseconds, help="end a task that runs for longer")
    ends.add_argument("--job-timeout", metavar="T", type=_milliseconds,
                      help="end the job so long after its first start, over all tasks and retries")  # fmt: skip
    ends.add_argument(
        "--scheduling-timeout",
        metavar="1h",
        type=_milliseconds,
        help="give up on a task that couldn't be started for so long",
    )
    ends.add_argument("--grace", metavar="5s", type=_milliseconds, help="the time from TERM to KILL (5s)")
    ends.add_argument(
        "--lost-after", metavar="60s", type=_milliseconds, help="give a worker up after so long a silence (60s)"
    )
    ends.add_argument("--fence-after", metavar="T", type=_milliseconds,
                      help="the worker ends the task when it hears nothing from here for so long (10s or more)")  # fmt: skip


def _add_pause(pause: argparse._ArgumentGroup) -> None:
    pause.add_argument("--pause-by", choices=list(PauseBy),
                       help="how it is paused: freeze its processes, or have it save a checkpoint and free its GPU (freeze)")  # fmt: skip
    pause.add_argument("--pause-signal", metavar="USR1",
                       help="a signal that also tells the task to save a checkpoint")  # fmt: skip
    pause.add_argument("--save-within", metavar="5m", type=_milliseconds,
                       help="tell when saving a checkpoint takes longer than this (5m)")  # fmt: skip
    pause.add_argument("--resume-from", metavar="PATH",
                       help="a checkpoint on the worker to go on from (OPSCONSOLE_RESUME_FROM)")  # fmt: skip


def make_spec(args: argparse.Namespace, command: Sequence[str] | None, template: TemplateRow | None) -> JobSpec:
    """The spec of what was asked for. Raises InvalidRequest."""
    _check_cleared(args, template)
    if template is not None:
        apply_defaults(args, template.defaults)
    given = {name: value for name, value in _fields(args).items() if value is not None}
    return _checked({**given, **_tasks(args, _command(command, template), template)}, template)


def changed_spec(base: JobSpec, index: int | None, args: argparse.Namespace, command: Sequence[str] | None,
                 template: TemplateRow | None) -> JobSpec:  # fmt: skip
    """`base` (of one task: as a job of its own) with everything that was given put in its place. Raises InvalidRequest.

    `template`: the one that was named, or that `base` was made from where its parameters are set anew.
    """
    import msgspec

    base = base if index is None else task_alone(base, index)
    _check_cleared(args, template, base.metric_pattern)
    if args.template is not None and template is not None:
        apply_defaults(args, template.defaults)
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    fields["metric_pattern"] = "" if args.metric_pattern == "" else base.metric_pattern
    fields |= {name: value for name, value in _fields(args).items() if value or (value == 0 and value is not False)}
    fields["resources"] = {**msgspec.to_builtins(base.resources), **msgspec.to_builtins(_resources(args))}
    fields["environment"] = {**base.environment, **environment_of(args.env, os.environ)}
    points = swept_points(args)
    if points and args.template is None and not command and not args.set:
        command = _swept_command(base, points[0])
    if command or args.template is not None or points:
        fields |= {"num_tasks": args.tasks or 1, "template": None, "template_version": None, "parameters": (),
                   "task_commands": ()}  # fmt: skip
        fields |= _tasks(args, _command(command, template), template)
    elif args.set:
        fields |= _set_anew(base, args, template)
    elif args.tasks is not None and args.tasks != base.num_tasks:
        if base.task_commands:
            raise InvalidRequest("a sweep has a task for each point: give --sweep, or a command after --")
        fields["parameters"] = base.parameters[:1] * args.tasks
    return _checked(fields, template)


def _swept_command(base: JobSpec, point: Point) -> Sequence[str] | None:
    """The command of the job that is cloned, for another sweep; None where that is its template's. Raises InvalidRequest."""
    if base.template is not None:
        return None
    there = base.parameters[0].keys() if base.task_commands and base.parameters else set()
    if missing := [name for name in there if name not in point]:
        raise InvalidRequest(f"the job sweeps {missing[0]}: give values for it too, or a command after --")
    return base.command


def _checked(fields: dict[str, Any], template: TemplateRow | None) -> JobSpec:
    """The spec of these fields, its template filled in as the coordinator will do it. Raises InvalidRequest."""
    spec = checked_spec(fields)
    if template is not None:
        spec = filled(spec, template)
    check_spec(spec)
    return spec


def _set_anew(base: JobSpec, args: argparse.Namespace, template: TemplateRow | None) -> dict[str, Any]:
    """A template's job with some parameters given anew, each task's others as they were."""
    if template is None:
        raise InvalidRequest("--set gives a template's parameters: this job has none, name one with --template")
    known = {parameter.name for parameter in template.parameters}
    points = [
        {name: value for name, value in point.items() if name in known} | dict(args.set)
        for point in base.parameters or ({},)
    ]
    if args.tasks is not None and not base.task_commands:
        points = points[:1] * args.tasks
    return _of_template(template, points)


def _of_template(template: TemplateRow, points: list[dict[str, Any]]) -> dict[str, Any]:
    """What `filled` makes commands of: a set of parameters for each task."""
    return {
        "command": template.command, "template": template.name, "template_version": template.version, "num_tasks": len(points), "parameters": tuple(points),
        "task_commands": (),
    }  # fmt: skip


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    """Every field of a spec but those of its commands, or None where nothing was given.

    `args.packed` is what `--upload` and `--bundle` have become (`contents.Contents`), as far as they have.
    """
    return {
        "name": args.name,
        "project": args.project,
        "num_tasks": args.tasks,
        "priority": args.priority,
        "worker": args.worker[0] if len(args.worker) == 1 else None,
        "workers": tuple(args.worker) if len(args.worker) > 1 else None,
        "requirements": tuple(args.require),
        "resources": _resources(args),
        "inputs": tuple(args.input),
        "after": tuple(args.after),
        "after_failure": tuple(args.after_failure),
        "after_any": tuple(args.after_any),
        "takes": tuple(args.take),
        "max_retries_failure": args.max_retries_failure,
        "max_retries_preemption": args.max_retries_preemption,
        "max_task_failures": args.max_task_failures,
        "max_parallel": args.max_parallel,
        "timeout_ms": args.timeout,
        "job_timeout_ms": args.job_timeout,
        "scheduling_timeout_ms": args.scheduling_timeout,
        "grace_ms": args.grace,
        "lost_after_ms": args.lost_after,
        "fence_after_ms": args.fence_after,
        "workdir": args.workdir,
        "environment": environment_of(args.env, os.environ),
        "ports": tuple(args.port),
        "held": args.hold,
        "gang": args.gang,
        "uploads": None if args.packed is None else args.packed.uploads,
        "bundle": None if args.packed is None else args.packed.bundle,
        "setup": args.setup,
        "collect": tuple(args.collect),
        "place": args.place,
        "pause_by": args.pause_by,
        "pause_signal": args.pause_signal,
        "save_within_ms": args.save_within,
        "resume_from": args.resume_from,
        "metric_pattern": args.metric_pattern,
        "datasets": tuple(map(read_dataset, args.dataset)),
    }


def _check_cleared(args: argparse.Namespace, template: TemplateRow | None, of_base: str = "") -> None:
    """An empty pattern takes away that of the template or of the job that is cloned. Raises InvalidRequest where there is none."""
    of_template = template is not None and template.defaults.get("metric_pattern")
    if args.metric_pattern == "" and not of_base and not of_template:
        check_metric_pattern("")


def apply_defaults(args: argparse.Namespace, defaults: Mapping[str, Any]) -> None:
    """Take from a template what wasn't given on the command line. Raises InvalidRequest for what can't be read."""
    for name, value in defaults.items():
        if name not in DEFAULTS:
            continue  # a newer version's
        dest = _DEST.get(name, name)
        if getattr(args, dest) not in (None, []):
            continue
        read = read_default(name, str(value))
        setattr(args, dest, Path(read) if name == "bundle" else list(read) if isinstance(read, tuple) else read)


def environment_of(words: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """`K=V` as it is, `K` from `environ`. Raises InvalidRequest when it isn't set there."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            if key not in environ:
                raise InvalidRequest(f"--env {key}: it is not set here, so say what it is: --env {key}=VALUE")
            value = environ[key]
        found[key] = value
    return found


def _command(command: Sequence[str] | None, template: TemplateRow | None) -> tuple[str, ...]:
    if template is not None:
        if command:
            raise InvalidRequest(f"template {template.name} has a command already: leave out what stands behind --")
        return template.command
    if not command:
        raise InvalidRequest(
            "there is no command: give it after --, for example `opsconsole submit -- python train.py`"
        )
    return tuple(command)


def _tasks(args: argparse.Namespace, words: tuple[str, ...], template: TemplateRow | None) -> dict[str, Any]:
    """Command, parameters and number of tasks."""
    points: list[Point] = swept_points(args)
    if points and args.tasks is not None:
        raise InvalidRequest("--tasks and a sweep exclude each other: a sweep has a task for each point")
    if points and (both := points[0].keys() & dict(args.set).keys()):
        raise InvalidRequest(f"{min(both)} is both set and swept: leave one out")
    if template is not None:
        sets: list[dict[str, Any]] = [{**dict(args.set), **point} for point in points or [{}]]
        return _of_template(template, sets if points else sets * (args.tasks or 1))
    if args.set:
        raise InvalidRequest("--set gives a template's parameters: name it with --template")
    if not points:
        return {"command": words}
    commands = unfold(words, points)
    return {"command": words, "num_tasks": len(points), "task_commands": commands, "parameters": tuple(points)}


def _resources(args: argparse.Namespace) -> Resources:
    given = {
        "gpus": args.gpus, "cpus": args.cpus, "memory_mb": args.memory, "gpu_memory_mb": args.gpu_memory,
        "share": args.share,
    }  # fmt: skip
    return Resources(**{name: value for name, value in given.items() if value is not None})


def _cpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= number <= CPUS_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not a number of processors")
    return number
