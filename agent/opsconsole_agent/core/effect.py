"""What the agent's core wants done, to be carried out in the order given."""

import msgspec

from opsconsole_agent.core.intent import Intent
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Observation, Report


class Command(msgspec.Struct, frozen=True):
    """Base of all effects."""


class PersistIntent(Command, frozen=True):
    """Write this down before any later effect is carried out; when that fails, StartFailed instead of a start."""

    intent: Intent


class PrepareAttempt(Command, frozen=True):
    """Make folders, stage inputs, find ports. Answered by (BuildStarted and) AttemptPrepared or PreparationFailed."""

    attempt_id: AttemptId
    launch: Launch


class AbandonPreparation(Command, frozen=True):
    """Its result is no longer waited for."""

    attempt_id: AttemptId


class StartAttempt(Command, frozen=True):
    """Start the process. Answered by ProcessStarted or ProcessExited."""

    attempt_id: AttemptId


class Freeze(Command, frozen=True):
    """Answered by Frozen, FreezeFailed or ProcessExited."""

    attempt_id: AttemptId


class Thaw(Command, frozen=True):
    """Answered by Thawed, FreezeFailed or ProcessExited."""

    attempt_id: AttemptId


class Terminate(Command, frozen=True):
    """TERM to every process of the attempt, thawed if need be. KILL is an effect of its own."""

    attempt_id: AttemptId
    grace_ms: int


class Kill(Command, frozen=True):
    """KILL to every process of the attempt."""

    attempt_id: AttemptId


class FinishLog(Command, frozen=True):
    """The attempt has ended: fix the sizes of its log files. Answered by LogComplete."""

    attempt_id: AttemptId
    failed: bool
    """Whether the last lines of stderr may tell why."""
    note: str = ""
    """For the log: what else is to be known of the end."""


class RewindLog(Command, frozen=True):
    """The coordinator has this much of each source: ship from there on."""

    attempt_id: AttemptId
    offsets: dict[str, int]


class ForgetAttempt(Command, frozen=True):
    """Remove the attempt's folder; then the keeper may forget its exit. `clean`: surely no process is left in it.

    `publish`: its output folder, when its result is its task's.
    """

    attempt_id: AttemptId
    clean: bool
    publish: str | None = None


class SendReport(Command, frozen=True):
    """Send it on the present connection, if that still stands."""

    report: Report


class SendObservation(Command, frozen=True):
    """Send it on the present connection, if that still stands."""

    observation: Observation


Effect = (
    PersistIntent | PrepareAttempt | AbandonPreparation | StartAttempt | Freeze | Thaw | Terminate | Kill | FinishLog
    | RewindLog | ForgetAttempt | SendReport | SendObservation
)  # fmt: skip
