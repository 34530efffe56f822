"""Xid errors: what the NVIDIA driver reports about a GPU, and whether the hardware or the driver is the cause. Pure.

Most Xids are caused by a program (13, 31, 43, 45, 68, …) and say nothing about the GPU. There is no complete list of
those, so only Xids that are known to come from the hardware or the driver count against a GPU.
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
"""What has happened, and what to do, by Xid."""


class HardwareXid(NamedTuple):
    """An Xid of HARDWARE, and when it was noticed, in Unix seconds."""

    number: int
    at_s: float

    def words(self, index: int) -> str:
        """The error in one line, with the time in the worker's own time zone."""
        when = time.strftime("%d %b at %H:%M", time.localtime(self.at_s))
        what, advice = HARDWARE[self.number]
        return f"GPU {index} reported Xid {self.number} on {when}, {what}: {advice.format(index=index)}"


class XidHistory:
    """The last hardware Xid of each GPU. It is never cleared, as only a reset or a new GPU helps."""

    def __init__(self) -> None:
        self._last: dict[str, HardwareXid] = {}

    def add(self, uuid: str, number: int, at_s: float) -> bool:
        """Remember an Xid if it is a hardware error and return whether it is."""
        if number not in HARDWARE:
            return False
        self._last[uuid] = HardwareXid(number, at_s)
        return True

    def last(self, uuid: str) -> HardwareXid | None:
        """Return the last hardware Xid of this GPU."""
        return self._last.get(uuid)
