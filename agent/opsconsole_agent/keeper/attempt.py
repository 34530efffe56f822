"""What the keeper knows about one attempt."""

import resource  # os.wait4 would import it at the first end: by then our Python may have been upgraded away
from collections.abc import Mapping

from opsconsole_agent.keeper.freezer import Cgroup
from opsconsole_agent.keeper.output import Output
from opsconsole_agent.keeper.process import Identity


class Attempt:
    """One attempt from its start to the proof that nothing of it lives."""

    __slots__ = (
        "cgroup", "check_at_s", "check_interval_s", "checked_at_s", "child", "ended_at_ms", "environment", "exit_status", "frozen",
        "id", "kill_leftovers_at_s", "killing", "known", "leader_gone", "leftovers", "limit_mark", "max_rss_kb", "oom_kill",
        "oom_kills", "outputs", "pid", "pidfd", "proof", "start_time", "started_at_ms", "stopped_before", "system_s",
        "termed", "unsure_checks", "user_s",
    )  # fmt: skip

    def __init__(self, attempt_id: str, pid: int, start_time: int, started_at_ms: int, *, child: bool) -> None:
        self.id = attempt_id
        self.pid = pid
        self.start_time = start_time
        self.started_at_ms = started_at_ms
        self.child = child  # False: adopted from a keeper that died; its exit status goes to another process
        self.environment: Mapping[str, str] = {}  # that it was started with; empty where it was adopted
        self.limit_mark = 0  # the resource limit that its processes carry
        self.pidfd = -1
        self.leader_gone = False
        self.ended_at_ms = 0
        self.exit_status: int | None = None
        self.user_s = 0.0
        self.system_s = 0.0
        self.max_rss_kb = 0
        self.oom_kills: int | None = None  # the kernel's count when it started
        self.oom_kill: bool | None = None
        self.outputs: list[Output] = []
        self.frozen = False
        self.cgroup: Cgroup | None = None
        self.stopped_before: set[Identity] = set()  # stopped by somebody else before we froze it: not ours to thaw
        self.known: set[Identity] = set()  # its processes at the last check, known even when their parents have died
        self.killing = False
        self.termed = False
        self.kill_leftovers_at_s = 0.0  # on the monotonic clock, as are the next two
        self.check_at_s = 0.0
        self.checked_at_s = 0.0
        self.check_interval_s = 0.0
        self.unsure_checks = 0
        self.leftovers: dict[Identity, str] = {}  # with the name of each
        self.proof = True

    @property
    def identity(self) -> Identity:
        """The identity of its leader."""
        return self.pid, self.start_time

    def add_usage(self, usage: resource.struct_rusage) -> None:
        """Count a reaped process; its own reaped children are in `usage` already."""
        self.user_s += usage.ru_utime
        self.system_s += usage.ru_stime
        self.max_rss_kb = max(self.max_rss_kb, usage.ru_maxrss)
