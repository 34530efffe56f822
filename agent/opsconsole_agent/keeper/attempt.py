"""What the keeper knows about one attempt, and the lines that tell it to the agent and to the exit log."""

import os
import resource  # os.wait4 would import it at the first end: by then our Python may have been upgraded away
import time
from json import JSONEncoder

from opsconsole_agent.keeper.freezer import Cgroup
from opsconsole_agent.keeper.process import Identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from opsconsole_agent.keeper.output import Output

encode = JSONEncoder(separators=(",", ":")).encode

KEEPER_DIED = "its keeper was killed while it ran: how it ended can't be known"
_KEEPER_DIED = encode(KEEPER_DIED)
_JSON: "Mapping[bool | None, str]" = {True: "true", False: "false", None: "null"}
_NAMED_MOST = 5
HOST_RESTARTED = "the host restarted"


def now_ms() -> int:
    """Wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Attempt:
    """One attempt from its start to the proof that nothing of it lives."""

    __slots__ = (
        "brand", "cgroup", "child", "doubts", "ended_at_ms", "exit_status", "frozen", "id", "interval_s", "kill_leftovers_at_s",
        "killing", "known", "leader_gone", "leftovers", "look_at_s", "looked_at_s", "max_rss_kb", "oom_kill",
        "oom_kills", "outputs", "pid", "pidfd", "proof", "start_time", "started_at_ms", "stopped_before", "system_s", "termed", "user_s",
    )  # fmt: skip

    def __init__(self, attempt_id: str, pid: int, start_time: int, started_at_ms: int, *, child: bool) -> None:
        self.id = attempt_id
        self.pid = pid
        self.start_time = start_time
        self.started_at_ms = started_at_ms
        self.child = child  # False: adopted from a keeper that died; its exit status goes to somebody else
        self.brand = 0  # the limit that its processes carry
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
        self.known: set[Identity] = set()  # its processes at the last look, to know them by when parents have died
        self.killing = False
        self.termed = False
        self.kill_leftovers_at_s = 0.0  # on the monotonic clock, as are the next two
        self.leftovers: dict[Identity, str] = {}  # with the name of each
        self.proof = True
        self.look_at_s = 0.0
        self.looked_at_s = 0.0
        self.interval_s = 0.0
        self.doubts = 0

    @property
    def identity(self) -> Identity:
        """The leader's."""
        return self.pid, self.start_time

    def add_usage(self, usage: resource.struct_rusage) -> None:
        """Count a reaped process; its own reaped children are in `usage` already."""
        self.user_s += usage.ru_utime
        self.system_s += usage.ru_stime
        self.max_rss_kb = max(self.max_rss_kb, usage.ru_maxrss)


def started_line(attempt: Attempt) -> str:
    """The fact that it started."""
    # By hand, on the hot path: an attempt id needs no quoting.
    outputs = ",".join(f"[{encode(output.path)},{output.number}]" for output in attempt.outputs if output.number)
    return (
        f'{{"kind":"started","attempt_id":"{attempt.id}","pid":{attempt.pid},'
        f'"start_time":{attempt.start_time},"at_ms":{attempt.started_at_ms},"outputs":[{outputs}],'
        f'"limit":{attempt.brand}}}'
    )


def live_entry(attempt: Attempt) -> "Mapping[str, object]":
    """How the hello shows it."""
    return {
        "attempt_id": attempt.id,
        "pid": attempt.pid,
        "start_time": attempt.start_time,
        "started_at_ms": attempt.started_at_ms,
        "frozen": attempt.frozen,
        "ending": attempt.leader_gone,
        "exit_known": attempt.child,
    }


def frozen_line(attempt: Attempt, at_ms: int) -> str:
    """The fact that it stands still; the cgroup is for a later keeper."""
    path = attempt.cgroup.path if attempt.cgroup else None
    return encode({"kind": "frozen", "attempt_id": attempt.id, "at_ms": at_ms, "cgroup": path})


def thawed_line(attempt: Attempt, at_ms: int) -> str:
    """The fact that it may run again."""
    return encode({"kind": "thawed", "attempt_id": attempt.id, "at_ms": at_ms})


def exited_line(attempt: Attempt) -> str:
    """The fact that it ended: the leader's exit, what it used, and whether anything of it was left."""
    code = None if attempt.exit_status is None else os.waitstatus_to_exitcode(attempt.exit_status)
    # By hand, on the hot path: an attempt id needs no quoting, nor does our own error.
    return (
        f'{{"kind":"exited","attempt_id":"{attempt.id}","pid":{attempt.pid or "null"},'
        f'"exit_code":{code if code is not None and code >= 0 else "null"},'
        f'"signal":{-code if code is not None and code < 0 else "null"},'
        f'"exit_known":{_JSON[code is not None]},"error":{_KEEPER_DIED if code is None else "null"},'
        f'"at_ms":{attempt.ended_at_ms},"started_at_ms":{attempt.started_at_ms},'
        f'"user_s":{attempt.user_s:.6f},"system_s":{attempt.system_s:.6f},'
        f'"max_rss_mb":{attempt.max_rss_kb / 1024:.1f},"oom_kill":{_JSON[attempt.oom_kill]},'
        f'"leftovers":{len(attempt.leftovers)},"proof":{_JSON[attempt.proof]}{_outlived(attempt)}}}'
    )


def _outlived(attempt: Attempt) -> str:
    """Who was left, as far as it helps somebody who looks for a mistake."""
    if not attempt.leftovers:
        return ""
    named = [f"{pid} {name}" for (pid, _), name in attempt.leftovers.items()]
    return f',"outlived":{encode(sorted(named)[:_NAMED_MOST])}'


def unstarted_line(attempt_id: str, error: str, at_ms: int) -> str:
    """The exit of an attempt that never became a process."""
    return _processless_line(attempt_id, None, error, at_ms, None, exit_known=True)


def lost_line(attempt_id: str, pid: int | None, error: str, at_ms: int, started_at_ms: int | None) -> str:
    """The exit of an attempt that ended while no keeper was there to see it."""
    return _processless_line(attempt_id, pid, error, at_ms, started_at_ms, exit_known=False)


def _processless_line(
    attempt_id: str, pid: int | None, error: str, at_ms: int, started_at_ms: int | None, *, exit_known: bool
) -> str:
    return encode(
        {
            "kind": "exited",
            "attempt_id": attempt_id,
            "pid": pid,
            "exit_code": None,
            "signal": None,
            "exit_known": exit_known,
            "error": error,
            "at_ms": at_ms,
            "started_at_ms": started_at_ms,
            "user_s": 0.0,
            "system_s": 0.0,
            "max_rss_mb": 0.0,
            "oom_kill": None if not exit_known else False,
            "leftovers": 0,
            "proof": True,
        }
    )
