"""Jobs that are submitted together and wait for each other: whether they can."""

from collections.abc import Mapping, Sequence

from opsconsole_protocol.dependency import Dependency, End
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import JobSpec


def check_cycle(after: Mapping[str, Sequence[str]]) -> None:
    """Raise InvalidRequest where jobs submitted together wait for each other in a circle."""
    done: set[str] = set()
    for start in after:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            job, is_left = stack.pop()
            if is_left:
                on_path.discard(path.pop())
                done.add(job)
                continue
            if job in on_path:
                circle = " → ".join([*path[path.index(job) :], job])
                raise InvalidRequest(f"these jobs wait for each other: {circle}")
            if job in done or job not in after:
                continue
            path.append(job)
            on_path.add(job)
            stack.append((job, True))
            stack.extend((other, False) for other in after[job])


def check_dependency(spec: JobSpec, one: Dependency, other: JobSpec | None, count: int) -> None:
    """Raise InvalidRequest where a job can't wait for that. `other`: the job that is waited for, if it is known, of `count` tasks."""
    option = f"{one.end.option} {one.text}"
    if one.end is End.RESULTS and other is not None and not other.collect:
        raise InvalidRequest(f"{option}: nothing is collected of that job: give it --collect PATTERN")
    tasks = "1 task" if count == 1 else f"{count} tasks"
    if one.task_index is not None and one.task_index >= count:
        raise InvalidRequest(f"{option}: that job has {tasks}, from task-0 to task-{count - 1}")
    if one.each and count != spec.num_tasks:
        raise InvalidRequest(
            f"{option}: that job has {tasks} and this one {spec.num_tasks}: task by task, both need the same number"
        )
