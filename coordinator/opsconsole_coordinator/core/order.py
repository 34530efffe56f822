"""The order of waiting jobs: by priority, then by whose turn it is, then first come.

Jobs of one priority, project and person stand in one *line*. Those of a line that ask the same of a worker form a
*group*: what the workers say to the first of a group, they say to all of it, so that a hundred thousand waiting jobs
cost no more than one. A group that all workers have refused is *stuck*: it is shown only to workers that have changed.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

from opsconsole_coordinator.core.content import contents_of
from opsconsole_coordinator.core.demand import Demand, demand_of, is_particular, prefetch_of, within_ms
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.ready import next_priority, next_ready
from opsconsole_protocol.ids import JobId

Standing = tuple[float, float]
"""How much a line's project and its person have had: the less, the sooner it is its turn."""
_Place = tuple[int, JobId]
"""Where a job stands in its group: by its number."""
_LineKey = tuple[int, str, str]
_AskKey = tuple[Any, ...]
_GroupKey = tuple[_LineKey, _AskKey]


class Size:
    """How much jobs need of a worker: the first thing by which a worker that has changed is matched with groups."""

    __slots__ = ("capacities", "closed", "gpus", "lines", "share_mb", "unstuck")

    def __init__(self, demand: Demand) -> None:
        self.gpus = demand.gpus
        self.share_mb = demand.share_mb
        self.capacities = demand.capacities
        self.lines: dict[Line, int] = {}
        """How many groups of each line need as much."""
        self.unstuck: dict[Group, None] = {}
        """Those of the groups that aren't stuck."""
        self.closed = (-1, -1)
        """The last passes in which nobody had that much room: of all workers, and of those that had changed."""


class Ask(NamedTuple):
    """What jobs ask of a worker: those who ask the same get the same offers."""

    key: _AskKey
    size: Size

    @property
    def is_alone(self) -> bool:
        """Whether it is one job's, which asks for what no other does."""
        return bool(self.key[0])


class Line:
    """The waiting jobs of one priority, project and person."""

    __slots__ = ("groups", "is_told", "kin", "person", "priority", "project")

    def __init__(self, key: _LineKey) -> None:
        self.priority, self.project, self.person = key
        self.groups: dict[Group, None] = {}
        self.kin: dict[_AskKey, dict[Group, None]] = {}
        """Those that ask the same, in however much time they are done."""
        self.is_told = False
        """Its jobs say already why all of them wait."""


class Group:
    """Jobs of one line that ask the same of a worker. One whose next task has demands of its own is a group of its own."""

    __slots__ = ("_order", "ask", "demand", "jobs", "key", "line", "prefetches", "reason")

    def __init__(self, order: "Order", key: "_GroupKey", line: Line, ask: Ask, demand: Demand) -> None:
        self._order = order
        self.key = key
        self.line = line
        self.ask = ask
        self.demand = demand
        """What the job at its head asks for, as `demand_for` was told last."""
        self.jobs: list[_Place] = []
        self.prefetches = demand.prefetch > 0
        self.reason = ""
        """Why its first job waits."""

    @property
    def head(self) -> JobId:
        """Its first job."""
        return self.jobs[0][1]

    def demand_for(self, job: Job) -> Demand:
        """What a task of one of its jobs asks for."""
        if self.demand.job_id != job.id or self.prefetches:
            self.demand = demand_of(job) if self.prefetches else self.demand.of_job(job)
        return self.demand

    def suits(self, job: Job) -> bool:
        """Whether one of its jobs, with other tasks than before, still belongs into it."""
        return self.ask.is_alone == _is_alone(job) and self.line.priority == next_priority(job)

    @property
    def is_first_of_kin(self) -> bool:
        """Whether its first job came before those of the groups of its line that ask the same, and are done in another time."""
        return all(self.jobs[0] <= one.jobs[0] for one in self.line.kin[self.ask.key[:-1]])

    @property
    def is_stuck(self) -> bool:
        """Whether all workers have refused it, and none has changed since that wasn't shown it."""
        return self not in self.ask.size.unstuck

    def note_refused(self) -> None:
        """All workers have refused it."""
        self.ask.size.unstuck.pop(self, None)

    def look_again(self) -> None:
        """Show it to all workers again."""
        self.ask.size.unstuck[self] = None

    @property
    def must_explain(self) -> bool:
        """Whether all workers are to be judged, to say why it waits."""
        return self in self._order.unexplained

    @property
    def seeks_room(self) -> bool:
        """Whether no worker was looked for yet that keeps room for its first job."""
        return self in self._order.seeking

    def explain_anew(self) -> None:
        """Have it said anew why it waits."""
        self.look_again()
        self._order.unexplained[self] = None

    def note_explained(self, reason: str) -> None:
        """It was said why it waits."""
        self.reason = reason
        self._order.unexplained.pop(self, None)

    def note_sought(self) -> None:
        """A worker was looked for that keeps room for its first job, whether or not one was found."""
        self._order.seeking.pop(self, None)


