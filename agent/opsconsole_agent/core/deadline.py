"""Deadlines, at most one for each attempt, in a heap that cancelled ones don't fill."""

import heapq

from opsconsole_protocol.ids import AttemptId

_SLACK = 64


class Deadlines:
    """The deadlines of all attempts, in milliseconds of the caller's clock."""

    def __init__(self) -> None:
        self._at_ms: dict[AttemptId, int] = {}
        self._heap: list[tuple[int, AttemptId]] = []

    def set(self, attempt_id: AttemptId, at_ms: int | None) -> None:
        """Set the attempt's deadline in place of the one before; None takes it away."""
        if at_ms is None:
            self._at_ms.pop(attempt_id, None)
        elif self._at_ms.get(attempt_id) != at_ms:
            self._at_ms[attempt_id] = at_ms
            heapq.heappush(self._heap, (at_ms, attempt_id))
        if len(self._heap) > 2 * len(self._at_ms) + _SLACK:
            self._rebuild()

    def due(self, now_ms: int) -> list[AttemptId]:
        """The attempts whose deadline has come, the earliest first; they have none any more."""
        found: list[AttemptId] = []
        while self._heap and self._heap[0][0] <= now_ms:
            at_ms, attempt_id = heapq.heappop(self._heap)
            if self._at_ms.get(attempt_id) == at_ms:
                del self._at_ms[attempt_id]
                found.append(attempt_id)
        return found

    @property
    def next_ms(self) -> int | None:
        """The earliest deadline; None where there is none."""
        while self._heap and self._at_ms.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def shift(self, delta_ms: int) -> None:
        """Move every deadline by `delta_ms`, as the clock was."""
        self._at_ms = {attempt_id: at_ms + delta_ms for attempt_id, at_ms in self._at_ms.items()}
        self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(at_ms, attempt_id) for attempt_id, at_ms in self._at_ms.items()]
        heapq.heapify(self._heap)
