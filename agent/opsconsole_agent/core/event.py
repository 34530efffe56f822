"""What the agent's core is told. Messages of the link are events as they are.

`at_ms` is when it happened: Unix milliseconds, the worker's clock.
"""

import msgspec

from opsconsole_agent.core.intent import Intent
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import DesiredSet, Forget, JobAssignment, Observe, SetWant


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what the shells report."""


# --- the link ------------------------------------------------------------------------------------------------------


class LinkUp(Fact, frozen=True, kw_only=True):
    """The coordinator has taken our registration, with the observed set that `begin_exchange` gave."""


class LinkDown(Fact, frozen=True, kw_only=True):
    """The connection is gone."""


class Contact(Fact, frozen=True, kw_only=True):
    """Something was heard from the coordinator."""


# --- what is found -------------------------------------------------------------------------------------------------


class IntentsFound(Fact, frozen=True, kw_only=True):
    """What an earlier life of the agent wrote down. `damaged`: attempt ids whose file can't be read, and why."""

    intents: tuple[Intent, ...] = ()
    damaged: tuple[tuple[AttemptId, str], ...] = ()


class LiveProcess(Fact, frozen=True, kw_only=True):
    """An attempt's process that lives."""

    attempt_id: AttemptId
    started_at_ms: int
    frozen: bool = False


class ProcessExited(Fact, frozen=True, kw_only=True):
    """Nothing of the attempt lives any more. Of `exit_code` and `signal` one is set, when the exit is known.

    `error`: why there never was a process, or why the exit isn't known. `all_gone` is false when the keeper couldn't
    prove the end of every process. `outlived` of `leftovers` processes, which were ended after their leader, are named.
    `host_restarted`: it was lost together with its host.
    """

    attempt_id: AttemptId
    at_ms: int
    exit_code: int | None = None
    signal: int | None = None
    exit_known: bool = True
    error: str = ""
    out_of_memory: bool = False
    all_gone: bool = True
    leftovers: int = 0
    outlived: tuple[str, ...] = ()
    host_restarted: bool = False
    started_at_ms: int | None = None
    peak_memory_mb: int | None = None
    cpu_seconds: float | None = None


class KeeperHello(Fact, frozen=True, kw_only=True):
    """A keeper says what lives and what has ended. `unstarted`: attempts that it is sure it never started.

    `outlived`: attempts from before the host restarted of which nothing is known: they are lost with the host.
    """

    live: tuple[LiveProcess, ...] = ()
    exits: tuple[ProcessExited, ...] = ()
    unstarted: frozenset[AttemptId] = frozenset()
    outlived: frozenset[AttemptId] = frozenset()


# --- one attempt ---------------------------------------------------------------------------------------------------


class BuildStarted(Fact, frozen=True, kw_only=True):
    """Preparation turned out to be work."""

    attempt_id: AttemptId
    at_ms: int


class AttemptPrepared(Fact, frozen=True, kw_only=True):
    """All that its process needs is there."""

    attempt_id: AttemptId
    at_ms: int
    output_path: str | None = None
    workdir: str | None = None
    ports: dict[str, int] = {}
    from_cache: bool = False
    image_tag: str = ""


class PreparationFailed(Fact, frozen=True, kw_only=True):
    """It can't be started; `error` is one line for the submitter. `worker_fault`: on another worker it might be."""

    attempt_id: AttemptId
    at_ms: int
    error: str
    worker_fault: bool = False


class ProcessStarted(Fact, frozen=True, kw_only=True):
    """Its process lives."""

    attempt_id: AttemptId
    at_ms: int


class StartFailed(Fact, frozen=True, kw_only=True):
    """The start was never asked for: what must be written down first could not be."""

    attempt_id: AttemptId
    at_ms: int
    error: str


class Frozen(Fact, frozen=True, kw_only=True):
    """The whole process tree stands still."""

    attempt_id: AttemptId
    at_ms: int


class Thawed(Fact, frozen=True, kw_only=True):
    """The process tree runs again."""

    attempt_id: AttemptId
    at_ms: int


class FreezeFailed(Fact, frozen=True, kw_only=True):
    """It could not be frozen, or not thawed."""

    attempt_id: AttemptId
    error: str


class LogComplete(Fact, frozen=True, kw_only=True):
    """The log files of an ended attempt grow no more: bytes per source, and the last lines of a failed one.

    `full_disk` is the folder, if there was no room left in it for what the task may have wanted to say. Said again with other sizes when a file was lost before it could be shipped.
    """

    attempt_id: AttemptId
    sizes: dict[str, int] = {}
    last_lines: str = ""
    full_disk: str = ""
    left: str = ""
    """When that goes which the task left on this worker."""


class StopAll(Fact, frozen=True, kw_only=True):
    """The agent is to leave nothing running behind."""

    reason: str


# --- time ----------------------------------------------------------------------------------------------------------


class Tick(Fact, frozen=True, kw_only=True):
    """Time has passed; sent at `next_deadline_ms`."""


class ClockMoved(Fact, frozen=True, kw_only=True):
    """The worker's clock was set forward (or, negative, back) by so much: no time has passed."""

    delta_ms: int


Event = (
    LinkUp | LinkDown | Contact | DesiredSet | JobAssignment | SetWant | Forget | Observe | IntentsFound | KeeperHello
    | BuildStarted | AttemptPrepared | PreparationFailed | ProcessStarted | StartFailed | ProcessExited | Frozen
    | Thawed | FreezeFailed | LogComplete | StopAll | Tick | ClockMoved
)  # fmt: skip
