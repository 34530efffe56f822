"""What the agent writes down about an attempt before it acts on it, and reads back after a restart.

How a process ended is not in here: its keeper records that. What only the agent knows is: what to start, whether it
may have been started, who wanted its end, and how it ended where there was no process to end.
"""

from enum import StrEnum

import msgspec

from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Observed


class StopCause(StrEnum):
    """Why the agent ended a process itself."""

    WANTED = "wanted"
    TIMEOUT = "timeout"
    FENCE = "fence"


class Stop(msgspec.Struct, frozen=True):
    """TERM was sent at `at_ms`; KILL follows `grace_ms` later."""

    cause: StopCause
    reason: str
    at_ms: int
    grace_ms: int


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One attempt as it is written down. Times in Unix milliseconds, the worker's clock.

    `launch` is None for a process found without its spec. `released`: its start may have been asked for. `end`: how
    it ended, where no keeper knows. `timer_from_ms`: from when its running time counts, pauses moved out of the way.
    """

    attempt_id: AttemptId
    launch: Launch | None
    released: bool = False
    stop: Stop | None = None
    end: Observed | None = None
    output_path: str | None = None
    workdir: str | None = None
    ports: dict[str, int] = {}
    timer_from_ms: int | None = None
    paused_at_ms: int | None = None
    build_started_ms: int | None = None
    build_finished_ms: int | None = None
    build_from_cache: bool = False
    image_tag: str = ""
