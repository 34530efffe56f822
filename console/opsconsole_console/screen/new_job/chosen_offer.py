"""The offer that is chosen in the form: it is reserved while the form is open, and for a short time only."""

from collections.abc import Callable

from opsconsole.ask import ask
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import Cell
from opsconsole_protocol.api import Done, FreeOffer, OfferReserved, ReserveOffer
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec

_Wanted = tuple[object, ...]


class ChosenOffer:
    """Reserves what a worker offers, anew only where something else is wanted of it. `clock`: in seconds, and never set back."""

    def __init__(self, source: FleetSource, job_id: JobId, clock: Callable[[], float]) -> None:
        self._source = source
        self._job_id = job_id
        self._clock = clock
        self._wanted: _Wanted | None = None
        self._is_asked = False
        """Something may be reserved for it."""
        self._answer = OfferReserved(accepted=False)
        self._until_s = 0.0
        self._accepts = False
        self.is_used = False
        """The job is submitted."""

    @property
    def job_id(self) -> str:
        """For whom something may be reserved; empty where nothing was wanted."""
        return self._job_id if self._is_asked else ""

    @property
    def left_s(self) -> int:
        """For how many seconds more it is reserved; 0 where it isn't."""
        return max(0, round(self._until_s - self._clock())) if self._answer.accepted else 0

    async def follow(self, worker: str, spec: JobSpec) -> None:
        """Reserve what the chosen worker offers; without one give up what was reserved."""
        wanted = _wanted(worker, spec)
        if wanted == self._wanted:
            return
        if wanted is None:
            await self.give_up()
            return
        self._is_asked, self._wanted = True, None  # if this is broken off, it is asked anew
        request = ReserveOffer(job_id=self._job_id, spec=spec, worker=worker)
        try:
            answer = await ask(self._source, request, OfferReserved)
        except OpsconsoleError as error:
            self._answer = OfferReserved(accepted=False, reason="" if isinstance(error, Unavailable) else error.message)
            self._wanted = None if isinstance(error, Unavailable) else wanted
            return
        self._wanted = wanted
        self._answer, self._until_s = answer, self._clock() + answer.left_ms / 1000

    async def give_up(self) -> None:
        """The form is left, or another offer chosen, and nothing is to stay reserved. The coordinator frees it too once we are gone."""
        if not self._is_asked or self.is_used:
            return
        self.forget()
        self._is_asked = False
        await ask(self._source, FreeOffer(job_id=self._job_id), Done)

    def forget(self) -> None:
        """The connection is lost, and with it what was reserved."""
        self._wanted, self._answer = None, OfferReserved(accepted=False)

    def words(self, worker: str) -> Cell:
        """What is said of a worker that takes the job, in one line."""
        if self.left_s:
            return Cell((("✓ ", "state-succeeded"), (f"{worker} is reserved for this job, {self.left_s} s", "")))
        parts = [("✓ ", "state-succeeded"), (f"{worker} takes it", "")]
        if self._answer.accepted:
            parts.append(("; it is no longer reserved: choose it again", "state-paused"))
        elif self._answer.reason:
            parts.append((f"; it isn't reserved: {self._answer.reason}", "text-muted"))
        return Cell(tuple(parts))

    def is_over(self) -> bool:
        """Whether it was reserved, and its time is over: choosing it again reserves it again."""
        return self._answer.accepted and not self.left_s

    def note_verdict(self, *, accepts: bool) -> None:
        """The chosen worker takes the job, or not: what it refused before is asked for again once it does."""
        if accepts and not self._accepts and not self._answer.accepted:
            self._wanted = None
        self._accepts = accepts

    def choose_again(self) -> None:
        """It is chosen once more."""
        if self.is_over():
            self.forget()


def _wanted(worker: str, spec: JobSpec) -> _Wanted | None:
    """What tells apart what is wanted of a worker."""
    if not worker:
        return None
    return worker, spec.resources, spec.project, spec.gang, spec.held, bool(spec.dependencies)
