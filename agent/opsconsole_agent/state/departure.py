"""How an agent leaves for good: it asks for no more tasks, finishes those that it has, and asks for tasks again when it is back.

The coordinator remembers who takes no tasks, so what this agent has asked for is written down until it has taken it back.
"""

import contextlib
from pathlib import Path

from opsconsole_agent.keeper import state_file
from opsconsole_protocol.state import WorkerStatus

FILE = "departure"


class Departure:
    """The agent's wish to leave. `state_dir`: its state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self.has_begun = False
        self._unanswered = 0

    @property
    def is_known(self) -> bool:
        """Whether the coordinator has heard of it: from then on it assigns nothing."""
        return self.has_begun and self._unanswered == 0

    def begin(self) -> None:
        """From now on no more tasks are wanted. Raises OSError."""
        self.has_begun = True
        state_file.replace_file(str(self._path), b"")

    def status(self) -> str | None:
        """What is to be told of it, at every connection; None: nothing."""
        if self.has_begun:
            return WorkerStatus.MAINTENANCE
        return WorkerStatus.AVAILABLE if self._path.exists() else None

    def told(self) -> None:
        """Something was told to the coordinator."""
        self._unanswered += 1

    def answered(self) -> None:
        """The coordinator has taken in what it was told."""
        self._unanswered = max(0, self._unanswered - 1)
        if not self.has_begun and self._unanswered == 0:
            with contextlib.suppress(OSError):  # else it is said once more at the next start
                self._path.unlink(missing_ok=True)

    def lost(self) -> None:
        """The connection is gone, and with it the answers to come."""
        self._unanswered = 0
