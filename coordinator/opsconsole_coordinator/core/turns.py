"""Whose turn it is in one pass of the scheduler."""

from collections.abc import Callable, Container, Iterable
from heapq import heapify, heappop, heappush, heapreplace

from opsconsole_coordinator.core.order import Group, Line, Size, Standing

_UNKNOWN = -(1 << 62)
"""The number of a line's first job before the line is in order: before all others, so that it is put in order in time."""
_Turn = tuple[int, int, Group]
_Entry = tuple[int, Standing, int, int, Line]


class Turns:
    """Whose turn it is, one after the other, in one pass: by priority, then the line that has had least, then first come.

    `standing` says how much a line has had, which may grow during the pass; None: it has no turn in this pass. Turns have the
    groups of these sizes, and those `groups`. A line's groups are put in order only once it may be its turn.
    """

    def __init__(
        self,
        lines: Iterable[Line],
        standing: Callable[[Line], Standing | None],
        sizes: Container[Size],
        groups: Container[Group],
    ) -> None:
        self._standing = standing
        self._sizes = sizes
        self._others = groups
        self._groups: dict[Line, list[_Turn]] = {}
        """Of lines that are in order, the groups that have turns."""
        self._added: set[Group] = set()
        self._passed: set[Group] = set()
        self._count = 0
        self._heap: list[_Entry] = []
        self._set_lines(lines)

    def _set_lines(self, lines: Iterable[Line]) -> None:
        self._lines = dict.fromkeys(lines)
        """Those in the heap."""
        entries = (self._entry(line, _UNKNOWN) for line in self._lines)
        self._heap = [entry for entry in entries if entry is not None]
        heapify(self._heap)

    def _entry(self, line: Line, number: int) -> "_Entry | None":
        standing = self._standing(line)
        self._count += 1
        return None if standing is None else (-line.priority, standing, number, self._count, line)

    def add(self, group: Group) -> None:
        """A group has turns in this pass, too."""
        line = group.line
        groups = self._groups.get(line)
        if groups is None:
            self._added.add(group)
        elif group in self._passed or any(one[2] is group for one in groups):
            return
        else:
            self._count += 1
            heappush(groups, (group.jobs[0][0], self._count, group))
        if line not in self._lines and (entry := self._entry(line, _UNKNOWN)) is not None:
            self._lines[line] = None
            heappush(self._heap, entry)

    def leave_only(self, groups: Container[Group], lines: Iterable[Line]) -> None:
        """No others have any further turn in this pass. `lines`: theirs."""
        self._sizes, self._others = (), groups
        self._groups.clear()
        self._added.clear()
        self._set_lines(lines)

    def next(self) -> Group | None:
        """The group whose turn it is; None at the end. Without `pass_by` it has the next turn of its line, too."""
        heap = self._heap
        while heap:
            first = heap[0]
            line = first[4]
            number = self._first_of(line)
            standing = None if number is None else self._standing(line)
            if number is None or standing is None:
                heappop(heap)
                del self._lines[line]
            elif number != first[2] or standing != first[1]:
                heapreplace(heap, (first[0], standing, number, first[3], line))
            else:
                return self._groups[line][0][2]
        return None

    def _first_of(self, line: Line) -> int | None:
        """The number of its first job that may have a turn."""
        groups = self._groups.get(line)
        if groups is None:
            sizes, others, added, passed = self._sizes, self._others, self._added, self._passed
            groups = self._groups[line] = [
                (one.jobs[0][0], place, one)
                for place, one in enumerate(line.groups)
                if (one.ask.size in sizes or one in others or one in added) and one not in passed and one.jobs
            ]
            self._count += len(line.groups)
            heapify(groups)
        while groups:
            number, place, group = groups[0]
            if not group.jobs or group in self._passed:
                heappop(groups)
            elif group.jobs[0][0] != number:
                heapreplace(groups, (group.jobs[0][0], place, group))
            else:
                return number
        return None

    def pass_by(self, group: Group) -> None:
        """It has no further turn in this pass."""
        self._passed.add(group)

    @property
    def is_alone(self) -> bool:
        """Whether the group whose turn it is is the only one of its priority that may have one."""
        first = self._heap[0]
        return len(self._groups[first[4]]) == 1 and all(one[0] != first[0] for one in self._heap[1:3])
