"""How an attempt ended: its state, its exit code, in words and as a code."""

from collections.abc import Mapping
from typing import NamedTuple

from opsconsole_agent.core.event import AttemptExited
from opsconsole_agent.core.intent import Stop, StopCause
from opsconsole_agent.failure.last_lines import NOTHING, Printed
from opsconsole_protocol.end_cause import Cause, EndCause
from opsconsole_protocol.state import AttemptState

_END_OF_STOP = {
    StopCause.WANTED: (AttemptState.KILLED, EndCause.CANCELLED),
    StopCause.TIMEOUT: (AttemptState.FAILED, EndCause.TIMED_OUT),
    StopCause.FENCE: (AttemptState.WORKER_FAILED, EndCause.FENCED),
    StopCause.OUTPUT: (AttemptState.FAILED, EndCause.OUTPUT_TOO_LARGE),
}
_EXIT_CODES: Mapping[str, int] = {EndCause.COMMAND_NOT_FOUND: 127, EndCause.PERMISSION_DENIED: 126}
"""The exit codes that shells give to such commands."""

PORT_TAKEN_WITHIN_MS = 60_000
"""A task that fails later than this after its start did have its port: whoever listens on it now came later."""


class Ending(NamedTuple):
    """The end of an attempt, as it is reported."""

    state: AttemptState
    exit_code: int | None
    error: str
    cause: Cause
    stopped: bool = False
    """Whether it ended because the agent ended it."""
    worker_fault: bool = False
    """Whether it failed of something that is the worker's own."""
    hint: str = ""
    """What to do about it, or what a bare number means."""


def ending(exited: AttemptExited, stop: Stop | None, printed: Printed = NOTHING, full_disk: str = "") -> Ending:
    """The end that an exit is. A stop counts only if its TERM was sent before the process had ended.

    `printed`: what may say why it failed. `full_disk`: the folder on whose disk there is no room, which may be why it failed.
    """
    exit_code = _exit_code(exited)
    if stop is not None and exited.at_ms >= stop.at_ms:
        state, cause = _END_OF_STOP[stop.cause]
        return Ending(state, exit_code, _with_leftovers(stop.reason, exited), cause, stopped=True)
    if exited.host_restarted:
        error = exited.error or "the host restarted"
        return Ending(AttemptState.WORKER_FAILED, None, error, EndCause.HOST_RESTARTED)
    if not exited.exit_known:
        why = exited.error or "nobody saw how it ended"
        error = f"exit code unknown: {why}; its last lines may be missing"
        return Ending(AttemptState.FAILED, None, error, EndCause.EXIT_UNKNOWN, worker_fault=True)
    if exit_code == 0 and not exited.error:
        return Ending(AttemptState.SUCCEEDED, 0, "", "")
    if exited.taken_port is not None and exited.at_ms - (exited.started_at_ms or 0) <= PORT_TAKEN_WITHIN_MS:
        error = f"port {exited.taken_port} was taken by another program: it is tried again with others"
        return Ending(AttemptState.WORKER_FAILED, exit_code, error, EndCause.PORT_TAKEN)
    error, why, hint = _failure(exited, printed)
    if full_disk:
        error, why, hint = f"{error}; the worker's disk is full", EndCause.DISK_FULL, f"make room in {full_disk}"
    left = leftover_words(exited, stop) if exited.all_gone else ""
    error = f"{error}; {left}" if left else _with_leftovers(error, exited)
    return Ending(AttemptState.FAILED, exit_code, error, why, worker_fault=bool(full_disk), hint=hint)


def leftover_words(exited: AttemptExited, stop: Stop | None) -> str:
    """What became of processes that its leader left behind; empty where there were none, or where all were told to end."""
    if stop is not None and exited.at_ms >= stop.at_ms:
        return ""
    if not exited.all_gone:
        return "a process that may be of this task lives on: it can't be told from another task's, or isn't ours to end"
    if not exited.leftovers:
        return ""
    named = ", ".join(exited.outlived)
    more = ", …" if exited.outlived and exited.leftovers > len(exited.outlived) else ""
    who = (
        "1 process outlived its parent and was"
        if exited.leftovers == 1
        else (f"{exited.leftovers} processes outlived their parent and were")
    )
    return f"{who} ended: {named}{more}" if named else f"{who} ended"


def _exit_code(exited: AttemptExited) -> int | None:
    return exited.exit_code if exited.exit_code is not None else _EXIT_CODES.get(exited.cause)


def _failure(exited: AttemptExited, printed: Printed) -> tuple[str, Cause, str]:
    """What an attempt failed of by itself: in words, as a code, and what to do."""
    from opsconsole_agent.failure.explanation import explain, signal_words
    from opsconsole_agent.failure.rule import CAUSE_HINTS, SIGNAL_HINTS, STATUS_HINTS

    if exited.error:
        return exited.error, exited.cause or EndCause.NOT_STARTED, CAUSE_HINTS.get(exited.cause, "")
    if exited.out_of_memory:
        return "killed by the kernel: out of memory", EndCause.OUT_OF_MEMORY, CAUSE_HINTS[EndCause.OUT_OF_MEMORY]
    if exited.signal is None:
        status = exited.exit_code or 0
        how, cause, hint = f"exit code {status}", EndCause.EXIT_CODE, STATUS_HINTS.get(status, "")
    else:
        status = 128 + exited.signal
        how, cause = f"killed by {signal_words(exited.signal)}", EndCause.KILLED_BY_SIGNAL
        hint = SIGNAL_HINTS.get(exited.signal, "")
    found = explain(printed, status)
    if found is None:
        return how, cause, hint
    return f"{how}: {found.words}", found.cause or cause, found.hint


def _with_leftovers(error: str, exited: AttemptExited) -> str:
    return error if exited.all_gone else f"{error}; some of its processes could not be killed"
