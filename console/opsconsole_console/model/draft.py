"""A job as it is being typed: texts become a checked spec, or one error a field. Pure."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import msgspec

from opsconsole.sweep import Point, unfold
from opsconsole_console.model import draft_sweep as sweeps
from opsconsole_console.model.draft_again import again, shown_command
from opsconsole_console.model.draft_fault import faults
from opsconsole_console.model.draft_wish import NOTHING, Wished
from opsconsole_protocol import quantity, requirement
from opsconsole_protocol.api import TemplateRow
from opsconsole_protocol.api.parameter import read_value
from opsconsole_protocol.api.template import check_template, fill, with_datasets, with_repeat
from opsconsole_protocol.api.template_default import DEFAULTS
from opsconsole_protocol.bound import cut
from opsconsole_protocol.dataset import JobDataset, read_dataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Bundle
from opsconsole_protocol.spec import (
    CPUS_MAX,
    GPUS_OF_TASK_MAX,
    NUM_TASKS_MAX,
    PRIORITY_MAX,
    REPEAT,
    RETRIES_MAX,
    JobSpec,
    PauseBy,
    Place,
    Resources,
    check_metric_pattern,
)

ValueT = TypeVar("ValueT")

PARAMETER_PREFIX = "parameter."
"""Errors of a template's parameter `lr` are under `parameter.lr`."""

_SHOWN = 40
"""Characters of a wrong value that its error repeats."""
_STAND_IN = ("true",)
_CODE_TO_COME = Bundle(content_id=ContentId("0" * 64), size_bytes=0, files=0)
"""Stands for the code in a folder until that has been looked at."""
_NO_WORDS: tuple[str, ...] = ()
_NO_COMMANDS: tuple[tuple[str, ...], ...] = ()
_NO_DATASETS: tuple[JobDataset, ...] = ()
_NO_POINTS: list[Point] = []
_NO_VARIABLES: dict[str, str] = {}


@dataclass(frozen=True)
class Draft:
    """What stands in the form. An empty text means the default; an empty `worker` means automatic placement."""

    command: str = ""
    template: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    project: str = ""
    tasks: str = "1"
    gpus: str = ""
    cpus: str = ""
    memory: str = ""
    gpu_memory: str = ""
    share: str = ""
    place: str = ""
    requirement: str = ""
    inputs: str = ""
    datasets: str = ""
    priority: str = "0"
    after: str = ""
    after_failure: str = ""
    after_any: str = ""
    takes: str = ""
    workdir: str = ""
    env: str = ""
    retries: str = "0"
    timeout: str = ""
    grace: str = "5s"
    job_timeout: str = ""
    gang: str = ""
    max_parallel: str = ""
    sweep: str = ""
    ports: str = ""
    start_within: str = ""
    hold: str = ""
    bundle: str = ""
    uploads: str = ""
    setup: str = ""
    fetch: str = ""
    collect: str = ""
    metric_pattern: str = ""
    pause_by: str = ""
    resume_from: str = ""
    worker: str = ""
    base: JobSpec | None = None
    """The spec that `e` started from: what the form doesn't show is kept."""


@dataclass(frozen=True)
class Checked:
    """A draft that was looked at. `spec` is there when nothing is wrong; `errors` has one line for each field.

    `likely` is what can be told already, defaults standing in for what is wrong: enough to ask workers about it.
    """

    spec: JobSpec | None
    errors: Mapping[str, str]
    likely: JobSpec
    command: tuple[str, ...] = ()
    """The words that would run, as far as they can be told."""
    wished: Wished = NOTHING
    """What is still to be made ready before the submission."""
    datasets: tuple[JobDataset, ...] = ()
    """All that are named; `likely` has those that are somewhere already."""


