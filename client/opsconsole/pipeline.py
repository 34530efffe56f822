"""Jobs that are submitted together and name each other: `after="prepare"` in place of an id. Pure."""

import difflib
import re
from collections.abc import Callable, Mapping

from opsconsole_protocol.chain import check_cycle, check_dependency
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import JobId, check_job_id
from opsconsole_protocol.spec import JobSpec, with_other_jobs

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def check_pipeline(specs: Mapping[str, JobSpec]) -> None:
    """Raise InvalidRequest for jobs that can't be submitted together by these names; what they name is a job of them or a whole id."""
    if not specs:
        raise InvalidRequest("there is no job in this pipeline")
    for name, spec in specs.items():
        if _NAME.fullmatch(name) is None:
            raise InvalidRequest(
                f"{name[:60]!r} can't name a job: letters, digits, _ . and - are taken, 64 at most, a letter first"
            )
        try:
            for one in spec.dependencies:
                other = specs.get(one.job)
                if other is None:
                    _check_id(specs, one.job, f"{one.end.option} {one.text}")
                else:
                    check_dependency(spec, one, other, other.num_tasks)
        except InvalidRequest as error:
            raise InvalidRequest(f"{name}: {error.message}") from None
    check_cycle({name: spec.comes_after for name, spec in specs.items()})


def named_specs(specs: Mapping[str, JobSpec], new_id: Callable[[], JobId]) -> dict[str, tuple[JobId, JobSpec]]:
    """Each job with an id of its own, and the ids of the others in place of their names. Raises InvalidRequest as `check_pipeline`."""
    check_pipeline(specs)
    ids = {name: new_id() for name in specs}

    def id_of(name: str) -> str:
        return ids.get(name, name)

    return {name: (ids[name], with_other_jobs(spec, id_of, keep_names=True)) for name, spec in specs.items()}


def in_order(specs: Mapping[str, JobSpec]) -> list[str]:
    """The names, each after those that it comes after. The specs are checked."""
    done: dict[str, None] = {}
    left = list(specs)
    while left:
        ready = [name for name in left if all(one in done or one not in specs for one in specs[name].comes_after)]
        done |= dict.fromkeys(ready)
        left = [name for name in left if name not in done]
    return list(done)


def _check_id(specs: Mapping[str, JobSpec], name: str, where: str) -> None:
    try:
        check_job_id(name)
    except InvalidRequest:
        near = difflib.get_close_matches(name, specs, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(specs)}"
        raise InvalidRequest(f"{where}: there is no job {name[:60]!r} in this pipeline: {hint}") from None
