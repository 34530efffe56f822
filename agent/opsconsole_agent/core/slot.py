"""Slots and GPUs: which attempts have them, which wait for them, and for what."""

from collections import OrderedDict

from opsconsole_protocol.ids import AttemptId


class Slots:
    """Every attempt has one slot, and a GPU belongs to one attempt at a time. They are given in the order of asking, but an
    attempt whose GPUs are taken holds up no other.

    At most `limit` attempts with GPUs have a slot. One without GPUs is given a slot only where fewer than `limit` attempts in
    all have one. One with GPUs doesn't wait for those without: a GPU shall not idle over that.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: dict[AttemptId, tuple[str, ...]] = {}
        self._taken_with_gpus = 0
        self._waiting_with_gpus = 0
        self._gpu_owner: dict[str, AttemptId] = {}
        self._queue: OrderedDict[AttemptId, tuple[str, ...]] = OrderedDict()

    @property
    def taken(self) -> frozenset[AttemptId]:
        """The attempts that have a slot."""
        return frozenset(self._taken)

    @property
    def has_waiting(self) -> bool:
        """Whether an attempt waits for a slot."""
        return bool(self._queue)

    def holds(self, attempt_id: AttemptId) -> bool:
        """Whether this attempt has a slot."""
        return attempt_id in self._taken

    def take(self, attempt_id: AttemptId, gpu_ids: tuple[str, ...]) -> None:
        """Give it a slot and its GPUs, whether or not they are free: it was found alive, or admitted."""
        self.leave(attempt_id)
        self._taken[attempt_id] = gpu_ids
        self._taken_with_gpus += bool(gpu_ids)
        for gpu_id in gpu_ids:
            self._gpu_owner.setdefault(gpu_id, attempt_id)

    def enqueue(self, attempt_id: AttemptId, gpu_ids: tuple[str, ...]) -> None:
        """Let it wait behind all others. Nothing changes for one that waits already."""
        if attempt_id not in self._queue:
            self._queue[attempt_id] = gpu_ids
            self._waiting_with_gpus += bool(gpu_ids)

    def leave(self, attempt_id: AttemptId) -> None:
        """Take it out of the queue, and give back whatever it has."""
        self._waiting_with_gpus -= bool(self._queue.pop(attempt_id, ()))
        given = self._taken.pop(attempt_id, ())
        self._taken_with_gpus -= bool(given)
        for gpu_id in given:
            if self._gpu_owner.get(gpu_id) == attempt_id:
                del self._gpu_owner[gpu_id]

    def admit(self) -> tuple[list[AttemptId], list[AttemptId]]:
        """Give slots to all that can have them now; returns those, in order, and those that were passed over for want of a GPU."""
        admitted: list[AttemptId] = []
        passed: list[AttemptId] = []
        taken, with_gpus = len(self._taken), self._taken_with_gpus
        if with_gpus >= self.limit or (taken >= self.limit and not self._waiting_with_gpus):
            return admitted, passed
        claimed: set[str] = set()
        for attempt_id, gpu_ids in self._queue.items():
            if (with_gpus if gpu_ids else taken) >= self.limit:
                continue
            if any(gpu_id in self._gpu_owner or gpu_id in claimed for gpu_id in gpu_ids):
                passed.append(attempt_id)
                continue
            claimed.update(gpu_ids)
            admitted.append(attempt_id)
            taken += 1
            with_gpus += bool(gpu_ids)
            if with_gpus >= self.limit or (taken >= self.limit and not self._waiting_with_gpus):
                break
        for attempt_id in admitted:
            self.take(attempt_id, self._queue[attempt_id])
        return admitted, passed

    def obstacle(self, gpu_ids: tuple[str, ...]) -> str:
        """What an attempt with these GPUs waits for, in words."""
        if (self._taken_with_gpus if gpu_ids else len(self._taken)) >= self.limit:
            return f"waiting for a slot: max_concurrent_jobs is {self.limit}"
        for gpu_id in gpu_ids:
            if gpu_id in self._gpu_owner:
                return f"waiting for GPU {gpu_id}: {self._gpu_owner[gpu_id]} has it"
        return "waiting for its turn"
