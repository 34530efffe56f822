"""What an agent measures of its host and its tasks: GPUs, memory, use, progress, and what is wrong with them.

Part of `register` and of every heartbeat (`from_agent.py`), and of the rows that the console shows (`api/row.py`).
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from opsconsole_protocol.bound import GPU_USERS_MAX, Id, Label, Moment, Path, Signed, Text, Whole
from opsconsole_protocol.link.message import Message


class GpuUser(Message, frozen=True, kw_only=True):
    """A process that holds memory of a GPU; `attempt_id` is empty for a foreign one."""

    pid: Whole
    name: Label
    memory_mb: Whole | None = None
    attempt_id: Id = ""
    is_compute: bool = False
    """It computes and doesn't draw: nobody's desktop."""


class Gpu(Message, frozen=True, kw_only=True):
    """One GPU as last sampled. Readings that the card doesn't support are null. Memory in MiB, power in watts."""

    index: Whole
    uuid: Label
    name: Label
    memory_total_mb: Signed | None = None
    memory_used_mb: Signed | None = None
    utilization_percent: Signed | None = None
    temperature_c: Signed | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    state: Label = "ok"
    """`ok`, `lost` (fell off the bus) or `error`."""
    message: Text = ""
    processes: Annotated[tuple[GpuUser, ...], Meta(max_length=GPU_USERS_MAX)] = ()


class Host(Message, frozen=True, kw_only=True):
    """The host as last sampled. Memory in MiB."""

    cpu_percent: float = 0.0
    load1: float = 0.0
    memory_used_mb: Signed = 0
    memory_available_mb: Signed = 0
    disk_free_mb: Signed | None = None
    cache_room_mb: Signed | None = None
    """How much its cache could take in of what jobs bring along, beside what live ones need; null where it doesn't say."""


class TaskUsage(Message, frozen=True, kw_only=True):
    """What the processes of one attempt use. Memory in MiB, CPU in percent of one core."""

    current_memory_mb: Signed = 0
    peak_memory_mb: Signed = 0
    cpu_percent: float = 0.0
    process_count: Signed = 0
    disk_mb: Signed | None = None
    gpu_memory_mb: Signed | None = None
    gpu_utilization_percent: Signed | None = None


_LEAST_COUNT = 1e-9
COUNT_MAX = 1e15
"""More than any task counts to. An infinite number is none that can be computed with."""


class TaskProgress(Message, frozen=True, kw_only=True):
    """How far a task is by what it prints, or its preparation by the step under way.

    `eta_ms`: how long it still takes, in milliseconds, where that can be told. `text`: the name of the step; empty for a task.
    """

    done: Annotated[float, Meta(ge=0, le=COUNT_MAX)]
    total: Annotated[float, Meta(ge=_LEAST_COUNT, le=COUNT_MAX)]
    eta_ms: Moment | None = None
    text: Label = ""


class IoPaths(Message, frozen=True, kw_only=True):
    """Where a worker reads inputs and writes outputs, and the label of the filesystem they are on."""

    input: Path | None = None
    output: Path | None = None
    filesystem: Label = ""


class TroubleCode(StrEnum):
    """What can be wrong with a worker as a whole. A code that isn't here is shown by its text."""

    KEEPER_SILENT = "keeper_silent"
    """Its keeper doesn't answer: no attempt can be started or stopped there."""
    STATE_DAMAGED = "state_damaged"
    """Another file in its state folder is damaged and was put aside."""
    DISK_FULL = "disk_full"
    """The disk of its state folder or its output folder is (nearly) full."""


TROUBLES_MAX = 16
TROUBLE_CHARACTERS_MAX = 500
TROUBLE_CODE_CHARACTERS_MAX = 40


class Trouble(Message, frozen=True, kw_only=True):
    """What is wrong with a worker at the moment, as its agent sees it, in one line for people.

    While one that `blocks` lasts, nothing new is assigned to the worker. `code` is a TroubleCode or one of a newer agent.
    """

    code: Annotated[str, Meta(min_length=1, max_length=TROUBLE_CODE_CHARACTERS_MAX)]
    text: Annotated[str, Meta(max_length=TROUBLE_CHARACTERS_MAX)] = ""
    blocks: bool = True
