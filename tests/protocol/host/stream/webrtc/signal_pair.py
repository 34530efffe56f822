"""Signallers for tests: two ends in one process."""

import contextlib
import queue
from dataclasses import dataclass, field


@dataclass
class QueueSignaller:
    """In one process. What is said is kept, and may be changed on its way."""

    inbox: "queue.SimpleQueue[bytes]" = field(default_factory=queue.SimpleQueue)
    other: "QueueSignaller | None" = None
    said: list[bytes] = field(default_factory=list)

    def send(self, body: bytes) -> None:
        self.said.append(body)
        if self.other is not None:
            self.other.inbox.put(body)

    def receive(self, timeout_s: float) -> bytes | None:
        with contextlib.suppress(queue.Empty):
            return self.inbox.get(timeout=max(timeout_s, 0.001))
        return None


def queue_pair() -> tuple[QueueSignaller, QueueSignaller]:
    """Two signallers, each the other's other end."""
    one, two = QueueSignaller(), QueueSignaller()
    one.other, two.other = two, one
    return one, two
