"""What an attempt has said of itself so far, in short."""

from dataclasses import dataclass, field

from opsconsole_protocol.report.line import Checkpoint, Progress


@dataclass(slots=True)
class Reported:
    """The last value of each metric, the last step, progress and checkpoint; notes and faults since they were last told.

    A fault is a line that couldn't be taken: which, and why. Times in Unix milliseconds.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    step: float | None = None
    progress: Progress | None = None
    progress_at_ms: int = 0
    checkpoint: Checkpoint | None = None
    notes: list[tuple[int, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def take(self) -> "Reported":
        """An independent copy; notes and faults count as told from now on."""
        notes, faults, self.notes, self.faults = self.notes, self.faults, [], []
        return Reported(
            dict(self.metrics), self.step, self.progress, self.progress_at_ms, self.checkpoint, notes, faults
        )
