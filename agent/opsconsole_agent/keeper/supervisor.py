"""Attempts from start to proven end. Knows processes and the exit log; knows nothing of sockets.

Facts are appended to the journal and to `outbox`; the caller flushes the journal before it sends the outbox.
"""

import os
import select
import signal
import time

from opsconsole_agent.keeper import attempt as facts
from opsconsole_agent.keeper import freezer, launch
from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.brand import Branding, wear
from opsconsole_agent.keeper.census import Census
from opsconsole_agent.keeper.control import Control
from opsconsole_agent.keeper.fault import Refused
from opsconsole_agent.keeper.journal import COMPACT_BYTES, History, Journal, Record
from opsconsole_agent.keeper.oom import OomCounter
from opsconsole_agent.keeper.output import Output, Pump
from opsconsole_agent.keeper.process import Children, Process, boot_id, look, name_of, now_ticks, send
from opsconsole_agent.keeper.seal import SEAL_LENGTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LEFTOVER_GRACE_S = 2.0
_LOOK_FIRST_S = 0.02
_LOOK_MOST_S = 0.25
_LOOK_LEAST_S = 0.005
_DOUBTS_MAX = 5


class Supervisor:
    """All attempts of one keeper."""

    def __init__(self, journal: Journal, home: int, watch: "Callable[[int], None]", unwatch: "Callable[[int], None]"):
        """`home`: open folder to return to after a start. `watch`: call `leader_ended(fd)` when fd is readable."""
        self.live: dict[str, Attempt] = {}
        self.exits: dict[str, str] = {}
        self.outbox: list[str] = []
        self._journal = journal
        self._home = home
        self._watch = watch
        self._unwatch = unwatch
        self._leaders: dict[int, Attempt] = {}
        self._orphans: dict[int, Attempt] = {}
        self._pidfds: dict[int, Attempt] = {}
        self._waiting: dict[str, Attempt] = {}  # to be looked at when their time comes
        self._retirement = freezer.Retirement()
        self.pump = Pump(watch, unwatch)
        self._children = Children()
        self._branding = Branding()
        self._brands: set[int] = set()
        self.control = Control(self._look, self._tell)
        self._oom = OomCounter()
        self._compact_at_bytes = COMPACT_BYTES
        self._header = facts.encode(
            {"kind": "keeper", "boot_id": boot_id(), "pid": os.getpid(), "at_ms": facts.now_ms()}
        )

    # ---- starting ----

    def start(self, spec: launch.Launch) -> None:
        """Start an attempt; when that fails it has ended with an error. Raises Refused for an id that was used."""
        if spec.attempt_id in self.live or spec.attempt_id in self.exits:
            raise Refused("duplicate", f"attempt {spec.attempt_id} was started before")
        at_ms = facts.now_ms()
        oom_kills = self._oom.recent(time.monotonic())
        before_ticks = now_ticks()
        brand = self._branding.next(self._brands)
        try:
            wear(brand)
            pid, outputs = launch.spawn(spec, self._home)
        except launch.LaunchError as error:
            self._end(spec.attempt_id, facts.unstarted_line(spec.attempt_id, str(error), at_ms))
            return
        start_time = now_ticks()
        # A tick is 10 ms, so this is mostly known. Looking costs more than all else here: the kernel makes the process's
        # folder in /proc for it, and has to tear it down when the process ends.
        if start_time != before_ticks:
            leader = look(pid)  # there, if only as a zombie: nobody but us reaps it
            start_time = leader.start_time if leader else before_ticks
        one = Attempt(spec.attempt_id, pid, start_time, at_ms, child=True)
        one.oom_kills = oom_kills
        one.brand = brand
        self._brands.add(brand)
        one.outputs = outputs
        for output in outputs:
            self.pump.add(output)
        self.live[one.id] = self._leaders[pid] = one
        self._tell(facts.started_line(one))

    # ---- signals ----

    def term(self, one: Attempt, grace_ms: int | None) -> int:
        """SIGTERM to every process; whatever outlives the leader gets `grace_ms` (2,000) from now before SIGKILL."""
        grace_s = LEFTOVER_GRACE_S if grace_ms is None else grace_ms / 1000
        one.kill_leftovers_at_s = max(one.kill_leftovers_at_s, time.monotonic() + grace_s)
        return self.control.term(one)

    def kill(self, one: Attempt) -> int:
        """SIGKILL every process, again and again until none lives; returns how many there were."""
        one.killing = True
        count = self.control.kill(one)
        self._wait_for(one, time.monotonic())
        return count

    # ---- ends ----

    def reap(self) -> None:
        """Collect every child that has ended, and report attempts of which nothing lives."""
        ended: list[Attempt] = []
        noise = False
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            one = self._leaders.pop(pid, None)
            if one is not None:
                one.exit_status = status
                one.add_usage(usage)
                ended.append(one)
                continue
            noise = True
            owner = self._orphans.pop(pid, None)
            if owner is not None:
                owner.add_usage(usage)
        if noise:
            for one in self._waiting.values():
                one.look_at_s = min(one.look_at_s, one.looked_at_s + _LOOK_LEAST_S)
        if ended:
            self._leaders_ended(ended)

    def leader_ended(self, pidfd: int) -> None:
        """The leader of an adopted attempt has ended.

        Not if the descriptor was closed since it was heard of, in the same round, or closed and given out anew.
        """
        one = self._pidfds.get(pidfd)
        if one is None or not _is_readable(pidfd):
            return
        self._drop_pidfd(one)
        self._leaders_ended([one])

    def _leaders_ended(self, ended: list[Attempt]) -> None:
        now_s = time.monotonic()
        at_ms = facts.now_ms()
        for one in ended:
            one.leader_gone = True
            one.ended_at_ms = at_ms
            one.kill_leftovers_at_s = max(one.kill_leftovers_at_s, now_s + LEFTOVER_GRACE_S)
            ordered = one.killing or one.termed
            one.oom_kill = False if ordered else self._oom.verdict(one.exit_status, one.oom_kills, now_s)
        # The hot path: whatever an ended attempt has left behind is a child of ours now, or below one.
        strangers = [pid for pid in self._children.pids() if pid not in self._leaders]
        owners = [self._orphans.get(pid) for pid in strangers]
        unclear = None in owners
        slow: list[Attempt] = []
        for one in ended:
            if one.child and not unclear and one not in owners:
                self._finish(one)
            else:
                slow.append(one)
        if slow:
            self._drain(slow, now_s)

    def _drain(self, ended: list[Attempt], now_s: float) -> None:
        """Look whether anything of these attempts lives, and end it: TERM, some seconds, KILL."""
        census = self._census()
        for one in ended:
            members = census.members(one)
            if members:
                self._end_leftovers(one, members, now_s)
            elif census.unsure and one.doubts < _DOUBTS_MAX:
                one.doubts += 1
                self._wait_for(one, now_s)
                one.look_at_s = now_s + _LOOK_LEAST_S
            else:
                one.proof = one.proof and one.id not in census.doubtful
                self._finish(one)

    def _end_leftovers(self, one: Attempt, members: list[Process], now_s: float) -> None:
        for process in members:
            if process.identity not in one.leftovers:
                one.leftovers[process.identity] = name_of(process.pid)
        if one.killing or now_s >= one.kill_leftovers_at_s:
            allowed = [send(process, signal.SIGKILL) for process in members]
            if not any(allowed):
                one.proof = False  # somebody else's by now (sudo, setuid): not ours to end, nor to wait for
                self._finish(one)
                return
            self.control.kill(one)
        elif not one.termed:  # who was asked before is saving its work: only its grace time ends that
            self.control.term(one)
        self._wait_for(one, now_s)

    def _wait_for(self, one: Attempt, now_s: float) -> None:
        self._waiting[one.id] = one
        one.interval_s = min(_LOOK_MOST_S, max(_LOOK_FIRST_S, 2 * one.interval_s))
        one.looked_at_s = now_s
        one.look_at_s = now_s + one.interval_s
        if one.leader_gone and not one.killing and one.kill_leftovers_at_s > now_s:
            one.look_at_s = min(one.look_at_s, one.kill_leftovers_at_s)

    def tick(self, now_s: float) -> None:
        """Do what is due; see `next_due_s`."""
        due = [one for one in self._waiting.values() if one.look_at_s <= now_s]
        ended = [one for one in due if one.leader_gone]
        for one in due:
            if not one.leader_gone:
                self._look_at_running(one, now_s)
        if ended:
            self._drain(ended, now_s)
        self._retirement.retry(now_s)
        self.pump.tick(now_s)
        if self.live:
            self._oom.keep_up(now_s)

    def _look_at_running(self, one: Attempt, now_s: float) -> None:
        """One that is being killed and hasn't died yet, or an adopted one that can only be polled."""
        if not one.child and self._living_leader(one) is None:
            self._drop_pidfd(one)
            self._leaders_ended([one])
            return
        if one.killing:
            self.control.kill(one)
        self._wait_for(one, now_s)

    def next_due_s(self) -> float | None:
        """When `tick` is wanted next, on the monotonic clock."""
        due_s = self._retirement.due_s
        if self.pump.due_s is not None:
            due_s = self.pump.due_s if due_s is None else min(due_s, self.pump.due_s)
        if self.live:
            due_s = self._oom.due_s if due_s is None else min(due_s, self._oom.due_s)
        for one in self._waiting.values():
            due_s = one.look_at_s if due_s is None else min(due_s, one.look_at_s)
        return due_s

    def _finish(self, one: Attempt) -> None:
        self._waiting.pop(one.id, None)
        if one.cgroup is not None:
            self._retirement.add(one.cgroup, time.monotonic())
        self.pump.finish(one.outputs)
        self._end(one.id, facts.exited_line(one))

    def _end(self, attempt_id: str, line: str) -> None:
        one = self.live.pop(attempt_id, None)
        if one is not None:
            self._brands.discard(one.brand)
        self.exits[attempt_id] = line
        self._tell(line)

    # ---- looking ----

    def _census(self) -> Census:
        census = Census(self.live.values(), self._orphans)
        self._orphans.update(census.orphans)
        return census

    def _look(self, one: Attempt) -> tuple[list[Process], bool]:
        census = self._census()
        return census.members(one), census.unsure

    def pids(self) -> dict[str, list[int]]:
        """The living processes of every attempt."""
        if not self.live:
            return {}
        census = self._census()
        return {one.id: [process.pid for process in census.members(one)] for one in self.live.values()}

    # ---- memory that outlives us ----

    def recover(self, history: History) -> None:
        """Take over what earlier keepers left in the log."""
        self._journal.append(self._header)
        self.exits.update(history.exits)
        same_boot = history.boot_id in {"", boot_id()}
        found: list[Attempt] = []
        for attempt_id, record in history.started.items():
            pid, start_time, at_ms = (int(str(record[name])) for name in ("pid", "start_time", "at_ms"))
            if not same_boot:
                self._end(attempt_id, facts.lost_line(attempt_id, pid, facts.HOST_RESTARTED, facts.now_ms(), at_ms))
                continue
            one = Attempt(attempt_id, pid, start_time, at_ms, child=False)
            one.brand = int(str(record.get("limit", 0)))
            self._brands.add(one.brand)
            self._recall_freeze(one, history.frozen.get(attempt_id))
            found.append(one)
        self._find_outputs(found, history)
        self._adopt(found)
        if history.forged or not self._journal.is_sealed:
            try:
                self.write_truth()
            except OSError:  # no room: then no later keeper may ask for seals
                return

    def write_truth(self) -> None:
        """Write the log anew with all that is still true; raises OSError, old log intact."""
        self._journal.replace([self._header, *self._truth()])

    def _find_outputs(self, found: list[Attempt], history: History) -> None:
        """Take up the pipes that their processes write to; those that ended meanwhile took theirs along."""
        if not any(history.outputs.values()):
            return
        census = Census(found, self._orphans)
        for one in found:
            pids = [process.pid for process in census.members(one)]
            outputs = (Output.find(one.id, path, number, pids) for path, number in history.outputs.get(one.id, ()))
            one.outputs = list(filter(None, outputs))
            for output in one.outputs:
                self.pump.add(output)

    def adopt(self, attempt_id: str, pid: int | None, start_time: int | None, paths: "Iterable[str]" = ()) -> bool:
        """Look for an attempt that the log doesn't know; False when it was never started as far as can be seen.

        `paths`: where its stdout and stderr belong.
        """
        if attempt_id in self.live or attempt_id in self.exits:
            return True
        one = Attempt(attempt_id, pid or 0, start_time or 0, facts.now_ms(), child=False)
        leader = self._living_leader(one)
        one.frozen = leader is not None and leader.state == "T"
        if pid is None and not Census([*self.live.values(), one], self._orphans).members(one):
            return False
        if leader is not None:
            found = (Output.find_standard(one.id, path, leader.pid, fd) for fd, path in enumerate(paths, 1))
            one.outputs = list(filter(None, found))
            for output in one.outputs:
                self.pump.add(output)
        self._journal.append(facts.started_line(one))
        self._adopt([one])
        return True

    def _adopt(self, found: list[Attempt]) -> None:
        leaderless: list[Attempt] = []
        for one in found:
            self.live[one.id] = one
            if self._living_leader(one) is None:
                leaderless.append(one)
            elif not self._watch_leader(one):
                self._wait_for(one, time.monotonic())
        if leaderless:
            self._leaders_ended(leaderless)

    @staticmethod
    def _living_leader(one: Attempt) -> Process | None:
        leader = look(one.pid) if one.pid else None
        return leader if leader is not None and leader.identity == one.identity and leader.alive else None

    def _watch_leader(self, one: Attempt) -> bool:
        """Ask to be called when an adopted leader ends; False on a kernel without pidfd, or when it just ended."""
        try:
            one.pidfd = os.pidfd_open(one.pid)
        except OSError:
            return False
        self._pidfds[one.pidfd] = one
        self._watch(one.pidfd)
        return True

    def _drop_pidfd(self, one: Attempt) -> None:
        if one.pidfd >= 0:
            self._unwatch(one.pidfd)
            self._pidfds.pop(one.pidfd, None)
            os.close(one.pidfd)
            one.pidfd = -1

    @staticmethod
    def _recall_freeze(one: Attempt, record: Record | None) -> None:
        if record is not None:
            one.frozen = True
            path = record.get("cgroup")
            one.cgroup = freezer.reopen(path) if isinstance(path, str) else None

    def forget(self, attempt_ids: "Iterable[str]") -> int:
        """Drop exits that are safe elsewhere; returns how many there were."""
        known = [attempt_id for attempt_id in attempt_ids if self.exits.pop(attempt_id, None) is not None]
        if known:
            self._journal.append(facts.encode({"kind": "forgotten", "attempt_ids": known}))
        return len(known)

    def tidy(self) -> None:
        """Keep the log as short as what is still true; called when the journal has been flushed."""
        if not self.live and not self.exits:
            if self._journal.size_bytes > len(self._header) + SEAL_LENGTH + 1:
                self._journal.clear(self._header)
        elif self._journal.size_bytes > self._compact_at_bytes:
            try:
                self.write_truth()
            finally:  # not at once again, whether it is still long or the disk is full
                self._compact_at_bytes = max(COMPACT_BYTES, 2 * self._journal.size_bytes)

    def _truth(self) -> "Iterable[str]":
        for one in self.live.values():
            yield facts.started_line(one)
            if one.frozen:
                yield facts.frozen_line(one, facts.now_ms())
        yield from self.exits.values()

    def _tell(self, line: str) -> None:
        self._journal.append(line)
        self.outbox.append(line)


def _is_readable(fd: int) -> bool:
    now = select.poll()
    now.register(fd, select.POLLIN)
    return bool(now.poll(0))
