"""What the agent's core is told. Messages from the coordinator are events as they are.

`at_ms` is when it happened: Unix milliseconds, the worker's clock.
"""

import msgspec

from opsconsole_agent.core.intent import Intent
from opsconsole_agent.failure.last_lines import NOTHING, Printed
from opsconsole_protocol.dataset import FoundDataset
from opsconsole_protocol.end_cause import Cause, EndCause
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import DesiredSet, Forget, JobAssignment, Observe, SetWant


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what the shells report."""


# --- the link ------------------------------------------------------------------------------------------------------


class LinkUp(Fact, frozen=True, kw_only=True):
    """The coordinator has accepted the registration, with the observed set that `begin_exchange` gave."""


class LinkDown(Fact, frozen=True, kw_only=True):
    """The connection is gone."""


class Contact(Fact, frozen=True, kw_only=True):
    """Something was heard from the coordinator."""


# --- what is found -------------------------------------------------------------------------------------------------


class IntentsFound(Fact, frozen=True, kw_only=True):
    """What an earlier life of the agent wrote down. `damaged`: the ids of attempts whose file can't be read, each with why."""

    intents: tuple[Intent, ...] = ()
    damaged: tuple[tuple[AttemptId, str], ...] = ()


class FoundAttempt(Fact, frozen=True, kw_only=True):
    """An attempt that its engine knows to live."""

    attempt_id: AttemptId
    started_at_ms: int
    is_paused: bool = False


class AttemptExited(Fact, frozen=True, kw_only=True):
    """Nothing of the attempt lives any more. Where the exit is known, either `exit_code` or `signal` is set.

    `taken_port`: one of its named ports that another program listens on, now that nothing of the attempt lives. `error`: why
    it was not started, or why the exit isn't known. `all_gone` is false when the end of every process couldn't be
    proven. `leftovers`: how many processes were ended after their leader, some of which `outlived` names.
    `host_restarted`: the attempt was lost together with its host. `cause`: an EndCause, why it was not started.
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
    taken_port: int | None = None
    cause: Cause = ""


class EngineHello(Fact, frozen=True, kw_only=True):
    """An engine was reached: all that it knows of what lives and what has ended.

    `engine`: its name. It speaks for attempts that were written down by this name, and for no others. `unstarted`: attempts that it surely never started. `lost_with_host`: attempts from before the host restarted of which
    it knows nothing.
    """

    engine: str
    live: tuple[FoundAttempt, ...] = ()
    exits: tuple[AttemptExited, ...] = ()
    unstarted: frozenset[AttemptId] = frozenset()
    lost_with_host: frozenset[AttemptId] = frozenset()


# --- one attempt ---------------------------------------------------------------------------------------------------


class BuildStarted(Fact, frozen=True, kw_only=True):
    """Preparing the attempt takes time, so its state is to be `building` meanwhile."""

    attempt_id: AttemptId
    at_ms: int


class AttemptPrepared(Fact, frozen=True, kw_only=True):
    """All that the attempt needs is there."""

    attempt_id: AttemptId
    at_ms: int
    output_path: str | None = None
    workdir: str | None = None
    ports: dict[str, int] = {}
    from_cache: bool = False
    image_tag: str = ""
    datasets: tuple[FoundDataset, ...] = ()


class PreparationFailed(Fact, frozen=True, kw_only=True):
    """The attempt can't be started; `error` is one line for the submitter.

    `worker_fault`: on another worker it might be. `again`: only the moment is to blame, so it is to be tried again at no cost.
    `cause`: an EndCause. `hint`: what to do. `log_sizes`: bytes that its preparation has written, by source.
    """

    attempt_id: AttemptId
    at_ms: int
    error: str
    worker_fault: bool = False
    again: bool = False
    cause: Cause = EndCause.NOT_STARTED
    hint: str = ""
    log_sizes: dict[str, int] = {}


class AttemptStarted(Fact, frozen=True, kw_only=True):
    """The attempt lives."""

    attempt_id: AttemptId
    at_ms: int


class StartFailed(Fact, frozen=True, kw_only=True):
    """The attempt was not started, and nothing of it lives; `error` says why."""

    attempt_id: AttemptId
    at_ms: int
    error: str


class Paused(Fact, frozen=True, kw_only=True):
    """Nothing of the attempt runs."""

    attempt_id: AttemptId
    at_ms: int


class Resumed(Fact, frozen=True, kw_only=True):
    """The attempt runs again."""

    attempt_id: AttemptId
    at_ms: int


class PauseFailed(Fact, frozen=True, kw_only=True):
    """The attempt could not be paused, or could not be resumed; `error` says which and why."""

    attempt_id: AttemptId
    error: str


class LogComplete(Fact, frozen=True, kw_only=True):
    """The log files of an ended attempt grow no more. It comes again with other sizes when a file was lost before all of it
    was shipped.

    `sizes`: bytes by source. `printed`: by an attempt that failed. `full_disk`: the folder on whose disk there is no room
    for what the task may have wanted to say. `left`: when that is removed which the task left on this worker. `output_files`,
    `output_bytes`: what lies in its output folder, where that is known.
    """

    attempt_id: AttemptId
    sizes: dict[str, int] = {}
    printed: Printed = NOTHING
    full_disk: str = ""
    left: str = ""
    output_files: int | None = None
    output_bytes: int | None = None


class OutputTooLarge(Fact, frozen=True, kw_only=True):
    """The attempt has written more results than one task may; `reason` says how much, in words."""

    attempt_id: AttemptId
    reason: str


class StopAll(Fact, frozen=True, kw_only=True):
    """The agent is to leave nothing running behind."""

    reason: str


# --- time ----------------------------------------------------------------------------------------------------------


class Tick(Fact, frozen=True, kw_only=True):
    """Time has passed; sent at `next_deadline_ms`."""


class ClockMoved(Fact, frozen=True, kw_only=True):
    """The worker's clock was set forward (or, negative, back) by `delta_ms`: no time has passed."""

    delta_ms: int


Event = (
    LinkUp | LinkDown | Contact | DesiredSet | JobAssignment | SetWant | Forget | Observe | IntentsFound | EngineHello
    | BuildStarted | AttemptPrepared | PreparationFailed | AttemptStarted | StartFailed | AttemptExited | Paused
    | Resumed | PauseFailed | LogComplete | OutputTooLarge | StopAll | Tick | ClockMoved
)  # fmt: skip