def from_spec(spec: JobSpec, fetches: Iterable[str] = ()) -> Draft:
    """A draft that would submit the same job again. `fetches`: what is to be brought of it, each PATTERN[:DIR]."""
    resources = spec.resources
    return Draft(
        command=shlex.join(shown_command(spec)),
        name=spec.name,
        project=spec.project,
        tasks=str(spec.num_tasks),
        gpus="" if resources.gpus is None else str(resources.gpus),
        cpus=f"{resources.cpus:g}" if resources.cpus else "",
        memory=_spell_mb(resources.memory_mb),
        gpu_memory=_spell_mb(resources.gpu_memory_mb),
        share="yes" if resources.share else "",
        place=spec.place or "",
        requirement=" ".join(spec.requirements),
        inputs=shlex.join(spec.inputs),
        datasets=shlex.join(one.typed for one in spec.datasets),
        priority=str(spec.priority),
        after=" ".join(spec.after),
        after_failure=" ".join(spec.after_failure),
        after_any=" ".join(spec.after_any),
        takes=" ".join(spec.takes),
        workdir=spec.workdir or "",
        env=shlex.join(f"{key}={value}" for key, value in spec.environment.items()),
        retries=str(spec.max_retries_failure),
        timeout=spell_limit(spec.timeout_ms),
        grace=spell_limit(spec.grace_ms),
        job_timeout=spell_limit(spec.job_timeout_ms),
        gang="yes" if spec.gang else "",
        max_parallel=str(spec.max_parallel or ""),
        ports=" ".join(spec.ports),
        start_within=spell_limit(spec.scheduling_timeout_ms),
        hold="yes" if spec.held else "",
        setup=spec.setup,
        fetch=shlex.join(fetches),
        collect=shlex.join(spec.collect),
        metric_pattern=spec.metric_pattern,
        pause_by="" if spec.pause_by is PauseBy.FREEZE else spec.pause_by,
        resume_from=spec.resume_from or "",
        worker=spec.worker or "",
        base=spec,
    )


def with_template(draft: Draft, template: TemplateRow, name: str = "") -> Draft:
    """The draft with a template chosen, whose defaults are filled in; `name`: by which it was, where that isn't its own."""
    known: dict[str, Any] = {name: str(value) for name, value in template.defaults.items() if name in DEFAULTS}
    return replace(draft, template=name or template.name, parameters={}, **known)


def check(draft: Draft, template: TemplateRow | None = None) -> Checked:
    """Read every field; never raises."""
    reader = _Reader()
    values: dict[str, Any] = {}
    points = reader.read("sweep", lambda: sweeps.read_points(draft.sweep), _NO_POINTS)
    if template is not None:
        command, values = _from_template(_with_point(draft, points[0] if points else {}), template, reader)
    else:
        command = reader.read("command", lambda: _words(draft.command), _NO_WORDS)
        if not command and "command" not in reader.errors:
            reader.errors["command"] = "say what to run: a program and its arguments"
    base = draft.base if draft.base is not None else JobSpec(command=("",))
    changed = _fields(draft, reader, command)
    if points:
        changed |= _sweep_fields(draft, template, reader, command, points)
        reader.read("tasks", lambda: sweeps.check_tasks(changed["num_tasks"], points), None)
        changed["num_tasks"] = len(points)
        if template is not None:
            changed["datasets"] = reader.read(
                "sweep", lambda: with_datasets(changed["datasets"], template, changed["parameters"]), _NO_DATASETS
            )
    elif template is not None:
        changed |= {
            "template": template.name,
            "template_version": template.version,
            "parameters": (values,) * changed["num_tasks"],
            "task_commands": (),
        }
        changed["datasets"] = with_datasets(changed["datasets"], template, (values,))
    elif draft.base is not None and (
        kept := reader.read("command", lambda: again(command, changed["num_tasks"], base), None)
    ):
        changed |= kept
        reader.read("datasets", lambda: _check_kept(base, changed["datasets"]), None)
    else:
        changed |= {"task_commands": (), "parameters": (), "template": None, "template_version": None}
    wished = _wished(draft, reader)
    spec = msgspec.structs.replace(base, **changed)
    there = tuple(one for one in spec.datasets if not wished.brings(one.where))
    likely = msgspec.structs.replace(spec, command=spec.command if command else _STAND_IN, datasets=there)
    whole = msgspec.structs.replace(likely, datasets=spec.datasets)
    if wished.bundle:
        whole = msgspec.structs.replace(whole, bundle=_CODE_TO_COME)
    reader.errors = {**faults(whole), **reader.errors}
    return Checked(
        None if reader.errors else spec,
        reader.errors,
        likely,
        spec.command_of(0) if points or spec.task_commands else command,
        wished,
        spec.datasets,
    )


def spell_limit(duration_ms: int | None) -> str:
    """A limit as it is typed, nothing where there is none."""
    return "" if duration_ms is None else quantity.spell_duration(duration_ms)


