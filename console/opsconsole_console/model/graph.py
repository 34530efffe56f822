"""Jobs that wait for each other, drawn as a tree: each stands once, below the job that it waits for last. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from opsconsole_console import format as fmt
from opsconsole_protocol.api import GraphAnswer, GraphRow, JobRow, NeedRow
from opsconsole_protocol.dependency import End
from opsconsole_protocol.state import TaskState


@dataclass(frozen=True)
class GraphLine:
    """A job, what is drawn before it, and what the drawing doesn't say of what it waits for."""

    branch: str
    job: JobRow
    note: str


def graph_lines(jobs: Sequence[GraphRow], title: Callable[[str], str]) -> list[GraphLine]:
    """A line for each job. `jobs`: each after those that it waits for; `title`: what another job is called in a note."""
    parents = _parents(jobs)
    children: dict[str, list[GraphRow]] = {}
    for row in jobs:
        children.setdefault(parents[row.job.id], []).append(row)
    lines: list[GraphLine] = []
    left = [(row, "", "", "") for row in reversed(children.get("", ()))]
    while left:
        row, before, branch, below = left.pop()
        lines.append(GraphLine(before + branch, row.job, _note(row, parents[row.job.id], title)))
        some = children.get(row.job.id, ())
        for place, one in reversed(list(enumerate(some))):
            is_last = place == len(some) - 1
            left.append((one, before + below, "└─ " if is_last else "├─ ", "   " if is_last else "│  "))
    return lines


def _parents(jobs: Sequence[GraphRow]) -> Mapping[str, str]:
    """Below which job each stands: of those that it waits for, one that has most before it."""
    depths: dict[str, int] = {}
    parents: dict[str, str] = {}
    for row in jobs:
        parent = max((need.id for need in row.needs if need.id in depths), key=lambda one: depths[one], default="")
        parents[row.job.id] = parent
        depths[row.job.id] = depths[parent] + 1 if parent else 0
    return parents


def _note(row: GraphRow, parent: str, title: Callable[[str], str]) -> str:
    """`task by task; also with the results of prepare`."""
    own = [words for need in row.needs if need.id == parent and (words := need_words(need, ""))]
    other = [need_words(need, title(need.id)) for need in row.needs if need.id != parent]
    return "; ".join([*own, *(f"also {words}" for words in other)])


def need_words(need: NeedRow, name: str) -> str:
    """How a job waits for another. Without the name of that one, nothing is said of what goes without saying."""
    end = End(need.end)
    part = {"": "", "*": "task by task"}.get(need.part, f"task {need.part}")
    alone = "" if end is End.SUCCESS else end.alone
    how = f"{end.words} {name}" if name else alone
    return ", ".join(filter(None, (how, part)))


def head_words(answer: GraphAnswer) -> str:
    """`3 jobs before and after it, and others further away`."""
    beside = len(answer.jobs) - 1
    if not beside:
        return "it waits for no job, and none waits for it"
    more = ", and others further away" if answer.more else ""
    return f"{fmt.plural(beside, 'job')} before and after it{more}"


def done_words(job: JobRow) -> str:
    """How many of its tasks have succeeded, of how many; empty where it has one."""
    return f"{job.task_counts.get(TaskState.SUCCEEDED, 0)}/{job.num_tasks}" if job.num_tasks > 1 else ""
