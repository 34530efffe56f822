"""Attempts from their start to the proof that nothing of them lives. Sockets are the service's affair.

Every line is appended to the journal and to `outbox`; the caller flushes the journal before it sends the outbox.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Iterable

from opsconsole_agent.keeper import event_line, freezer, launch
from opsconsole_agent.keeper.attempt import Attempt
from opsconsole_agent.keeper.control import Control
from opsconsole_agent.keeper.guest import Guests
from opsconsole_agent.keeper.journal import COMPACT_BYTES, History, Journal, Record
from opsconsole_agent.keeper.limit_mark import LimitMarks, set_limit_mark
from opsconsole_agent.keeper.mac_chain import MAC_LENGTH
from opsconsole_agent.keeper.oom import OomCounter
from opsconsole_agent.keeper.output import Output, Pump
from opsconsole_agent.keeper.ownership import Ownership
from opsconsole_agent.keeper.process import Children, Process, boot_id, find_process, now_ticks, read_name, send_signal
from opsconsole_agent.keeper.refusal import Refusal

LEFTOVER_GRACE_S = 2.0
_CHECK_FIRST_S = 0.02
_CHECK_LAST_S = 0.25
_CHECK_SOONEST_S = 0.005
_UNSURE_CHECKS_MAX = 5


class Supervisor:
    """All attempts of one keeper."""

    def __init__(self, journal: Journal, home: int, watch: Callable[[int], None], unwatch: Callable[[int], None]):
        """`home`: the open folder to return to after a start.

        `watch`: have `pump.readable`, else `leader_ended`, called when a descriptor is readable, until `unwatch`.
        """
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
        self._waiting: dict[str, Attempt] = {}  # to be checked when it is time
        self._cgroup_removal = freezer.CgroupRemoval()
        self.pump = Pump(watch, unwatch)
        self._children = Children()
        self._limit_marks = LimitMarks()
        self._taken_limit_marks: set[int] = set()
        self.control = Control(self._members, self._record)
        self.guests = Guests(home, self._orphans, self.outbox.append)
        self._oom = OomCounter()
        self._compact_at_bytes = COMPACT_BYTES
        self._header = event_line.encode(
            {"kind": "keeper", "boot_id": boot_id(), "pid": os.getpid(), "at_ms": event_line.now_ms()}
        )

    # ---- starting ----

    def start(self, spec: launch.Launch) -> None:
        """Start an attempt; if that fails it has ended with an error. Raises Refusal for an id that was used before."""
        if spec.attempt_id in self.live or spec.attempt_id in self.exits:
            raise Refusal("duplicate", f"attempt {spec.attempt_id} was started before")
        at_ms = event_line.now_ms()
        oom_kills = self._oom.recent(time.monotonic())
        before_ticks = now_ticks()
        limit_mark = self._limit_marks.next(self._taken_limit_marks)
        try:
            set_limit_mark(limit_mark)
            pid, outputs = launch.spawn(spec, self._home)
        except launch.LaunchError as error:
            self._end(spec.attempt_id, event_line.unstarted(spec.attempt_id, str(error), error.cause, at_ms))
            return
        start_time = now_ticks()
        # A tick is 10 ms, so the start time is mostly known. Reading it costs more than all else here: the kernel makes the
        # process's folder in /proc for it, and has to remove that when the process ends.
        if start_time != before_ticks:
            leader = find_process(pid)  # it is there, if only as a zombie, until we reap it
            start_time = leader.start_time if leader else before_ticks
        attempt = Attempt(spec.attempt_id, pid, start_time, at_ms, child=True)
        attempt.oom_kills = oom_kills
        attempt.limit_mark = limit_mark
        attempt.environment = spec.env
        self._taken_limit_marks.add(limit_mark)
        attempt.outputs = outputs
        for output in outputs:
            self.pump.add(output)
        self.live[attempt.id] = self._leaders[pid] = attempt
        self._record(event_line.started(attempt))

    # ---- signals ----

    def term(self, attempt: Attempt, grace_ms: int | None) -> int:
        """Send SIGTERM to every process and return how many there were.

        Processes that outlive the leader are sent SIGKILL `grace_ms` (2,000) from now.
        """
        grace_s = LEFTOVER_GRACE_S if grace_ms is None else grace_ms / 1000
        attempt.kill_leftovers_at_s = max(attempt.kill_leftovers_at_s, time.monotonic() + grace_s)
        return self.control.term(attempt)

    def kill(self, attempt: Attempt) -> int:
        """Send SIGKILL to every process, again and again until none lives. Return how many there were."""
        attempt.killing = True
        count = self.control.kill(attempt)
        self._schedule_check(attempt, time.monotonic())
        return count

    # ---- ends ----

    def reap(self) -> None:
        """Reap every child that has ended, and report attempts of which nothing lives."""
        ended: list[Attempt] = []
        has_reaped_others = False
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            attempt = self._leaders.pop(pid, None)
            if attempt is not None:
                attempt.exit_status = status
                attempt.add_usage(usage)
                ended.append(attempt)
                continue
            has_reaped_others = True
            self.guests.reaped(pid, status)
            owner = self._orphans.pop(pid, None)
            if owner is not None:
                owner.add_usage(usage)
        if has_reaped_others:
            for attempt in self._waiting.values():
                attempt.check_at_s = min(attempt.check_at_s, attempt.checked_at_s + _CHECK_SOONEST_S)
        if ended:
            self._leaders_ended(ended)

    def leader_ended(self, pidfd: int) -> None:
        """The leader of an adopted attempt has ended, so its pidfd is readable.

        Does nothing for a descriptor that was closed meanwhile in the same round of epoll, even if its number is in use
        again.
        """
        attempt = self._pidfds.get(pidfd)
        if attempt is None or not _is_readable(pidfd):
            return
        self._drop_pidfd(attempt)
        self._leaders_ended([attempt])

    def _leaders_ended(self, ended: list[Attempt]) -> None:
        now_s = time.monotonic()
        at_ms = event_line.now_ms()
        for attempt in ended:
            attempt.leader_gone = True
            attempt.ended_at_ms = at_ms
            attempt.kill_leftovers_at_s = max(attempt.kill_leftovers_at_s, now_s + LEFTOVER_GRACE_S)
            ordered = attempt.killing or attempt.termed
            attempt.oom_kill = False if ordered else self._oom.was_killed(attempt.exit_status, attempt.oom_kills, now_s)
        # The fast way: whatever an ended attempt has left is a child of ours by now, or descends from one.
        strangers = [pid for pid in self._children.pids() if pid not in self._leaders]
        owners = [self._orphans.get(pid) for pid in strangers]
        unclear = None in owners
        slow: list[Attempt] = []
        for attempt in ended:
            if attempt.child and not unclear and attempt not in owners:
                self._finish(attempt)
            else:
                slow.append(attempt)
        if slow:
            self._end_or_finish(slow, now_s)

    def _end_or_finish(self, ended: list[Attempt], now_s: float) -> None:
        """End what still lives of attempts whose leaders have ended: SIGTERM, the grace time, SIGKILL."""
        ownership = self._read_ownership()
        for attempt in ended:
            members = ownership.members(attempt)
            if members:
                self._end_leftovers(attempt, members, now_s)
            elif ownership.unsure and attempt.unsure_checks < _UNSURE_CHECKS_MAX:
                attempt.unsure_checks += 1
                self._schedule_check(attempt, now_s)
                attempt.check_at_s = now_s + _CHECK_SOONEST_S
            else:
                attempt.proof = attempt.proof and attempt.id not in ownership.doubtful
                self._finish(attempt)

    def _end_leftovers(self, attempt: Attempt, members: list[Process], now_s: float) -> None:
        for process in members:
            if process.identity not in attempt.leftovers:
                attempt.leftovers[process.identity] = read_name(process.pid)
        if attempt.killing or now_s >= attempt.kill_leftovers_at_s:
            allowed = [send_signal(process, signal.SIGKILL) for process in members]
            if not any(allowed):
                attempt.proof = False  # another user's by now (sudo, setuid): we can't end it, and don't wait for it
                self._finish(attempt)
                return
            self.control.kill(attempt)
        elif not attempt.termed:  # else it was asked before, and has its grace time to save its work
            self.control.term(attempt)
        self._schedule_check(attempt, now_s)

    def _schedule_check(self, attempt: Attempt, now_s: float) -> None:
        self._waiting[attempt.id] = attempt
        attempt.check_interval_s = min(_CHECK_LAST_S, max(_CHECK_FIRST_S, 2 * attempt.check_interval_s))
        attempt.checked_at_s = now_s
        attempt.check_at_s = now_s + attempt.check_interval_s
        if attempt.leader_gone and not attempt.killing and attempt.kill_leftovers_at_s > now_s:
            attempt.check_at_s = min(attempt.check_at_s, attempt.kill_leftovers_at_s)

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        due = [attempt for attempt in self._waiting.values() if attempt.check_at_s <= now_s]
        ended = [attempt for attempt in due if attempt.leader_gone]
        for attempt in due:
            if not attempt.leader_gone:
                self._check_running(attempt, now_s)
        if ended:
            self._end_or_finish(ended, now_s)
        self._cgroup_removal.retry(now_s)
        self.pump.tick(now_s)
        if self.live:
            self._oom.update(now_s)

    def _check_running(self, attempt: Attempt, now_s: float) -> None:
        """Check an attempt that is being killed and hasn't died yet, or an adopted one that can only be polled."""
        if not attempt.child and self._living_leader(attempt) is None:
            self._drop_pidfd(attempt)
            self._leaders_ended([attempt])
            return
        if attempt.killing:
            self.control.kill(attempt)
        self._schedule_check(attempt, now_s)

    def next_due_s(self) -> float | None:
        """Return when `tick` has something to do, on the monotonic clock, or None for never."""
        due_s = self._cgroup_removal.due_s
        if self.pump.due_s is not None:
            due_s = self.pump.due_s if due_s is None else min(due_s, self.pump.due_s)
        if self.live:
            due_s = self._oom.due_s if due_s is None else min(due_s, self._oom.due_s)
        for attempt in self._waiting.values():
            due_s = attempt.check_at_s if due_s is None else min(due_s, attempt.check_at_s)
        return due_s

    def _finish(self, attempt: Attempt) -> None:
        self._waiting.pop(attempt.id, None)
        if attempt.cgroup is not None:
            self._cgroup_removal.add(attempt.cgroup, time.monotonic())
        self.pump.finish(attempt.outputs)
        self._end(attempt.id, event_line.exited(attempt))

    def _end(self, attempt_id: str, line: str) -> None:
        attempt = self.live.pop(attempt_id, None)
        if attempt is not None:
            self._taken_limit_marks.discard(attempt.limit_mark)
        self.exits[attempt_id] = line
        self._record(line)

    # ---- processes ----

    def _read_ownership(self) -> Ownership:
        ownership = Ownership(self.live.values(), self._orphans)
        self._orphans.update(ownership.orphans)
        return ownership

    def _members(self, attempt: Attempt) -> tuple[list[Process], bool]:
        ownership = self._read_ownership()
        return ownership.members(attempt), ownership.unsure

    def pids(self) -> dict[str, list[int]]:
        """Return the pids of the living processes of every attempt."""
        if not self.live:
            return {}
        ownership = self._read_ownership()
        return {attempt.id: [process.pid for process in ownership.members(attempt)] for attempt in self.live.values()}

    # ---- what outlives this keeper ----

    def recover(self, history: History) -> None:
        """Take over the attempts and exits that earlier keepers left in the log."""
        self._journal.append(self._header)
        self.exits.update(history.exits)
        same_boot = history.boot_id in {"", boot_id()}
        found: list[Attempt] = []
        for attempt_id, record in history.started.items():
            pid, start_time, at_ms = (int(str(record[name])) for name in ("pid", "start_time", "at_ms"))
            if not same_boot:
                words, cause = event_line.HOST_RESTARTED, event_line.LOST_WITH_HOST
                self._end(attempt_id, event_line.lost(attempt_id, pid, words, event_line.now_ms(), at_ms, cause))
                continue
            attempt = Attempt(attempt_id, pid, start_time, at_ms, child=False)
            attempt.limit_mark = int(str(record.get("limit", 0)))
            self._taken_limit_marks.add(attempt.limit_mark)
            self._restore_freeze(attempt, history.frozen.get(attempt_id))
            found.append(attempt)
        self._find_outputs(found, history)
        self._adopt(found)
        if history.forged or not self._journal.is_authenticated:
            try:
                self.rewrite_journal()
            except OSError:  # no space on the disk; the next keeper isn't given the key then
                return

    def rewrite_journal(self) -> None:
        """Write the log anew with what is still true. On OSError the old log stays."""
        self._journal.replace([self._header, *self._current_lines()])

    def _find_outputs(self, found: list[Attempt], history: History) -> None:
        """Find the pipes that their processes write to; the pipes of ended processes are gone."""
        if not any(history.outputs.values()):
            return
        ownership = Ownership(found, self._orphans)
        for attempt in found:
            pids = [process.pid for process in ownership.members(attempt)]
            outputs = (
                Output.find(attempt.id, path, inode, pids) for path, inode in history.outputs.get(attempt.id, ())
            )
            attempt.outputs = list(filter(None, outputs))
            for output in attempt.outputs:
                self.pump.add(output)

    def adopt(self, attempt_id: str, pid: int | None, start_time: int | None, paths: Iterable[str] = ()) -> bool:
        """Look for an attempt that the log doesn't know and return False when there is no sign that it was ever started.

        `paths`: the files of its stdout and stderr.
        """
        if attempt_id in self.live or attempt_id in self.exits:
            return True
        attempt = Attempt(attempt_id, pid or 0, start_time or 0, event_line.now_ms(), child=False)
        leader = self._living_leader(attempt)
        attempt.frozen = leader is not None and leader.state == "T"
        if pid is None and not Ownership([*self.live.values(), attempt], self._orphans).members(attempt):
            return False
        if leader is not None:
            found = (Output.find_standard(attempt.id, path, leader.pid, fd) for fd, path in enumerate(paths, 1))
            attempt.outputs = list(filter(None, found))
            for output in attempt.outputs:
                self.pump.add(output)
        self._journal.append(event_line.started(attempt))
        self._adopt([attempt])
        return True

    def _adopt(self, found: list[Attempt]) -> None:
        leaderless: list[Attempt] = []
        for attempt in found:
            self.live[attempt.id] = attempt
            if self._living_leader(attempt) is None:
                leaderless.append(attempt)
            elif not self._watch_leader(attempt):
                self._schedule_check(attempt, time.monotonic())
        if leaderless:
            self._leaders_ended(leaderless)

    @staticmethod
    def _living_leader(attempt: Attempt) -> Process | None:
        leader = find_process(attempt.pid) if attempt.pid else None
        return leader if leader is not None and leader.identity == attempt.identity and leader.alive else None

    def _watch_leader(self, attempt: Attempt) -> bool:
        """Have `leader_ended` called when an adopted leader ends.

        Return False without pidfd, or when it has just ended.
        """
        try:
            attempt.pidfd = os.pidfd_open(attempt.pid)
        except OSError:
            return False
        self._pidfds[attempt.pidfd] = attempt
        self._watch(attempt.pidfd)
        return True

    def _drop_pidfd(self, attempt: Attempt) -> None:
        if attempt.pidfd >= 0:
            self._unwatch(attempt.pidfd)
            self._pidfds.pop(attempt.pidfd, None)
            os.close(attempt.pidfd)
            attempt.pidfd = -1

    @staticmethod
    def _restore_freeze(attempt: Attempt, record: Record | None) -> None:
        if record is not None:
            attempt.frozen = True
            path = record.get("cgroup")
            attempt.cgroup = freezer.reopen_cgroup(path) if isinstance(path, str) else None

    def forget(self, attempt_ids: Iterable[str]) -> int:
        """Forget exits that the coordinator has stored and return how many there were."""
        known = [attempt_id for attempt_id in attempt_ids if self.exits.pop(attempt_id, None) is not None]
        if known:
            self._journal.append(event_line.encode({"kind": "forgotten", "attempt_ids": known}))
        return len(known)

    def compact_journal(self) -> None:
        """Shorten the log to what is still true when it has grown long; the journal has been flushed before."""
        if not self.live and not self.exits:
            if self._journal.size_bytes > len(self._header) + MAC_LENGTH + 1:
                self._journal.clear(self._header)
        elif self._journal.size_bytes > self._compact_at_bytes:
            try:
                self.rewrite_journal()
            finally:  # it is not tried again at once, whether the log is still long or the disk is full
                self._compact_at_bytes = max(COMPACT_BYTES, 2 * self._journal.size_bytes)

    def _current_lines(self) -> Iterable[str]:
        for attempt in self.live.values():
            yield event_line.started(attempt)
            if attempt.frozen:
                yield event_line.frozen(attempt, event_line.now_ms())
        yield from self.exits.values()

    def _record(self, line: str) -> None:
        self._journal.append(line)
        self.outbox.append(line)


def _is_readable(fd: int) -> bool:
    now = select.poll()
    now.register(fd, select.POLLIN)
    return bool(now.poll(0))
