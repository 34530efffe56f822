"""What the agent's core wants done, to be carried out in the order given."""

import msgspec

from opsconsole_agent.core.intent import Intent
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Observation, Report


class Command(msgspec.Struct, frozen=True):
    """Base of all effects."""


class PersistIntent(Command, frozen=True):
    """Write this down before any later effect is carried out. Where that fails, a start is answered by StartFailed."""

    intent: Intent


class NoteFault(Command, frozen=True):
    """A decision was not carried out, for the attempt can't go there: a fault of this program. `text` has its recent story."""

    attempt_id: AttemptId
    text: str


class PrepareAttempt(Command, frozen=True):
    """Make folders, fetch files and code, run its setup, find ports. Answered by (BuildStarted and) AttemptPrepared or PreparationFailed."""

    attempt_id: AttemptId
    launch: Launch


class AbandonPreparation(Command, frozen=True):
    """Stop preparing the attempt and undo what was taken for it. Nothing is answered."""

    attempt_id: AttemptId


class StartAttempt(Command, frozen=True):
    """Start what was prepared. Answered by AttemptStarted, StartFailed or AttemptExited."""

    attempt_id: AttemptId


class Pause(Command, frozen=True):
    """Let nothing of the attempt run until it is resumed. Answered by Paused, PauseFailed or AttemptExited."""

    attempt_id: AttemptId


class Resume(Command, frozen=True):
    """Let the attempt run again. Answered by Resumed, PauseFailed or AttemptExited."""

    attempt_id: AttemptId


class AskToSave(Command, frozen=True):
    """Let the attempt know that it is to save a checkpoint and to end; `signal` is sent to it as well, unless it is empty. Nothing is answered."""

    attempt_id: AttemptId
    signal: str = ""


class WithdrawAsk(Command, frozen=True):
    """It needn't any more. Nothing is answered."""

    attempt_id: AttemptId


class Terminate(Command, frozen=True):
    """Ask the attempt to end, and resume it for that where it is paused. Kill is an effect of its own."""

    attempt_id: AttemptId
    grace_ms: int


class Kill(Command, frozen=True):
    """End all that lives of the attempt."""

    attempt_id: AttemptId


class FinishLog(Command, frozen=True):
    """The attempt has ended: fix the sizes of its log files. Answered by LogComplete.

    `failed`: its last lines may tell why. `note`: to be added to the log, what else is to be known of the end.
    """

    attempt_id: AttemptId
    failed: bool
    note: str = ""


class RewindLog(Command, frozen=True):
    """The coordinator has this much of each source: ship from there on."""

    attempt_id: AttemptId
    offsets: dict[str, int]


class ForgetAttempt(Command, frozen=True):
    """Remove the attempt's folder; then its engine may forget how it ended, and what it needed.

    `clean`: surely no process of it is left. `publish`: its output folder, where its result was accepted as its task's.
    """

    attempt_id: AttemptId
    clean: bool
    publish: str | None = None
    launch: Launch | None = None


class SendReport(Command, frozen=True):
    """Send the report on the present connection, if that still stands."""

    report: Report


class SendObservation(Command, frozen=True):
    """Send the observation on the present connection, if that still stands."""

    observation: Observation


Effect = (
    PersistIntent | NoteFault | PrepareAttempt | AbandonPreparation | StartAttempt | Pause | Resume | AskToSave | WithdrawAsk | Terminate | Kill | FinishLog
    | RewindLog | ForgetAttempt | SendReport | SendObservation
)  # fmt: skip