class Order:
    """The jobs that have pending tasks, in order. Those whose tasks all wait for a time are asleep."""

    def __init__(self) -> None:
        self._lines: dict[_LineKey, Line] = {}
        self._asks: dict[_AskKey, tuple[Ask, int]] = {}
        """With the number of groups that ask it."""
        self._sizes: dict[tuple[object, ...], Size] = {}
        self._groups: dict[_GroupKey, Group] = {}
        self._by_job: dict[JobId, Group] = {}
        self._moved: dict[JobId, int] = {}
        """By which number a job stands in its group that somebody has moved."""
        self._asleep: dict[JobId, tuple[int, int, int]] = {}
        self._alarms: list[tuple[int, JobId]] = []
        self._explained: dict[Group, None] = {}
        """The groups, first the one that was explained the longest time ago."""
        self.unexplained: dict[Group, None] = {}
        """Those of which it is to be said anew why they wait."""
        self.seeking: dict[Group, None] = {}
        """Those for whose first job a worker is still to be looked for that keeps room for it."""
        self.over_quota: dict[Group, None] = {}
        """Those whose project or person has as much as it may have at a time."""
        self.prefetching: dict[Group, None] = {}
        """Those of which tasks are assigned ahead of free slots."""
        self.alone: dict[Group, None] = {}
        """Those that ask alone."""
        self.untold: dict[Group, tuple[int, JobId]] = {}
        """Those of whose jobs not all were told yet why they wait, and the place up to which they were."""

    def __len__(self) -> int:
        return len(self._by_job) + len(self._asleep)

    def __iter__(self) -> Iterator[JobId]:
        """The jobs' ids by priority and number: changes during the iteration don't show in it."""
        awake = [(-group.line.priority, seq, job_id) for group in self._groups.values() for seq, job_id in group.jobs]
        asleep = [(-priority, seq, job_id) for job_id, (_, priority, seq) in self._asleep.items()]
        return iter([job_id for _, _, job_id in sorted(awake + asleep)])

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._by_job or job_id in self._asleep

    @property
    def groups(self) -> Iterator[Group]:
        """All groups, in no order."""
        return iter(self._groups.values())

    @property
    def lines(self) -> Iterable[Line]:
        """All lines, in no order."""
        return self._lines.values()

    def count_groups(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    def group_of(self, job_id: JobId) -> Group | None:
        """The group that a job is in; None where it doesn't wait for a worker, or waits for a time."""
        return self._by_job.get(job_id)

    def add(self, job: Job) -> Group:
        """Insert a job, or move it to where it belongs now. Returns its group."""
        self._asleep.pop(job.id, None)
        key = ((next_priority(job), job.terms.spec.project, job.submitted_by), _ask_key(job))
        known = self._by_job.get(job.id)
        if known is not None:
            if known.key == key and self._number_of(job) == job.number:
                return known
            self.discard(job)
        group = self._groups.get(key)
        if group is None:
            group = self._make_group(key, demand_of(job))
        insort(group.jobs, (job.number, job.id))
        if group.head == job.id:
            self._note_head(group)
        group.line.is_told = False
        self._by_job[job.id] = group
        if job.number != job.seq:
            self._moved[job.id] = job.number
        return group

    def add_like(self, first: Job, others: Sequence[Job]) -> Group:
        """Insert jobs that nobody has moved and of which nothing has begun where the one is that is like them. Returns its group.

        They came after all that are there.
        """
        group = self._by_job[first.id]
        self._append(group, others)
        return group

    def fill(self, alike: Iterable[Sequence[Job]]) -> None:
        """Insert jobs as `add_like` does: those of each sequence are like its first one. Which came first is found out here."""
        groups: dict[Group, None] = {}
        for jobs in alike:
            groups[group := self.add(jobs[0])] = None
            self._append(group, jobs[1:])
        for group in groups:
            group.jobs.sort()
            self._note_head(group)

    def _append(self, group: Group, jobs: Sequence[Job]) -> None:
        if group.ask.is_alone:
            for job in jobs:
                self.add(job)
        elif jobs:
            group.jobs += [(job.seq, job.id) for job in jobs]
            group.line.is_told = False
            self._by_job.update(dict.fromkeys([job.id for job in jobs], group))

    def _number_of(self, job: Job) -> int:
        """By which number a job stands in its group, which may be another than it has now."""
        return self._moved.get(job.id, job.seq)

    def _make_group(self, key: _GroupKey, demand: Demand) -> Group:
        line_key, ask_key = key
        line = self._lines.get(line_key)
        if line is None:
            line = self._lines[line_key] = Line(line_key)
        if ask_key not in self._asks:
            needs = (demand.gpus, demand.share_mb, demand.capacities)
            size = self._sizes.get(needs)
            if size is None:
                size = self._sizes[needs] = Size(demand)
            self._asks[ask_key] = Ask(ask_key, size), 0
        ask, count = self._asks[ask_key]
        self._asks[ask_key] = ask, count + 1
        key = (line_key, ask.key)
        group = self._groups[key] = Group(self, key, line, ask, demand)
        line.groups[group] = self._explained[group] = None
        ask.size.lines[line] = ask.size.lines.get(line, 0) + 1
        line.kin.setdefault(ask_key[:-1], {})[group] = None
        group.explain_anew()
        if group.prefetches:
            self.prefetching[group] = None
        if ask.is_alone:
            self.alone[group] = None
        return group

    def _note_head(self, group: Group) -> None:
        if needs_room(group.demand):
            self.seeking[group] = None

    def discard(self, job: Job) -> None:
        """Remove a job, if it is there."""
        self._asleep.pop(job.id, None)
        group = self._by_job.pop(job.id, None)
        if group is None:
            return
        at = bisect_left(group.jobs, (self._number_of(job), job.id))
        self._moved.pop(job.id, None)
        del group.jobs[at]
        if not group.jobs:
            self._remove_group(group)
        elif not at:
            self._note_head(group)

    def _remove_group(self, group: Group) -> None:
        del self._groups[group.key]
        ask, size = group.ask, group.ask.size
        for groups in (
            self._explained,
            self.unexplained,
            self.seeking,
            self.prefetching,
            self.alone,
            self.over_quota,
            self.untold,
            group.line.groups,
            size.unstuck,
        ):
            groups.pop(group, None)
        size.lines[group.line] -= 1
        if not size.lines[group.line]:
            del size.lines[group.line]
        kin = group.line.kin[ask.key[:-1]]
        del kin[group]
        if kin:
            self._note_head(min(kin, key=lambda one: one.jobs[0]))
        else:
            del group.line.kin[ask.key[:-1]]
        count = self._asks[ask.key][1] - 1
        if count:
            self._asks[ask.key] = ask, count
        else:
            del self._asks[ask.key]
        if not size.lines:
            del self._sizes[size.gpus, size.share_mb, size.capacities]
        if not group.line.groups:
            del self._lines[group.key[0]]

    def sleep(self, job: Job, until_ms: int) -> None:
        """None of the job's tasks may start before this time."""
        self.discard(job)
        self._asleep[job.id] = (until_ms, next_priority(job), job.number)
        heappush(self._alarms, (until_ms, job.id))

    def has_due(self, now_ms: int) -> bool:
        """Whether `due` may have some."""
        return bool(self._alarms) and self._alarms[0][0] <= now_ms

    def due(self, now_ms: int) -> list[JobId]:
        """The jobs that have slept long enough: they are to be added again."""
        found: list[JobId] = []
        while self.has_due(now_ms):
            until_ms, job_id = heappop(self._alarms)
            if self._asleep.get(job_id, (None,))[0] == until_ms:
                found.append(job_id)
        return found

    def wake(self) -> None:
        """Anything may have changed: no group is stuck any more."""
        for group in self._groups.values():
            group.look_again()

    def explain_next(self, count: int) -> None:
        """The groups that were explained the longest time ago are to be explained anew."""
        for _ in range(min(count, len(self._explained))):
            group = next(iter(self._explained))
            del self._explained[group]
            self._explained[group] = None
            group.explain_anew()

    def note_release(self, project: str, person: str) -> None:
        """Something that a person had in a project was given back: whoever waited for that is looked at again."""
        for group in [one for one in self.over_quota if one.line.project == project or one.line.person == person]:
            del self.over_quota[group]
            group.look_again()

    def note_share(self, *, project: str = "", person: str = "") -> None:
        """A project or a person was set: its jobs are told anew why they wait."""
        for line in self._lines.values():
            if line.project == project or line.person == person:
                line.is_told = False
                for group in line.groups:
                    group.explain_anew()

    @property
    def sizes(self) -> Iterable[Size]:
        """How much jobs need, each once."""
        return self._sizes.values()


def needs_room(demand: Demand) -> bool:
    """Whether a task needs more than a slot: else the next slot that is free is its own."""
    return bool(demand.capacities or demand.gpus)


def _is_alone(job: Job) -> bool:
    if job.terms.spec.gang or prefetch_of(job) > 0:
        return True
    following = None if job.is_fresh else next_ready(job)
    return following is not None and is_particular(following)


def _ask_key(job: Job) -> _AskKey:
    """Jobs that ask the same get the same offers; a gang, or a job whose next task has demands of its own, asks alone.

    How long a task may last decides whether it fits before what is kept or reserved.
    """
    spec = job.terms.spec
    where = (spec.named_workers, spec.workdir)
    finds = (spec.inputs, spec.datasets, contents_of(spec))
    alone = job.id if _is_alone(job) else ""
    return (
        alone,
        where,
        spec.requirements,
        spec.resources,
        spec.place,
        finds,
        prefetch_of(job) > 0,
        (within_ms(spec) or job.guess_ms, spec.timeout_ms, spec.job_timeout_ms),
    )
