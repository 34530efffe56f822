"""The order of waiting jobs: by priority, then by whose turn it is, then first come.

Jobs of one priority, project and person stand in one *line*. Those of a line that ask the same of a worker form a
*group*: what the workers say to the first of a group, they say to all of it, so that a hundred thousand waiting jobs
cost no more than one. A group that all workers have refused is *stuck*: it is shown only to workers that have changed.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

from opsconsole_coordinator.core.demand import Demand, demand_of, is_particular, prefetch_of
from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.ids import JobId

Standing = tuple[float, float]
"""How much a line's project and its person have had: the less, the sooner it is its turn."""
_Place = tuple[int, JobId]
"""Where a job stands in its line: by its number."""
_LineKey = tuple[int, str, str]
_AskKey = tuple[Any, ...]
_GroupKey = tuple[_LineKey, _AskKey]


class Ask:
    """What jobs ask of a worker: one for all groups that ask the same."""

    __slots__ = ("closed", "demand", "groups", "key")

    def __init__(self, key: _AskKey, demand: Demand) -> None:
        self.key = key
        self.demand = demand
        """As the first job that asked it."""
        self.groups = 0
        """How many groups ask it."""
        self.closed = (-1, -1)
        """The last passes in which nobody had room for it: of all workers, and of those that had changed."""

    @property
    def is_alone(self) -> bool:
        """Whether it is one job's, which asks for what no other does."""
        return bool(self.key[0])


class Line:
    """The waiting jobs of one priority, project and person."""

    __slots__ = ("_heads", "is_told", "person", "priority", "project")

    def __init__(self, key: _LineKey) -> None:
        self.priority, self.project, self.person = key
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

    def first_from(self, seq: int, is_open: Callable[["Group"], bool]) -> "Group | None":
        """The first of the open groups whose first job has this number or a higher one."""
        heads = self._heads
        for place in range(bisect_left(heads, seq, key=_first) if seq else 0, len(heads)):
            group = heads[place][1]
            if is_open(group):
                return group
        return None

    def insert(self, group: "Group") -> None:
        """Put a group where its first job belongs."""
        insort(self._heads, (group.jobs[0][0], group), key=_first)

    def remove(self, seq: int) -> None:
        """Take out the group whose first job has this number."""
        del self._heads[bisect_left(self._heads, seq, key=_first)]


class Group:
    """Jobs of one line that ask the same of a worker. One whose next task has demands of its own is a group of its own."""

    __slots__ = (
        "ask", "demand", "is_stuck", "jobs", "line", "must_explain", "prefetches", "reason", "room_sought_for",
    )  # fmt: skip

    def __init__(self, line: Line, ask: Ask, demand: Demand) -> None:
        self.line = line
        self.ask = ask
        self.demand = demand
        """What the job at its head asks for, as `demand_for` was told last."""
        self.jobs: list[_Place] = []
        self.prefetches = demand.prefetch > 0
        self.reason = ""
        """Why its first job waits."""
        self.room_sought_for: JobId | None = None
        """The job for which room was last sought to be kept, whether or not any was found."""
        self.is_stuck = False
        """All workers have refused it, and none has changed since that was shown it."""
        self.must_explain = True
        """All workers are to be judged, to say why it waits."""

    @property
    def head(self) -> JobId:
        """Its first job."""
        return self.jobs[0][1]

    def demand_for(self, job: Job) -> Demand:
        """What a task of one of its jobs asks for."""
        if self.demand.job_id != job.id or self.prefetches:
            self.demand = demand_of(job)
        return self.demand

    def suits(self, job: Job) -> bool:
        """Whether one of its jobs, with other tasks than before, still belongs into it."""
        return self.ask.is_alone == _is_alone(job)

    def explain_anew(self) -> None:
        """Have it said anew why it waits."""
        self.is_stuck, self.must_explain = False, True

    def note_explained(self, reason: str) -> None:
        """It was said why it waits."""
        self.reason, self.must_explain = reason, False


