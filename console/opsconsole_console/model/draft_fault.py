"""Which fields of the form are to blame where each can be read and the job can't be right as a whole. Pure."""

from collections.abc import Iterator

from msgspec.structs import replace

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec, check_spec

FORM_FIELDS = {
    "name": "name", "project": "project", "bundle": "bundle", "uploads": "uploads", "setup": "setup", "collect": "collect",
    "inputs": "inputs", "datasets": "datasets", "priority": "priority", "gpus": "resources", "requirement": "requirements",
    "workdir": "workdir", "env": "environment", "after": "after", "takes": "takes", "after_failure": "after_failure",
    "after_any": "after_any", "retries": "max_retries_failure", "job_timeout": "job_timeout_ms", "timeout": "timeout_ms",
    "grace": "grace_ms", "gang": "gang", "max_parallel": "max_parallel", "ports": "ports", "hold": "held",
    "pause_by": "pause_by", "resume_from": "resume_from", "start_within": "scheduling_timeout_ms",
    "metric_pattern": "metric_pattern", "place": "place",
}  # fmt: skip
"""The field of a spec that each field of the form makes, in an order in which what needs another comes after it."""


def faults(spec: JobSpec) -> dict[str, str]:
    """The fields of the form that can't stand beside those before them, each with what is wrong; `command` where it is none of these."""
    try:
        check_spec(spec)
    except InvalidRequest:
        return dict(_search(spec))
    return {}


def _search(spec: JobSpec) -> Iterator[tuple[str, str]]:
    plain = JobSpec(command=spec.command)
    good = replace(spec, **{name: getattr(plain, name) for name in FORM_FIELDS.values()})
    try:
        check_spec(good)
    except InvalidRequest as error:
        yield "command", error.message
        return
    for field, name in FORM_FIELDS.items():
        more = replace(good, **{name: getattr(spec, name)})
        try:
            check_spec(more)
        except InvalidRequest as error:
            yield field, error.message
        else:
            good = more
