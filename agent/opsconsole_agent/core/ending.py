"""How an attempt ended, in a state and in words."""

import re
import signal
from typing import NamedTuple

from opsconsole_agent.core.event import ProcessExited
from opsconsole_agent.core.intent import Stop, StopCause
from opsconsole_protocol.state import AttemptState

_STATE_OF_CAUSE = {
    StopCause.WANTED: AttemptState.KILLED,
    StopCause.TIMEOUT: AttemptState.FAILED,
    StopCause.FENCE: AttemptState.WORKER_FAILED,
}
_GPU_OUT_OF_MEMORY = re.compile(
    r"(?:CUDA|HIP)(?: error:)? out of memory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation"
    r"|torch(?:\.cuda)?\.OutOfMemoryError|(?:CUBLAS|CUDNN)_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: Out of memory",
    re.IGNORECASE,
)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""The codes that shells give to commands that aren't there or can't be started."""


PORT_TAKEN_WITHIN_MS = 60_000
"""A task that fails later than this has had its port: who listens on it then came after it."""


class Ending(NamedTuple):
    """The end of an attempt, as it is reported."""

    state: AttemptState
    exit_code: int | None
    error: str
    stopped: bool = False
    """Whether it ended because the agent ended it."""
    worker_fault: bool = False
    """Whether it failed of something that is the worker's own."""


def ending(exited: ProcessExited, stop: Stop | None, last_lines: str = "", full_disk: str = "") -> Ending:
    """Judge an exit. A stop counts only if its TERM was sent before the process had ended.

    `full_disk`: the folder on whose disk there is no room, which may well be what it failed of.
    """
    exit_code = _exit_code(exited)
    if stop is not None and exited.at_ms >= stop.at_ms:
        return Ending(_STATE_OF_CAUSE[stop.cause], exit_code, _with_leftovers(stop.reason, exited), stopped=True)
    if exited.host_restarted:
        return Ending(AttemptState.WORKER_FAILED, None, exited.error or "the host restarted")
    if not exited.exit_known:
        why = exited.error or "nobody saw how it ended"
        return Ending(
            AttemptState.FAILED, None, f"exit code unknown: {why}; its last lines may be missing", worker_fault=True
        )
    if exit_code == 0 and not exited.error:
        return Ending(AttemptState.SUCCEEDED, 0, "")
    if exited.taken_port is not None and exited.at_ms - (exited.started_at_ms or 0) <= PORT_TAKEN_WITHIN_MS:
        error = f"port {exited.taken_port} was taken by another program: it is tried again with others"
        return Ending(AttemptState.WORKER_FAILED, exit_code, error)
    error = exited.error or _words(exited, last_lines)
    if full_disk:
        error += f"; the worker's disk is full: make room in {full_disk}"
    note = leftover_words(exited, stop) if exited.all_gone else ""
    error = f"{error}; {note}" if note else _with_leftovers(error, exited)
    return Ending(AttemptState.FAILED, exit_code, error, worker_fault=bool(full_disk))


def leftover_words(exited: ProcessExited, stop: Stop | None) -> str:
    """What became of processes that its leader left behind, unless somebody had ended them all; empty for none."""
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
    """`signal 9 (SIGKILL)`; just the number for one without a name."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _exit_code(exited: ProcessExited) -> int | None:
    if exited.exit_code is None and exited.error:
        if exited.error.startswith("command not found"):
            return _NOT_FOUND
        if exited.error.startswith("permission denied"):
            return _NOT_EXECUTABLE
    return exited.exit_code


def _words(exited: ProcessExited, last_lines: str) -> str:
    if exited.out_of_memory:
        return "killed by the kernel: out of memory"
    words = f"exit code {exited.exit_code}" if exited.signal is None else f"killed by {signal_words(exited.signal)}"
    return f"{words}: ran out of GPU memory" if _GPU_OUT_OF_MEMORY.search(last_lines) else words


def _with_leftovers(error: str, exited: ProcessExited) -> str:
    return error if exited.all_gone else f"{error}; some of its processes could not be killed"
