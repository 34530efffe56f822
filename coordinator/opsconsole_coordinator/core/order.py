"""The order of waiting jobs: by priority, then by whose turn it is, then first come.

Jobs of one priority, project and person stand in one *line*. Those of a line that ask the same of a worker form a
*group*: what the workers say to the first of a group, they say to all of it, so that a hundred thousand waiting jobs
cost no more than one. A group that all workers have refused is *stuck*: it is looked at again once a worker has changed.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from opsconsole_coordinator.core.demand import demand_of, is_particular
from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.ids import JobId

Standing = tuple[float, float]
"""How much a line's project and its person have had: the less, the sooner it is its turn."""
_Place = tuple[int, JobId]
"""Where a job stands in its line: by its number."""


class _GroupKey(NamedTuple):
    priority: int
    project: str
    person: str
    asks: tuple[Any, ...]


class Line:
    """The waiting jobs of one priority, project and person."""

    __slots__ = ("_heads", "is_told", "person", "prefetching", "priority", "project", "unexplained")

    def __init__(self, priority: int, project: str, person: str) -> None:
        self.priority = priority
        self.project = project
        self.person = person
        self.prefetching = 0
        """How many of its groups have tasks that are assigned ahead of free slots."""
        self.unexplained: set[Group] = set()
        """Those of its groups of which it is to be said anew why they wait."""
        self.is_told = False
        """Its jobs say already why all of them wait."""
        self._heads: list[tuple[int, Group]] = []

    @property
    def groups(self) -> Iterator["Group"]:
        """In the order of their first jobs."""
        return iter([group for _, group in self._heads])

    @property
    def is_empty(self) -> bool:
        """Whether nobody stands in it."""
        return not self._heads

    def first_from(self, seq: int) -> "Group | None":
        """The first group whose first job has this number or a higher one."""
        at = bisect_left(self._heads, seq, key=_first)
        return self._heads[at][1] if at < len(self._heads) else None

    def insert(self, group: "Group") -> None:
        """Put a group where its first job belongs."""
        insort(self._heads, (group.jobs[0][0], group), key=_first)

    def remove(self, seq: int) -> None:
        """Take out the group whose first job has this number."""
        del self._heads[bisect_left(self._heads, seq, key=_first)]


class Group:
    """Jobs of one line that ask the same of a worker. One whose next task has demands of its own is a group of its own."""

    __slots__ = ("is_stuck", "jobs", "key", "line", "prefetches", "reason", "room_sought_for", "with_gpus")

    def __init__(self, line: Line, key: _GroupKey, job: Job) -> None:
        demand = demand_of(job)
        self.line = line
        self.key = key
        self.jobs: list[_Place] = []
        self.with_gpus = demand.gpus > 0
        self.prefetches = demand.prefetch > 0
        self.reason = ""
        """Why its first job waits."""
        self.room_sought_for: JobId | None = None
        """The job for which room was last sought to be kept, whether or not any was found."""
        self.is_stuck = False
        self.explain_anew()

    @property
    def head(self) -> JobId:
        """Its first job."""
        return self.jobs[0][1]

    @property
    def must_explain(self) -> bool:
        """Whether all workers are to be judged, to say why it waits."""
        return self in self.line.unexplained

    def explain_anew(self) -> None:
        """Have it said anew why it waits."""
        self.is_stuck = False
        self.line.unexplained.add(self)

    def note_explained(self, reason: str) -> None:
        """It was said why it waits."""
        self.reason = reason
        self.line.unexplained.discard(self)


