"""Xid errors: what the NVIDIA driver says went wrong on a GPU, and whether the hardware is to blame. Pure.

Most Xids come of what a program did (13, 31, 43, 45, 68, …) and say nothing about the GPU; which these are is nowhere
complete, so only the ones that are known to be the hardware's or the driver's own mark a GPU.
"""

import time
from typing import NamedTuple

_RESET = "reset it (nvidia-smi --gpu-reset -i {index}) or reboot the host, then restart the agent"
_REPLACE = "have it looked at or replaced, then restart the agent"

HARDWARE: dict[int, tuple[str, str]] = {
    46: ("it stopped processing", _RESET),
    48: ("an uncorrectable memory error", _RESET),
    54: ("its power cable isn't connected", _REPLACE),
    61: ("its internal micro-controller failed", _RESET),
    62: ("its internal micro-controller halted", _RESET),
    63: ("a part of its memory is being retired", _RESET),
    64: ("a part of its memory could not be retired", _REPLACE),
    74: ("an NVLink error", _RESET),
    79: ("it has fallen off the bus", _RESET),
    92: ("many single-bit memory errors", _REPLACE),
    94: ("a contained memory error", _RESET),
    95: ("an uncontained memory error", _RESET),
    110: ("a security fault", _RESET),
    119: ("its system processor doesn't answer", _RESET),
    120: ("its system processor failed", _RESET),
    121: ("an error of its link to the CPU", _RESET),
    136: ("an NVLink couldn't be trained", _RESET),
    140: ("an unrecovered memory error", _RESET),
    143: ("it couldn't be initialised", _RESET),
    154: ("the driver asks for its recovery", _RESET),
}
"""What happened, and what to do."""


class Trouble(NamedTuple):
    """A hardware Xid, and when it was noticed."""

    number: int
    at_s: float

    def words(self, index: int) -> str:
        """In one line, in the worker's own time."""
        when = time.strftime("%d %b at %H:%M", time.localtime(self.at_s))
        what, advice = HARDWARE[self.number]
        return f"GPU {index} reported Xid {self.number} on {when}, {what}: {advice.format(index=index)}"


class XidBook:
    """The last hardware Xid of each GPU by its uuid; nothing but a new book clears it."""

    def __init__(self) -> None:
        self._troubles: dict[str, Trouble] = {}

    def note(self, uuid: str, number: int, at_s: float) -> bool:
        """Take one in; False when it is the fault of a program and changes nothing."""
        if number not in HARDWARE:
            return False
        self._troubles[uuid] = Trouble(number, at_s)
        return True

    def trouble(self, uuid: str) -> Trouble | None:
        """What this GPU has reported."""
        return self._troubles.get(uuid)