class Order:
    """The jobs that have pending tasks, in order. Those whose tasks all wait for a time are asleep."""

    def __init__(self) -> None:
        self._lines: dict[_LineKey, Line] = {}
        self._asks: dict[_AskKey, Ask] = {}
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
        awake = [(-line[0], seq, job_id) for job_id, ((line, _), seq) in self._by_job.items()]
        asleep = [(-priority, seq, job_id) for job_id, (_, priority, seq) in self._asleep.items()]
        return iter([job_id for _, _, job_id in sorted(awake + asleep)])

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._by_job or job_id in self._asleep

    @property
    def groups(self) -> Iterator[Group]:
        """All groups, in no order."""
        return iter(self._groups.values())

    def count_groups(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    def group_of(self, job_id: JobId) -> Group | None:
        """The group that a job is in; None where it doesn't wait for a worker, or waits for a time."""
        found = self._by_job.get(job_id)
        return None if found is None else self._groups[found[0]]

    def add(self, job: Job) -> Group:
        """Insert a job, or move it to where it belongs now. Returns its group."""
        self._asleep.pop(job.id, None)
        key = ((job.priority, job.spec.project, job.submitted_by), _ask_key(job))
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
        line_key, ask_key = key
        line = self._lines.get(line_key)
        if line is None:
            line = self._lines[line_key] = Line(line_key)
        demand = demand_of(job)
        ask = self._asks.get(ask_key)
        if ask is None:
            ask = self._asks[ask_key] = Ask(ask_key, demand)
        ask.groups += 1
        group = self._groups[line_key, ask.key] = Group(line, ask, demand)
        self._explained[line_key, ask.key] = None
        group.jobs.append((job.seq, job.id))
        line.insert(group)
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
        group.line.remove(seq)
        del group.jobs[0]
        if group.jobs:
            group.line.insert(group)
            return
        del self._groups[key], self._explained[key]
        group.ask.groups -= 1
        if not group.ask.groups:
            del self._asks[group.ask.key]

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

    def turns(self, standing: Callable[[Line], Standing | None], is_open: Callable[[Group], bool]) -> "Turns":
        """One pass through the lines. `standing` says how much a line has had, or None where it has no turn in this pass.

        `is_open` says whether a group is to have its turn; it may say no later on in the pass, but not yes again.
        """
        for key in [key for key, line in self._lines.items() if line.is_empty]:
            del self._lines[key]
        return Turns(self._lines.values(), standing, is_open)


_Entry = tuple[int, Standing, int, int]


class Turns:
    """Whose turn it is, one after the other, in one pass: by priority, then the line that has had least, then first come.

    What a line has had may grow during the pass.
    """

    def __init__(
        self, lines: Iterable[Line], standing: Callable[[Line], Standing | None], is_open: Callable[[Group], bool]
    ) -> None:
        self._standing = standing
        self._is_open = is_open
        self._group: Group | None = None
        self._from: dict[int, int] = {}
        """For each line by its place: the number from which on its jobs weren't refused in this pass."""
        self._lines: list[Line] = list(lines)
        self._heap: list[_Entry] = []
        for place in range(len(self._lines)):
            if (entry := self._entry(place)) is not None:
                self._heap.append(entry)
        heapify(self._heap)

    def _entry(self, place: int) -> _Entry | None:
        line = self._lines[place]
        standing = self._standing(line)
        group = None if standing is None else line.first_from(self._from.get(place, 0), self._is_open)
        if group is None or standing is None:
            return None
        self._group = group
        return -line.priority, standing, group.jobs[0][0], place

    def next(self) -> Group | None:
        """The group whose turn it is; None at the end. Without `pass_by` it has the next turn of its line, too."""
        sure: _Entry | None = None
        while self._heap:
            entry = self._heap[0]
            if entry is sure:
                return self._group
            sure = self._entry(entry[3])
            if sure is None:
                heappop(self._heap)
            else:
                heapreplace(self._heap, sure)
        return None

    def pass_by(self) -> None:
        """The group whose turn it is has no further turn in this pass."""
        _, _, seq, place = self._heap[0]
        self._from[place] = seq + 1

    @property
    def is_alone(self) -> bool:
        """Whether no other line has a turn of the same priority."""
        first = self._heap[0][0]
        return all(one[0] != first for one in self._heap[1:3])


def _first(head: tuple[int, Group]) -> int:
    return head[0]


def _is_alone(job: Job) -> bool:
    if job.spec.gang or prefetch_of(job) > 0:
        return True
    return bool(job.ready) and is_particular(job.tasks[job.ready[0]])


def _ask_key(job: Job) -> _AskKey:
    """Jobs that ask the same get the same offers; a gang, or a job whose next task has demands of its own, asks alone."""
    spec = job.spec
    demand = demand_of(job)
    where = (demand.named, spec.workdir)
    finds = (spec.inputs, spec.datasets, demand.contents)
    alone = job.id if _is_alone(job) else ""
    return (alone, where, spec.requirements, spec.resources, finds, demand.prefetch > 0)