class Order:
    """The jobs that have pending tasks, in order. Those whose tasks all wait for a time are asleep."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, str, str], Line] = {}
        self._groups: dict[_GroupKey, Group] = {}
        self._by_job: dict[JobId, tuple[_GroupKey, int]] = {}
        self._asleep: dict[JobId, tuple[int, int, int]] = {}
        self._alarms: list[tuple[int, JobId]] = []
        self._explained: dict[_GroupKey, None] = {}
        """The groups, first the one that was explained the longest time ago."""

    def __len__(self) -> int:
        return len(self._by_job) + len(self._asleep)

    def __iter__(self) -> Iterator[JobId]:
        """The jobs' ids by priority and number: changes during the iteration don't show in it."""
        awake = [(-key.priority, seq, job_id) for job_id, (key, seq) in self._by_job.items()]
        asleep = [(-priority, seq, job_id) for job_id, (_, priority, seq) in self._asleep.items()]
        return iter([job_id for _, _, job_id in sorted(awake + asleep)])

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._by_job or job_id in self._asleep

    @property
    def lines(self) -> Iterator[Line]:
        """All lines, in no order."""
        return iter(list(self._lines.values()))

    @property
    def groups(self) -> Iterator[Group]:
        """All groups, in no order."""
        return iter(self._groups.values())

    def group_of(self, job_id: JobId) -> Group | None:
        """The group that a job is in; None where it doesn't wait for a worker, or for a time."""
        found = self._by_job.get(job_id)
        return None if found is None else self._groups[found[0]]

    def add(self, job: Job) -> Group:
        """Insert a job, or move it to where it belongs now. Returns its group."""
        self._asleep.pop(job.id, None)
        key = _GroupKey(job.priority, job.spec.project, job.submitted_by, _asks(job))
        known = self._by_job.get(job.id)
        if known is not None:
            if known[0] == key:
                return self._groups[key]
            self.discard(job)
        group = self._groups.get(key)
        if group is None:
            group = self._make_group(key, job)
        elif group.jobs[0][0] > job.seq:
            group.line.remove(group.jobs[0][0])
            group.jobs.insert(0, (job.seq, job.id))
            group.line.insert(group)
        else:
            insort(group.jobs, (job.seq, job.id))
        group.line.is_told = False
        self._by_job[job.id] = (key, job.seq)
        return group

    def _make_group(self, key: _GroupKey, job: Job) -> Group:
        whose = key[:3]
        line = self._lines.get(whose)
        if line is None:
            line = self._lines[whose] = Line(*whose)
        group = self._groups[key] = Group(line, key, job)
        self._explained[key] = None
        group.jobs.append((job.seq, job.id))
        line.insert(group)
        line.prefetching += group.prefetches
        return group

    def discard(self, job: Job) -> None:
        """Remove a job, if it is there."""
        self._asleep.pop(job.id, None)
        found = self._by_job.pop(job.id, None)
        if found is None:
            return
        key, seq = found
        group = self._groups[key]
        at = bisect_left(group.jobs, (seq, job.id))
        if at:
            del group.jobs[at]
            return
        line = group.line
        line.remove(seq)
        del group.jobs[0]
        if group.jobs:
            line.insert(group)
            return
        line.prefetching -= group.prefetches
        line.unexplained.discard(group)
        del self._groups[key], self._explained[key]

    def sleep(self, job: Job, until_ms: int) -> None:
        """None of the job's tasks may start before this time."""
        self.discard(job)
        self._asleep[job.id] = (until_ms, job.priority, job.seq)
        heappush(self._alarms, (until_ms, job.id))

    def due(self, now_ms: int) -> list[JobId]:
        """The jobs that have slept long enough: they are to be added again."""
        found: list[JobId] = []
        while self._alarms and self._alarms[0][0] <= now_ms:
            until_ms, job_id = heappop(self._alarms)
            if self._asleep.get(job_id, (None,))[0] == until_ms:
                found.append(job_id)
        return found

    def wake(self) -> None:
        """Anything may have changed: no group is stuck any more."""
        for group in self._groups.values():
            group.is_stuck = False

    def explain_next(self, count: int) -> None:
        """The groups that were explained the longest time ago are to be explained anew."""
        for _ in range(min(count, len(self._explained))):
            key = next(iter(self._explained))
            del self._explained[key]
            self._explained[key] = None
            self._groups[key].explain_anew()

    def note_project(self, name: str) -> None:
        """A project was set: its jobs are told anew why they wait."""
        for line in self._lines.values():
            if line.project == name:
                line.is_told = False
                for group in line.groups:
                    group.explain_anew()

    def turns(self, standing: Callable[[Line], Standing | None]) -> "Turns":
        """One pass through the lines. `standing` says how much a line has had, or None where it has no turn in this pass."""
        for key in [key for key, line in self._lines.items() if line.is_empty]:
            del self._lines[key]
        return Turns(self._lines.values(), standing)


class Turns:
    """Whose turn it is, one after the other, in one pass: by priority, then the line that has had least, then first come.

    What a line has had may grow during the pass.
    """

    def __init__(self, lines: Iterable[Line], standing: Callable[[Line], Standing | None]) -> None:
        self._standing = standing
        self._from: dict[int, int] = {}
        """For each line by its place: the number from which on its jobs weren't refused in this pass."""
        self._lines: list[Line] = list(lines)
        self._heap: list[tuple[int, Standing, int, int]] = []
        for place in range(len(self._lines)):
            if (entry := self._entry(place)) is not None:
                self._heap.append(entry)
        heapify(self._heap)

    def _entry(self, place: int) -> tuple[int, Standing, int, int] | None:
        line = self._lines[place]
        group = line.first_from(self._from.get(place, 0))
        standing = None if group is None else self._standing(line)
        if group is None or standing is None:
            return None
        return -line.priority, standing, group.jobs[0][0], place

    def next(self) -> Group | None:
        """The group whose turn it is; None at the end. Without `pass_by` it has the next turn of its line, too."""
        while self._heap:
            entry = self._heap[0]
            present = self._entry(entry[3])
            if present is None:
                heappop(self._heap)
            elif present != entry:
                heappop(self._heap)
                heappush(self._heap, present)
            else:
                return self._lines[entry[3]].first_from(entry[2])
        return None

    def pass_by(self) -> None:
        """The group whose turn it is has no further turn in this pass."""
        _, _, seq, place = self._heap[0]
        self._from[place] = seq + 1

    def leave_line(self) -> None:
        """The line whose turn it is has no further turn in this pass."""
        heappop(self._heap)

    @property
    def is_alone(self) -> bool:
        """Whether no other line has a turn of the same priority."""
        first = self._heap[0][0]
        return all(one[0] != first for one in self._heap[1:3])


def _first(head: tuple[int, Group]) -> int:
    return head[0]


def _asks(job: Job) -> tuple[Any, ...]:
    """Jobs that ask the same get the same offers; a gang, or a job whose next task has demands of its own, asks alone."""
    spec = job.spec
    demand = demand_of(job)
    is_alone = spec.gang or demand.prefetch > 0 or (job.ready and is_particular(job.tasks[job.ready[0]]))
    where = (demand.named, spec.workdir)
    finds = (spec.inputs, spec.datasets, demand.contents)
    return (job.id if is_alone else "", where, spec.requirements, spec.resources, finds, demand.prefetch > 0)
