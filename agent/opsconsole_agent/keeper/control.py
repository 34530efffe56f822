"""Freeze, thaw, end: what can be done to all processes of an attempt at once."""

import signal
import time

from opsconsole_agent.keeper import attempt as facts
from opsconsole_agent.keeper import freezer, sweep
from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.fault import Refused
from opsconsole_agent.keeper.process import Identity, Process, look, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_GATHER_S = 2.0


class Control:
    """Acts on attempts through a census taken at every step."""

    def __init__(
        self, look_at: "Callable[[Attempt], tuple[list[Process], bool]]", tell: "Callable[[str], None]"
    ) -> None:
        """`look_at`: an attempt's living processes now, and whether one may have been missed. `tell`: record a fact."""
        self._look = look_at
        self._tell = tell
        self._freezer = freezer.detect()

    def freeze(self, one: Attempt) -> int:
        """Stop every process of it and remember that; returns how many there are. Raises Refused."""
        if one.leader_gone or one.killing:
            raise Refused("ending", f"attempt {one.id} is ending")
        if not one.frozen:
            one.stopped_before = {process.identity for process in self._look(one)[0] if process.state == "T"}
        inside = self._freeze_cgroup(one)

        def outside() -> tuple[list[Process], bool]:
            members, unsure = self._look(one)
            return [process for process in members if process.pid not in inside], unsure

        if not sweep.stop(outside):
            self.thaw(one)
            raise Refused("unstoppable", f"attempt {one.id} starts processes faster than they can be stopped")
        if not one.frozen:
            one.frozen = True
            self._tell(facts.frozen_line(one, facts.now_ms()))
        return len(one.known)

    def thaw(self, one: Attempt) -> int:
        """Let it run again; returns how many processes it has."""
        if one.cgroup is not None:
            one.cgroup.thaw()
        sweep.resume(lambda: self._look(one), one.stopped_before)
        one.stopped_before = set()
        if one.frozen:
            one.frozen = False
            self._tell(facts.thawed_line(one, facts.now_ms()))
        return len(one.known)

    def term(self, one: Attempt) -> int:
        """SIGTERM to every process, then thaw; returns how many were asked."""
        one.termed = True
        asked = sweep.terminate(lambda: self._look(one))
        if one.frozen:
            self.thaw(one)
        return len(asked)

    def kill(self, one: Attempt) -> int:
        """SIGKILL to a fixed point; returns how many processes there were at first. They may take a moment to die."""
        members = self._look(one)[0]
        if one.frozen:  # a version 1 freezer lets nobody die: signals first, then thaw
            for process in members:
                send(process, signal.SIGKILL)
            self.thaw(one)
        sweep.kill(lambda: self._look(one))
        return len(members)

    def _freeze_cgroup(self, one: Attempt) -> set[int]:
        """Gather it in a cgroup and freeze that; returns who stands still so, nobody where it isn't permitted."""
        if one.cgroup is None and self._freezer is not None:
            one.cgroup = self._freezer.cgroup(one.id)
        if one.cgroup is None or self._freezer is None:
            return set()
        self._gather(one, one.cgroup, self._freezer)
        if one.cgroup.pids() and one.cgroup.freeze():
            return one.cgroup.pids()
        one.cgroup.thaw()
        if one.cgroup.remove():
            one.cgroup = None
        return set()

    def _gather(self, one: Attempt, cgroup: freezer.Cgroup, home: freezer.Freezer) -> None:
        """Move its processes into the cgroup until a look finds none that could still be moved."""
        tried: set[Identity] = set()
        give_up_at_s = time.monotonic() + _GATHER_S
        while time.monotonic() < give_up_at_s:
            inside = cgroup.pids()
            fresh = [p for p in self._look(one)[0] if p.pid not in inside and p.identity not in tried]
            if not fresh:
                return
            for process in fresh:
                tried.add(process.identity)
                now = look(process.pid)
                if now is not None and now.identity == process.identity and home.movable(process.pid):
                    cgroup.add(process.pid)
