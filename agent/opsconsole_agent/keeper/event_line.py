"""The lines that tell the agent and the exit log what happened to an attempt: one JSON object each."""

import os
import time
from collections.abc import Mapping
from json import JSONEncoder

from opsconsole_agent.keeper.attempt import Attempt

encode = JSONEncoder(separators=(",", ":")).encode

KEEPER_DIED = "its keeper was killed while it ran: how it ended can't be known"
HOST_RESTARTED = "the host restarted"
LOST_WITH_HOST = "host_restarted"
"""The cause of such an end, as the agent knows causes."""
_KEEPER_DIED = encode(KEEPER_DIED)
_JSON: Mapping[bool | None, str] = {True: "true", False: "false", None: "null"}
_NAMED_MAX = 5


def now_ms() -> int:
    """Wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def started(attempt: Attempt) -> str:
    """The attempt has started."""
    # Put together by hand, as every start needs one: an attempt id needs no quoting.
    outputs = ",".join(f"[{encode(output.path)},{output.inode}]" for output in attempt.outputs if output.inode)
    return (
        f'{{"kind":"started","attempt_id":"{attempt.id}","pid":{attempt.pid},'
        f'"start_time":{attempt.start_time},"at_ms":{attempt.started_at_ms},"outputs":[{outputs}],'
        f'"limit":{attempt.limit_mark}}}'
    )


def frozen(attempt: Attempt, at_ms: int) -> str:
    """No process of it runs any more. A later keeper needs the cgroup to thaw it."""
    path = attempt.cgroup.path if attempt.cgroup else None
    return encode({"kind": "frozen", "attempt_id": attempt.id, "at_ms": at_ms, "cgroup": path})


def thawed(attempt: Attempt, at_ms: int) -> str:
    """It may run again."""
    return encode({"kind": "thawed", "attempt_id": attempt.id, "at_ms": at_ms})


def exited(attempt: Attempt) -> str:
    """It has ended: how its leader exited, what it used, and whether anything of it was left."""
    code = None if attempt.exit_status is None else os.waitstatus_to_exitcode(attempt.exit_status)
    # Put together by hand, as every end needs one: an attempt id needs no quoting.
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
    """Some of the processes that were left, for a person who looks for a mistake in the task."""
    if not attempt.leftovers:
        return ""
    named = [f"{pid} {name}" for (pid, _), name in attempt.leftovers.items()]
    return f',"outlived":{encode(sorted(named)[:_NAMED_MAX])}'


def guest_exited(guest_id: str, code: int, *, ending: bool) -> str:
    """A program that was run within an attempt has exited. `ending`: so is its attempt, or has been told to."""
    return encode(
        {
            "kind": "guest_exited",
            "guest": guest_id,
            "exit_code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "ending": ending,
        }
    )


def unstarted(attempt_id: str, error: str, cause: str, at_ms: int) -> str:
    """It never became a process, for a reason in words and as a code."""
    return _exited_without_status(attempt_id, None, error, at_ms, None, cause, exit_known=True)


def lost(
    attempt_id: str, pid: int | None, error: str, at_ms: int, started_at_ms: int | None, cause: str = ""
) -> str:  # fmt: skip
    """It ended while no keeper was there to see it."""
    return _exited_without_status(attempt_id, pid, error, at_ms, started_at_ms, cause, exit_known=False)


def _exited_without_status(
    attempt_id: str, pid: int | None, error: str, at_ms: int, started_at_ms: int | None, cause: str = "", *,
    exit_known: bool,
) -> str:  # fmt: skip
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
            **({"cause": cause} if cause else {}),
        }
    )


def live_entry(attempt: Attempt) -> Mapping[str, object]:
    """What the hello says of a live attempt."""
    return {
        "attempt_id": attempt.id,
        "pid": attempt.pid,
        "start_time": attempt.start_time,
        "started_at_ms": attempt.started_at_ms,
        "frozen": attempt.frozen,
        "ending": attempt.leader_gone,
        "exit_known": attempt.child,
    }