class _Reader:
    """Reads field by field and keeps the first complaint about each."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def read(self, name: str, read: Callable[[], ValueT], fallback: ValueT) -> ValueT:
        try:
            return read()
        except InvalidRequest as error:
            self.errors.setdefault(name, error.message)
            return fallback


def _from_template(draft: Draft, template: TemplateRow, reader: _Reader) -> tuple[tuple[str, ...], dict[str, Any]]:
    values: dict[str, Any] = {}
    reader.read("template", partial(check_template, template), None)
    for parameter in template.parameters:
        typed = draft.parameters.get(parameter.name, "")
        values[parameter.name] = reader.read(
            PARAMETER_PREFIX + parameter.name, partial(read_value, parameter, typed), None
        )
    missing = {p.name: f"<{p.name}>" for p in template.parameters if PARAMETER_PREFIX + p.name in reader.errors}
    return fill(template.command, {**values, **missing}), values


def _with_point(draft: Draft, point: Point) -> Draft:
    """The draft with a point's values typed into its parameters."""
    return replace(draft, parameters={**draft.parameters, **point})


def _sweep_fields(
    draft: Draft, template: TemplateRow | None, reader: _Reader, command: tuple[str, ...], points: list[Point]
) -> dict[str, Any]:
    """The fields of a spec that give each task its command and values."""
    if template is None:
        commands = reader.read("sweep", lambda: unfold(command, points), _NO_COMMANDS)
        parameters: tuple[dict[str, Any], ...] = tuple(dict(point) for point in points)
        first = command or _STAND_IN
    else:
        known = {parameter.name for parameter in template.parameters}
        for name in points[0]:
            if name not in known and name != REPEAT:
                reader.errors.setdefault("sweep", f"{template.name} has no parameter {name}")
        each = [_from_template(_with_point(draft, point), template, reader) for point in points]
        commands = tuple(words for words, _ in each)
        parameters = tuple(with_repeat(values, point) for (_, values), point in zip(each, points, strict=True))
        first = commands[0]
    return {"command": first, "task_commands": commands, "parameters": parameters,
            "template": None if template is None else template.name,
            "template_version": None if template is None else template.version}  # fmt: skip


def _fields(draft: Draft, reader: _Reader, command: tuple[str, ...]) -> dict[str, Any]:
    read = reader.read
    resources = Resources(
        gpus=read("gpus", lambda: _gpus(draft), None),
        cpus=read("cpus", lambda: _number(draft.cpus), 0.0),
        memory_mb=read("memory", lambda: _size_mb(draft.memory), 0),
        gpu_memory_mb=read("gpu_memory", lambda: _size_mb(draft.gpu_memory), 0),
        share=read("share", lambda: _share(draft), False),
    )
    return {
        "command": command or ("",),
        "name": draft.name.strip(),
        "project": draft.project.strip() or "default",
        "num_tasks": read("tasks", lambda: _whole(draft.tasks, 1, NUM_TASKS_MAX, empty=1), 1),
        "priority": read("priority", lambda: _whole(draft.priority, -PRIORITY_MAX, PRIORITY_MAX), 0),
        "worker": draft.worker or None,
        "workers": () if draft.worker or draft.base is None else draft.base.workers,
        "requirements": read("requirement", lambda: _requirements(draft.requirement), _NO_WORDS),
        "resources": resources,
        "inputs": read("inputs", lambda: _words(draft.inputs), _NO_WORDS),
        "datasets": read("datasets", lambda: tuple(map(read_dataset, _words(draft.datasets))), _NO_DATASETS),
        "after": read("after", lambda: _job_ids(draft.after), _NO_WORDS),
        "after_failure": read("after_failure", lambda: _job_ids(draft.after_failure), _NO_WORDS),
        "after_any": read("after_any", lambda: _job_ids(draft.after_any), _NO_WORDS),
        "takes": read("takes", lambda: _job_ids(draft.takes), _NO_WORDS),
        "max_retries_failure": read("retries", lambda: _whole(draft.retries, 0, RETRIES_MAX), 0),
        "timeout_ms": read("timeout", lambda: _duration_ms(draft.timeout), None),
        "grace_ms": read("grace", lambda: _duration_ms(draft.grace), None) or 0 if draft.grace.strip() else 5_000,
        "job_timeout_ms": read("job_timeout", lambda: _duration_ms(draft.job_timeout), None),
        "gang": read("gang", lambda: _yes(draft.gang), False),
        "max_parallel": read("max_parallel", lambda: _whole(draft.max_parallel, 1, NUM_TASKS_MAX), 0) or None,
        "workdir": read("workdir", lambda: _absolute(draft.workdir), None),
        "environment": read("env", lambda: _environment(draft.env), _NO_VARIABLES),
        "ports": read("ports", lambda: _ports(draft.ports), _NO_WORDS),
        "scheduling_timeout_ms": read("start_within", lambda: _duration_ms(draft.start_within), None),
        "held": read("hold", lambda: _yes(draft.hold), False),
        "setup": draft.setup.strip(),
        "collect": read("collect", lambda: _words(draft.collect), _NO_WORDS),
        "place": read("place", lambda: _place(draft.place), None),
        "pause_by": read("pause_by", lambda: _pause_by(draft.pause_by), PauseBy.FREEZE),
        "resume_from": read("resume_from", lambda: _absolute(draft.resume_from), None),
        "metric_pattern": read("metric_pattern", lambda: _metric_pattern(draft.metric_pattern), ""),
    }


