"""Which process belongs to which attempt.

Evidence, strongest first: being the leader; having been known before; descent; the environment mark; the leader's
session; the limit that it carries. A daemon that got rid of all that is one of our own adopted children (we are the
sub-reaper): it belongs to the one attempt that can have made it; while there are several, to none, so that ending one
never touches another.
"""

import os

from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.brand import read_brand
from opsconsole_agent.keeper.process import Process, look, look_at_all, read_mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Evidence:
    """What single processes are recognised by, for a given set of attempts."""

    def __init__(self, attempts: "Iterable[Attempt]") -> None:
        self._attempts = list(attempts)
        self._by_id = {attempt.id: attempt for attempt in self._attempts}
        self._by_session = {attempt.pid: attempt for attempt in self._attempts if attempt.pid > 1}
        self._by_identity = {attempt.identity: attempt for attempt in self._attempts}
        for attempt in self._attempts:
            for identity in attempt.known:
                self._by_identity.setdefault(identity, attempt)
        self._by_brand = {attempt.brand: attempt for attempt in self._attempts if attempt.brand}
        self._has_adopted = not all(attempt.child for attempt in self._attempts)
        self._oldest = min((attempt.start_time for attempt in self._attempts), default=0)
        self.unsure = False  # some process was between two programs, where no environment can be read

    def known(self, process: Process) -> Attempt | None:
        """By identity alone."""
        return self._by_identity.get(process.identity)

    def claim(self, process: Process) -> Attempt | None:
        """By identity, mark, session or limit."""
        owner = self._by_identity.get(process.identity)
        if owner is not None or process.start_time < self._oldest:
            return owner
        mark = read_mark(process.pid)
        if mark is None and process.alive and process.parent == os.getpid():
            self.unsure = True
        if mark:
            return self._by_id.get(mark)
        owner = self._by_session_of(process)
        if owner is None and (self._has_adopted or process.parent == os.getpid()):
            owner = self._by_brand.get(read_brand(process.pid))
        return owner

    def _by_session_of(self, process: Process) -> Attempt | None:
        """A session keeps its number while anybody is in it; a new leader with that number means it is another one.

        Of an adopted attempt whose leader has ended nobody watched whether the number was used again.
        """
        owner = self._by_session.get(process.session)
        if owner is None:
            return None
        leader = look(process.session)
        ours = owner.child if leader is None else leader.identity == owner.identity
        return owner if ours else None

    def suspect(self, orphan: Process) -> list[Attempt]:
        """Attempts that can have left this child of ours: those it isn't older than."""
        return [attempt for attempt in self._attempts if attempt.child and attempt.start_time <= orphan.start_time]


class Census:
    """One look at every process, sorted by attempt."""

    def __init__(self, attempts: "Iterable[Attempt]", orphans: "Mapping[int, Attempt]") -> None:
        """`orphans`: our adopted children whose attempt is known already."""
        attempts = list(attempts)
        self.orphans: dict[int, Attempt] = {}
        """Our adopted children by pid, and the attempt of each."""
        self.doubtful: set[str] = set()
        """Ids of attempts that may have left a process which can't be told from another attempt's."""
        self._table = look_at_all()
        self._children: dict[int, list[Process]] = {}
        for process in self._table.values():
            self._children.setdefault(process.parent, []).append(process)
        self._owner: dict[int, Attempt] = {}
        self._me = os.getpid()
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
        """Its living processes."""
        return self._members[attempt.id]

    def _assign_by_evidence(self, evidence: Evidence, orphans: "Mapping[int, Attempt]") -> None:
        for process in self._table.values():
            owner = evidence.known(process)
            if owner is None and process.parent == self._me:
                owner = orphans.get(process.pid)
            if owner is not None:
                self._give(process, owner)
        for process in self._table.values():
            if process.pid not in self._owner and process.pid != self._me:
                owner = evidence.claim(process)
                if owner is not None:
                    self._give(process, owner)

    def _assign_orphans(self, evidence: Evidence) -> None:
        for process in self._children.get(self._me, []):
            if process.pid not in self._owner and process.alive:
                suspects = evidence.suspect(process)
                if suspects and (len(suspects) == 1 or all(attempt.leader_gone for attempt in suspects)):
                    self._give(process, suspects[0])
                else:
                    self.doubtful.update(attempt.id for attempt in suspects)
            if process.pid in self._owner and self._owner[process.pid].pid != process.pid:
                self.orphans[process.pid] = self._owner[process.pid]

    def _give(self, process: Process, owner: Attempt) -> None:
        """The process and all that descends from it."""
        pending = [process]
        while pending:
            one = pending.pop()
            if one.pid not in self._owner and one.pid != self._me:
                self._owner[one.pid] = owner
                pending.extend(self._children.get(one.pid, ()))
