"""How an attempt ended: its state, its exit code, in words and as a code."""

import re
import signal
from collections.abc import Mapping
from typing import NamedTuple

from opsconsole_agent.core.event import AttemptExited
from opsconsole_agent.core.intent import Stop, StopCause
from opsconsole_protocol.end_cause import Cause, EndCause
from opsconsole_protocol.state import AttemptState

_END_OF_STOP = {
    StopCause.WANTED: (AttemptState.KILLED, EndCause.CANCELLED),
    StopCause.TIMEOUT: (AttemptState.FAILED, EndCause.TIMED_OUT),
    StopCause.FENCE: (AttemptState.WORKER_FAILED, EndCause.FENCED),
    StopCause.OUTPUT: (AttemptState.FAILED, EndCause.OUTPUT_TOO_LARGE),
}
_GPU_OUT_OF_MEMORY = re.compile(
    r"(?:CUDA|HIP)(?: error:)? out of memory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation"
    r"|torch(?:\.cuda)?\.OutOfMemoryError|(?:CUBLAS|CUDNN)_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: Out of memory",
    re.IGNORECASE,
)
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


def ending(exited: AttemptExited, stop: Stop | None, last_lines: str = "", full_disk: str = "") -> Ending:
    """The end that an exit is. A stop counts only if its TERM was sent before the process had ended.

    `last_lines`: of what it printed. `full_disk`: the folder on whose disk there is no room, which may be why it failed.
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
    error, reason = _failure(exited, last_lines)
    if full_disk:
        error, reason = f"{error}; the worker's disk is full: make room in {full_disk}", EndCause.DISK_FULL
    note = leftover_words(exited, stop) if exited.all_gone else ""
    error = f"{error}; {note}" if note else _with_leftovers(error, exited)
    return Ending(AttemptState.FAILED, exit_code, error, reason, worker_fault=bool(full_disk))


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


def signal_words(number: int) -> str:
    """`signal 9 (SIGKILL)`, or `signal 40` for one without a name."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _exit_code(exited: AttemptExited) -> int | None:
    return exited.exit_code if exited.exit_code is not None else _EXIT_CODES.get(exited.cause)


def _failure(exited: AttemptExited, last_lines: str) -> tuple[str, Cause]:
    """What an attempt failed of by itself, in words and as a code."""
    if exited.error:
        return exited.error, exited.cause or EndCause.NOT_STARTED
    if exited.out_of_memory:
        return "killed by the kernel: out of memory", EndCause.OUT_OF_MEMORY
    if exited.signal is None:
        words, cause = f"exit code {exited.exit_code}", EndCause.EXIT_CODE
    else:
        words, cause = f"killed by {signal_words(exited.signal)}", EndCause.KILLED_BY_SIGNAL
    if _GPU_OUT_OF_MEMORY.search(last_lines):
        return f"{words}: ran out of GPU memory", EndCause.GPU_OUT_OF_MEMORY
    return words, cause


def _with_leftovers(error: str, exited: AttemptExited) -> str:
    return error if exited.all_gone else f"{error}; some of its processes could not be killed"