def _pause_by(text: str) -> PauseBy:
    try:
        return PauseBy(text.strip().lower() or PauseBy.FREEZE)
    except ValueError:
        raise InvalidRequest("freeze or checkpoint") from None


def _gpus(draft: Draft) -> int | None:
    if not draft.gpus.strip():
        return None
    gpus = _whole(draft.gpus, 0, GPUS_OF_TASK_MAX)
    if not gpus and (draft.gpu_memory.strip() or draft.share.strip().lower() == "yes"):
        raise InvalidRequest("0 is no GPU: clear this, or GPU mem and share")
    return gpus


def _share(draft: Draft) -> bool:
    is_shared = _yes(draft.share)
    if is_shared and not draft.gpu_memory.strip():
        raise InvalidRequest("a GPU is shared by memory: fill in GPU mem")
    return is_shared


def _place(text: str) -> Place | None:
    try:
        return Place(text.strip().lower()) if text.strip() else None
    except ValueError:
        raise InvalidRequest("pack or spread") from None


def _check_kept(base: JobSpec, datasets: tuple[JobDataset, ...]) -> None:
    """A template's job takes datasets from its parameters, whatever stands here."""
    values = base.parameters[0] if base.template and base.parameters else {}
    for one in base.datasets:
        if one.name and values.get(one.name) == one.where and one not in datasets:
            raise InvalidRequest(f"{one.words} is a parameter of template {base.template}: start from the template")


def _metric_pattern(text: str) -> str:
    if pattern := text.strip():
        check_metric_pattern(pattern)
    return pattern


def _wished(draft: Draft, reader: _Reader) -> Wished:
    return Wished(
        uploads=reader.read("uploads", lambda: _words(draft.uploads), _NO_WORDS),
        bundle=draft.bundle.strip(),
        fetches=reader.read("fetch", lambda: _words(draft.fetch), _NO_WORDS),
    )


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        what = "a quotation mark isn't closed" if "quotation" in str(error) else "a backslash stands at the end"
        raise InvalidRequest(what) from None


def _whole(text: str, lowest: int, highest: int, empty: int = 0) -> int:
    text = text.strip()
    if not text:
        return empty
    try:
        value = int(text)
    except ValueError:
        raise InvalidRequest(f"a whole number, not {cut(text, _SHOWN)!r}") from None
    if not lowest <= value <= highest:
        raise InvalidRequest(f"from {lowest:,} to {highest:,}")
    return value


def _number(text: str) -> float:
    text = text.strip()
    if not text:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        raise InvalidRequest(f"a number, not {cut(text, _SHOWN)!r}") from None
    if not 0 <= value <= CPUS_MAX:
        raise InvalidRequest(f"from 0 to {CPUS_MAX:,}")
    return value


def _size_mb(text: str) -> int:
    return quantity.size_mb(text) if text.strip() else 0


def _spell_mb(size_mb: int) -> str:
    return quantity.spell_size(size_mb << 20) if size_mb else ""


def _duration_ms(text: str) -> int | None:
    return quantity.duration_ms(text) if text.strip() else None


def _yes(text: str) -> bool:
    answer = text.strip().lower()
    if answer not in {"", "n", "no", "y", "yes"}:
        raise InvalidRequest(f"yes or no, not {cut(text, _SHOWN)!r}")
    return answer.startswith("y")


def _ports(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    for name in names:
        if not name.isascii() or not name.isidentifier():
            raise InvalidRequest(f"{cut(name, _SHOWN)!r} is no name for a port: letters, digits and _, such as master")
    return names


def _requirements(text: str) -> tuple[str, ...]:
    return tuple(str(one) for one in requirement.parse(text))


def _absolute(text: str) -> str | None:
    text = text.strip()
    if text and not text.startswith("/"):
        raise InvalidRequest("an absolute path: it names a folder on the worker")
    return text or None


def _environment(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in _words(text):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidRequest(f"{cut(word, _SHOWN)!r} is not KEY=VALUE")
        found[key] = value
    return found


def _job_ids(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())
