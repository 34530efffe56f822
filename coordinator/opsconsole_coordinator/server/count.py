"""What has happened since the coordinator started, counted where it happens; `/metrics` tells it."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

COMMIT_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Histogram:
    """Counts values by the least of `bounds` that isn't below them, and adds them up."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """One for each bound, and the last one for values above all of them."""
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Counts:
    """All counts. They begin at zero with each start, as a monitoring system expects it of a counter."""

    commits: Histogram = field(default_factory=lambda: Histogram(COMMIT_BOUNDS_S))
    """Seconds that each commit took."""
    failed_commits: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """Committed events, by kind."""
    log_bytes: int = 0
    """Bytes of logs that agents sent and that were stored."""
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Operators' requests, by their tag and by `ok` or the code of the error that answered them."""
    refused: Counter[str] = field(default_factory=Counter)
    """Connections and HTTP requests that were turned away before anybody was let in, by why."""
    overflows: Counter[str] = field(default_factory=Counter)
    """Connections whose peer read too slowly, so that messages to it were dropped: by `agent` or `operator`."""
