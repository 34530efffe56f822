"""A template's defaults for the options of a job: each is the text that a person would type, read here. Pure."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from opsconsole_protocol import requirement
from opsconsole_protocol.dataset import read_dataset
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.quantity import duration_ms, size_mb, spell_duration, spell_size
from opsconsole_protocol.spec import (
    CPUS_MAX,
    DURATION_MS_MAX,
    GPUS_OF_TASK_MAX,
    NUM_TASKS_MAX,
    PRIORITY_MAX,
    RETRIES_MAX,
    JobSpec,
    PauseBy,
    Place,
    Resources,
    check_metric_pattern,
    check_resources,
)


class DefaultFields(NamedTuple):
    """What defaults say of a job: the fields of its spec, and what is brought along from the submitter's machine."""

    fields: dict[str, Any]
    uploads: tuple[str, ...] = ()
    bundle: str | None = None


def read_default(name: str, text: str) -> Any:
    """The value of a default, in the units of a spec's field. Raises InvalidRequest that names the option."""
    try:
        return _READERS[name](text)
    except InvalidRequest as error:
        raise InvalidRequest(f"the template's default for {name} can't be used: {error.message}") from None


def check_defaults(defaults: Mapping[str, Any]) -> None:
    """Raise InvalidRequest that names the first default that can't be used, or not beside another."""
    resources = default_fields(defaults).fields.get("resources", Resources())
    if resources.gpus is not None:  # else what is missing may be said with a job
        check_resources(resources)


def default_fields(defaults: Mapping[str, Any]) -> DefaultFields:
    """What a template's defaults make of a job, those of a newer version left out. Raises InvalidRequest that names the option."""
    read = {name: read_default(name, str(value)) for name, value in defaults.items() if name in _READERS}
    resources = {field: read.pop(name) for name, field in _RESOURCES.items() if name in read}
    uploads, bundle = read.pop("uploads", ()), read.pop("bundle", None)
    read.pop("fetch", None)
    fields = {_FIELDS.get(name, name): value for name, value in read.items()}
    if "datasets" in fields:
        fields["datasets"] = tuple(map(read_dataset, fields["datasets"]))
    if resources:
        fields["resources"] = Resources(**resources)
    return DefaultFields(fields, tuple(uploads), bundle)


def defaults_of(spec: JobSpec) -> dict[str, str]:
    """What of a job's options can be defaults of a template that is made from it, as a person would type it.

    What belongs to one job alone is left out: whom it waits for, which worker it was to run on, what was sent along; and its
    environment, whose values may be secrets that not everybody who sees a template may see.
    """
    plain = JobSpec(command=spec.command)
    resources = spec.resources
    told = {
        "project": spec.project if spec.project != plain.project else "",
        "gpus": str(resources.gpus or ""),
        "cpus": f"{resources.cpus:g}" if resources.cpus else "",
        "memory": _size(resources.memory_mb),
        "gpu_memory": _size(resources.gpu_memory_mb),
        "share": "yes" if resources.share else "",
        "place": spec.place or "",
        "requirement": " ".join(spec.requirements),
        "inputs": shlex.join(spec.inputs),
        "datasets": shlex.join(one.typed for one in spec.datasets if not _is_brought(one.where, spec.uploads)),
        "priority": str(spec.priority or ""),
        "workdir": spec.workdir or "",
        "retries": str(spec.max_retries_failure or ""),
        "max_parallel": str(spec.max_parallel or ""),
        "timeout": _limit(spec.timeout_ms),
        "job_timeout": _limit(spec.job_timeout_ms),
        "grace": _limit(spec.grace_ms) if spec.grace_ms != plain.grace_ms else "",
        "collect": shlex.join(spec.collect),
        "pause_by": spec.pause_by if spec.pause_by is not plain.pause_by else "",
        "resume_from": spec.resume_from or "",
        "metric_pattern": spec.metric_pattern,
    }
    return {name: text for name, text in told.items() if text}


def _is_brought(where: str, uploads: Sequence[Upload]) -> bool:
    return any(upload.name == where for upload in uploads)


def _size(megabytes: int) -> str:
    return spell_size(megabytes << 20) if megabytes else ""


def _limit(milliseconds: int | None) -> str:
    return "" if milliseconds is None else spell_duration(milliseconds)


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise InvalidRequest(f"a whole number, not {text[:60]!r}") from None
        if not lowest <= value <= highest:
            raise InvalidRequest(f"from {lowest:,} to {highest:,}, not {value}")
        return value

    return read


def _cpus(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InvalidRequest(f"a number, not {text[:60]!r}") from None
    if not 0 <= value <= CPUS_MAX:
        raise InvalidRequest(f"from 0 to {CPUS_MAX:,}, not {text[:60]}")
    return value


def _milliseconds(text: str) -> int:
    value = duration_ms(text)
    if value > DURATION_MS_MAX:
        raise InvalidRequest(f"{text[:60]!r} is too long")
    return value


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InvalidRequest(f"{text[:60]!r} can't be read: {error}") from None


def _datasets(text: str) -> tuple[str, ...]:
    words = _words(text)
    for word in words:
        read_dataset(word)
    return words


def _requirements(text: str) -> tuple[str, ...]:
    return tuple(str(one) for one in requirement.parse(text))


def _pause_by(text: str) -> PauseBy:
    try:
        return PauseBy(text)
    except ValueError:
        raise InvalidRequest(f"freeze or checkpoint, not {text[:60]!r}") from None


def _share(text: str) -> bool:
    if text.lower() not in {"yes", "no"}:
        raise InvalidRequest(f"yes or no, not {text[:60]!r}")
    return text.lower() == "yes"


def _place(text: str) -> Place:
    try:
        return Place(text)
    except ValueError:
        raise InvalidRequest(f"pack or spread, not {text[:60]!r}") from None


def _pattern(text: str) -> str:
    check_metric_pattern(text)
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "name": str, "project": str, "workdir": str, "bundle": str, "setup": str, "resume_from": str,
    "tasks": _whole(1, NUM_TASKS_MAX), "max_parallel": _whole(1, NUM_TASKS_MAX),
    "gpus": _whole(0, GPUS_OF_TASK_MAX), "cpus": _cpus, "memory": size_mb, "gpu_memory": size_mb,
    "priority": _whole(-PRIORITY_MAX, PRIORITY_MAX), "retries": _whole(0, RETRIES_MAX),
    "timeout": _milliseconds, "job_timeout": _milliseconds, "grace": _milliseconds,
    "requirement": _requirements, "inputs": _words, "datasets": _datasets, "uploads": _words,
    "fetch": _words, "collect": _words, "pause_by": _pause_by, "metric_pattern": _pattern,
    "share": _share, "place": _place,
}  # fmt: skip
DEFAULTS = tuple(_READERS)
"""The options of a job that a template can have defaults for."""
_RESOURCES = {"gpus": "gpus", "cpus": "cpus", "memory": "memory_mb", "gpu_memory": "gpu_memory_mb", "share": "share"}
_FIELDS = {
    "tasks": "num_tasks", "retries": "max_retries_failure", "timeout": "timeout_ms", "job_timeout": "job_timeout_ms",
    "grace": "grace_ms", "requirement": "requirements",
}  # fmt: skip
"""Where an option and its field aren't called the same."""
