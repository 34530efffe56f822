"""What the agent writes down about an attempt before it acts on it, and reads back after a restart.

How an attempt ended is not in here: its engine records that. Only the agent knows what is to be started, whether that may
have been asked for, who wanted its end, and how it ended where it was never started.
"""

from enum import StrEnum

import msgspec

from opsconsole_protocol.dataset import FoundDataset
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Observed

PROCESS = "process"
"""The engine of attempts that don't name theirs: there was no other when they were written down."""


class StopCause(StrEnum):
    """Why the agent ended an attempt itself."""

    WANTED = "wanted"
    TIMEOUT = "timeout"
    FENCE = "fence"
    OUTPUT = "output"
    """It wrote more results than one task may."""


class Stop(msgspec.Struct, frozen=True):
    """TERM was sent at `at_ms`; KILL follows `grace_ms` later."""

    cause: StopCause
    reason: str
    at_ms: int
    grace_ms: int


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One attempt as it is written down. Times in Unix milliseconds, the worker's clock.

    `launch` is None for one that was found alive without its spec. `engine`: what starts it, or started it. `released`: its
    start may have been asked for. `end`: how it ended, where its engine doesn't know. `timer_from_ms`: its running time
    counts from there; every pause moves it on by its own length.
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
    datasets: tuple[FoundDataset, ...] = ()
    engine: str = PROCESS
