"""Freeze, thaw, term and kill all processes of an attempt at once."""

import signal
import time
from collections.abc import Callable

from opsconsole_agent.keeper import event_line, freezer, tree_signal
from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.process import Identity, Process, find_process, send_signal
from opsconsole_agent.keeper.refusal import Refusal

_MOVE_S = 2.0
"""How long to move processes into a cgroup that fork as fast as they are moved."""


class Control:
    """Signals attempts. Who belongs to an attempt is read anew at every step."""

    def __init__(
        self, list_members: Callable[[Attempt], tuple[list[Process], bool]], record: Callable[[str], None]
    ) -> None:
        """`list_members` returns an attempt's living processes, and whether one may have been missed.

        `record` takes a line for the exit log and the agent.
        """
        self._list_members = list_members
        self._record = record
        self._freezer = freezer.find_freezer()

    def freeze(self, attempt: Attempt) -> int:
        """Stop every process of the attempt and record that. Return how many there are. Raises Refusal."""
        if attempt.leader_gone or attempt.killing:
            raise Refusal("ending", f"attempt {attempt.id} is ending")
        if not attempt.frozen:
            attempt.stopped_before = {
                process.identity for process in self._list_members(attempt)[0] if process.state == "T"
            }
        inside = self._freeze_cgroup(attempt)

        def outside() -> tuple[list[Process], bool]:
            members, unsure = self._list_members(attempt)
            return [process for process in members if process.pid not in inside], unsure

        if not tree_signal.stop(outside):
            self.thaw(attempt)
            raise Refusal("unstoppable", f"attempt {attempt.id} starts processes faster than they can be stopped")
        if not attempt.frozen:
            attempt.frozen = True
            self._record(event_line.frozen(attempt, event_line.now_ms()))
        return len(attempt.known)

    def thaw(self, attempt: Attempt) -> int:
        """Let the attempt run again and return how many processes it has."""
        if attempt.cgroup is not None:
            attempt.cgroup.thaw()
        tree_signal.resume(lambda: self._list_members(attempt), attempt.stopped_before)
        attempt.stopped_before = set()
        if attempt.frozen:
            attempt.frozen = False
            self._record(event_line.thawed(attempt, event_line.now_ms()))
        return len(attempt.known)

    def term(self, attempt: Attempt) -> int:
        """Send SIGTERM to every process, then thaw it. Return how many were signalled."""
        attempt.termed = True
        asked = tree_signal.terminate(lambda: self._list_members(attempt))
        if attempt.frozen:
            self.thaw(attempt)
        return len(asked)

    def kill(self, attempt: Attempt) -> int:
        """Send SIGKILL until no new process is found and return how many there were at first.

        They may take a moment to die.
        """
        members = self._list_members(attempt)[0]
        if attempt.frozen:  # no process dies while a version 1 freezer holds it: signals first, then thaw
            for process in members:
                send_signal(process, signal.SIGKILL)
            self.thaw(attempt)
        tree_signal.kill(lambda: self._list_members(attempt))
        return len(members)

    def _freeze_cgroup(self, attempt: Attempt) -> set[int]:
        """Move it into a cgroup and freeze that. Return the pids in it, none where we may not."""
        if attempt.cgroup is None and self._freezer is not None:
            attempt.cgroup = self._freezer.cgroup(attempt.id)
        if attempt.cgroup is None or self._freezer is None:
            return set()
        self._move_into(attempt.cgroup, attempt, self._freezer)
        if attempt.cgroup.pids() and attempt.cgroup.freeze():
            return attempt.cgroup.pids()
        attempt.cgroup.thaw()
        if attempt.cgroup.remove():
            attempt.cgroup = None
        return set()

    def _move_into(self, cgroup: freezer.Cgroup, attempt: Attempt, found: freezer.Freezer) -> None:
        """Move its processes into the cgroup until there is none left that could still be moved."""
        tried: set[Identity] = set()
        give_up_at_s = time.monotonic() + _MOVE_S
        while time.monotonic() < give_up_at_s:
            inside = cgroup.pids()
            fresh = [p for p in self._list_members(attempt)[0] if p.pid not in inside and p.identity not in tried]
            if not fresh:
                return
            for process in fresh:
                tried.add(process.identity)
                now = find_process(process.pid)
                if now is not None and now.identity == process.identity and found.movable(process.pid):
                    cgroup.add(process.pid)
