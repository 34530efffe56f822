"""The room of an offer that somebody has chosen: it is that person's for a short time, as if the job was there already."""

from typing import NamedTuple

import msgspec

from opsconsole_protocol.ids import JobId, WorkerId

OFFER_RESERVED_MS = 60_000
"""How long an offer that somebody has chosen is kept for the job that is to follow."""
OFFERS_RESERVED_MAX = 3
"""How many offers one person has reserved at a time."""


class ReservedOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What one task of a job that isn't submitted yet would have of a worker. It isn't stored: a restart of the coordinator frees it."""

    job_id: JobId
    """The id that the job will be submitted with."""
    person: str
    project: str
    worker_id: WorkerId
    until_ms: int
    gpu_ids: tuple[str, ...] = ()
    share_mb: int = 0
    shared_gpus: float = 0.0
    """How many GPUs its shares count as."""
    promised: dict[str, float] = {}

    @property
    def gpus(self) -> float:
        """How many GPUs it counts as."""
        return self.shared_gpus if self.share_mb else len(self.gpu_ids)


class Refused(NamedTuple):
    """Nothing is reserved, and why; `is_asking`: the worker still has to say whether it has a file."""

    reason: str
    is_asking: bool = False
