"""What an attempt has said of itself so far, in short."""

from dataclasses import dataclass, field, replace

from opsconsole_protocol.report.line import Checkpoint, Progress


@dataclass(slots=True)
class Reported:
    """The last value of each metric, the last step, progress and checkpoint; notes and faults since they were last told.

    `recognised`: those metrics that weren't reported, but recognised in what it printed; `is_told`: its progress was reported.
    A fault is a line that couldn't be taken: which, and why. Times in Unix milliseconds.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    step: float | None = None
    progress: Progress | None = None
    progress_at_ms: int = 0
    is_told: bool = False
    checkpoint: Checkpoint | None = None
    notes: list[tuple[int, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    recognised: set[str] = field(default_factory=set)
    faults_left_out: int = 0
    """How many more there are than were told: known once the report is complete."""

    def take(self) -> "Reported":
        """An independent copy; notes and faults count as told from now on."""
        notes, faults, self.notes, self.faults = self.notes, self.faults, [], []
        return replace(self, metrics=dict(self.metrics), recognised=set(self.recognised), notes=notes, faults=faults)
