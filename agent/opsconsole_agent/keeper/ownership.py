"""Which process belongs to which attempt.

The evidence, strongest first: the process is the leader; it was known before; it descends from a known one; its
environment has the mark; it is in the leader's session; it carries the limit mark. A daemon that got rid of all that is one
of our own adopted children, since we are the sub-reaper. It belongs to the one attempt that can have started it; while
several can have, it belongs to none, so that ending one attempt never touches another.
"""

import os
from collections.abc import Iterable, Mapping

from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.limit_mark import read_limit_mark
from opsconsole_agent.keeper.process import Process, find_process, list_processes, read_mark


class Evidence:
    """By what a single process is recognised, for a given set of attempts."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self._attempts = list(attempts)
        self._by_id = {attempt.id: attempt for attempt in self._attempts}
        self._by_session = {attempt.pid: attempt for attempt in self._attempts if attempt.pid > 1}
        self._by_identity = {attempt.identity: attempt for attempt in self._attempts}
        for attempt in self._attempts:
            for identity in attempt.known:
                self._by_identity.setdefault(identity, attempt)
        self._by_limit_mark = {attempt.limit_mark: attempt for attempt in self._attempts if attempt.limit_mark}
        self._has_adopted = not all(attempt.child for attempt in self._attempts)
        self._oldest = min((attempt.start_time for attempt in self._attempts), default=0)
        self.unsure = False
        """Whether a process was between two programs, when its environment can't be read."""

    def owner_by_identity(self, process: Process) -> Attempt | None:
        """Return the attempt whose leader this is, or that it was known to belong to."""
        return self._by_identity.get(process.identity)

    def owner(self, process: Process) -> Attempt | None:
        """Return the attempt that it belongs to by identity, environment mark, session or limit mark."""
        owner = self._by_identity.get(process.identity)
        if owner is not None or process.start_time < self._oldest:
            return owner
        mark = read_mark(process.pid)
        if mark is None and process.alive and process.parent == os.getpid():
            self.unsure = True
        if mark:
            return self._by_id.get(mark)
        owner = self._owner_by_session(process)
        if owner is None and (self._has_adopted or process.parent == os.getpid()):
            owner = self._by_limit_mark.get(read_limit_mark(process.pid))
        return owner

    def _owner_by_session(self, process: Process) -> Attempt | None:
        """A session keeps its number as long as a process is in it; if that number has a new leader, it is another one.

        For an adopted attempt whose leader has ended, nobody watched whether the number was used again.
        """
        owner = self._by_session.get(process.session)
        if owner is None:
            return None
        leader = find_process(process.session)
        ours = owner.child if leader is None else leader.identity == owner.identity
        return owner if ours else None

    def possible_owners(self, orphan: Process) -> list[Attempt]:
        """Return the attempts that can have left this child of ours: those that aren't younger than it."""
        return [attempt for attempt in self._attempts if attempt.child and attempt.start_time <= orphan.start_time]


class Ownership:
    """All processes of one moment, sorted by attempt."""

    def __init__(self, attempts: Iterable[Attempt], orphans: Mapping[int, Attempt]) -> None:
        """`orphans`: our adopted children, by pid, whose attempt is known already."""
        attempts = list(attempts)
        self.orphans: dict[int, Attempt] = {}
        """Our adopted children by pid, and the attempt of each."""
        self.doubtful: set[str] = set()
        """Ids of attempts that may have left a process which can't be told from another attempt's."""
        self._table = list_processes()
        self._children: dict[int, list[Process]] = {}
        for process in self._table.values():
            self._children.setdefault(process.parent, []).append(process)
        self._owner: dict[int, Attempt] = {}
        self._own_pid = os.getpid()
        evidence = Evidence(attempts)
        self._assign_by_evidence(evidence, orphans)
        self._assign_orphans(evidence)
        self.unsure = evidence.unsure
        self._members: dict[str, list[Process]] = {attempt.id: [] for attempt in attempts}
        for pid, owner in self._owner.items():
            if self._table[pid].alive and owner.id in self._members:
                self._members[owner.id].append(self._table[pid])
        for attempt in attempts:
            attempt.known = {process.identity for process in self._members[attempt.id]}

    def members(self, attempt: Attempt) -> list[Process]:
        """Return the attempt's living processes."""
        return self._members[attempt.id]

    def _assign_by_evidence(self, evidence: Evidence, orphans: Mapping[int, Attempt]) -> None:
        for process in self._table.values():
            owner = evidence.owner_by_identity(process)
            if owner is None and process.parent == self._own_pid:
                owner = orphans.get(process.pid)
            if owner is not None:
                self._assign_tree(process, owner)
        for process in self._table.values():
            if process.pid not in self._owner and process.pid != self._own_pid:
                owner = evidence.owner(process)
                if owner is not None:
                    self._assign_tree(process, owner)

    def _assign_orphans(self, evidence: Evidence) -> None:
        for process in self._children.get(self._own_pid, []):
            if process.pid not in self._owner and process.alive:
                owners = evidence.possible_owners(process)
                if owners and (len(owners) == 1 or all(attempt.leader_gone for attempt in owners)):
                    self._assign_tree(process, owners[0])
                else:
                    self.doubtful.update(attempt.id for attempt in owners)
            if process.pid in self._owner and self._owner[process.pid].pid != process.pid:
                self.orphans[process.pid] = self._owner[process.pid]

    def _assign_tree(self, root: Process, owner: Attempt) -> None:
        """Assign the process and all that descends from it, as far as it isn't assigned yet."""
        pending = [root]
        while pending:
            process = pending.pop()
            if process.pid not in self._owner and process.pid != self._own_pid:
                self._owner[process.pid] = owner
                pending.extend(self._children.get(process.pid, ()))
