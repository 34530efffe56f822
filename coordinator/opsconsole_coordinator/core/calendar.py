"""What of a worker is reserved for whom and when, windows of maintenance among that, and what follows for a task. Nothing is changed here.

A worker has one reservation at a time. While one is in force, only tasks of its project or person are placed there, or, where GPUs are
counted, others as far as these are left, with the same part of all CPUs and memory; in maintenance none is. Before it begins nothing is placed there that is known to run into it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from opsconsole_coordinator.core.reserved_offer import ReservedOffer
from opsconsole_protocol.ids import JobId, WorkerId
from opsconsole_protocol.quantity import spell_moment
from opsconsole_protocol.spec import JobSpec


class Reservation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Workers, or a number of GPUs of each, that are for one project or person, or for nobody (`maintenance`), from a time until another."""

    id: str
    worker_ids: tuple[WorkerId, ...]
    from_ms: int
    until_ms: int
    project: str = ""
    person: str = ""
    maintenance: bool = False
    gpus: int | None = None
    reason: str = ""
    made_by: str = ""
    has_begun: bool = False
    """Its beginning was told."""

    def is_in_force(self, now_ms: int) -> bool:
        """Whether it is between its beginning and its end."""
        return self.from_ms <= now_ms < self.until_ms

    def is_for(self, project: str, person: str) -> bool:
        """Whether a person's job of a project is one of those for whom it is."""
        return project == self.project if self.project else bool(self.person) and person == self.person

    @property
    def whose(self) -> str:
        """Such as `for project vision`, or `for maintenance: a new driver`."""
        holder = f"project {self.project}" if self.project else self.person
        why = f": {self.reason}" if self.maintenance and self.reason else ""
        return "for maintenance" + why if self.maintenance else f"for {holder}"


Amounts = Mapping[str, float]
"""How much of a worker's capacities (`cpus`, `memory_mb`)."""
_LABELS = {"cpus": "CPUs", "memory_mb": "MB of memory"}
_ROUNDING = 1e-6


class Asker(NamedTuple):
    """Who would have a place: whose it is, how much it takes, and when it has ended at the latest; None where nobody knows."""

    project: str
    person: str
    gpus: int
    ends_ms: int | None
    amounts: Amounts


class Taken(NamedTuple):
    """What those have of a worker for whom it isn't reserved, of how much there is."""

    gpus: int
    tasks: int
    gpus_total: int
    slots: int
    amounts: Amounts
    total: Amounts
    """Of the capacities that are asked for."""


class Decision(NamedTuple):
    """Whether a place may be had: not where there is a `reason`, and then it is no reason any more from `until_ms` on."""

    reason: str = ""
    until_ms: int = 0


ALLOWED = Decision()


def decide(reservation: Reservation, asker: Asker, taken: Taken, now_ms: int) -> Decision:
    """Whether somebody may have a place on a worker now, by one reservation of it."""
    if now_ms >= reservation.until_ms or reservation.is_for(asker.project, asker.person):
        return ALLOWED
    lacks = "" if reservation.gpus is None else _lacks(reservation.gpus, asker, taken)
    if reservation.gpus is not None and not lacks:
        return ALLOWED
    what = "is" if reservation.gpus is None else f"has {reservation.gpus} of its {taken.gpus_total} GPUs"
    if lacks in _LABELS:
        kept = taken.total.get(lacks, 0) * _part(reservation.gpus or 0, taken)
        what += f", with {kept:g} of its {taken.total.get(lacks, 0):g} {_LABELS[lacks]},"
    until = spell_moment(reservation.until_ms)
    why = f" ({reservation.reason})" if reservation.reason else ""
    if now_ms >= reservation.from_ms:
        if reservation.maintenance:
            return Decision(f"is in maintenance until {until}{why}", reservation.until_ms)
        return Decision(f"{what} reserved {reservation.whose} until {until}", reservation.until_ms)
    if asker.ends_ms is None or asker.ends_ms <= reservation.from_ms:
        return ALLOWED
    times = f"from {spell_moment(reservation.from_ms)} until {until}"
    if reservation.maintenance:
        return Decision(f"will be in maintenance {times}{why}, and this may run into that", reservation.until_ms)
    return Decision(f"{what} reserved {reservation.whose} {times}, and this may run into that", reservation.until_ms)


def _lacks(gpus: int, asker: Asker, taken: Taken) -> str:
    """What wouldn't be left of the GPUs that are reserved, a slot for them, and the same part of all CPUs and memory; empty where all is.

    Who asks for none of something takes nothing of it.
    """
    if asker.gpus and not (taken.gpus + asker.gpus <= taken.gpus_total - gpus and taken.tasks + 1 < taken.slots):
        return "gpus"
    for key, need in asker.amounts.items():
        if taken.amounts.get(key, 0) + need > taken.total.get(key, 0) * (1 - _part(gpus, taken)) + _ROUNDING:
            return key
    return ""


def _part(gpus: int, taken: Taken) -> float:
    """Which part of a worker comes with this number of its GPUs."""
    return min(1.0, gpus / max(1, taken.gpus_total))


class Reservations:
    """All that haven't ended, by id, and what became dirty of them."""

    def __init__(self, reservations: Iterable[Reservation] = ()) -> None:
        self._by_id = {one.id: one for one in reservations}
        self._dirty: dict[str, Reservation | None] = {}
        self.offers: dict[JobId, ReservedOffer] = {}
        """The offers that people have reserved, by the job that is to come. They aren't stored."""

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self._by_id.values())

    def get(self, reservation_id: str) -> Reservation | None:
        """The one of this id."""
        return self._by_id.get(reservation_id)

    def put(self, reservation: Reservation) -> None:
        """One was made, or something of it changed."""
        self._by_id[reservation.id] = self._dirty[reservation.id] = reservation

    def drop(self, reservation: Reservation) -> None:
        """One is over, or was taken back."""
        del self._by_id[reservation.id]
        self._dirty[reservation.id] = None

    def take_dirty(self) -> dict[str, Reservation | None]:
        """Hand over what has changed since the last time; None: it is over, or was taken back."""
        dirty, self._dirty = self._dirty, {}
        return dirty


def clash(wanted: Reservation, others: Iterable[Reservation]) -> tuple[Reservation, WorkerId] | None:
    """The first that has one of its workers at one of its times, and which."""
    mine = set(wanted.worker_ids)
    for other in others:
        if other.from_ms < wanted.until_ms and wanted.from_ms < other.until_ms:
            for worker_id in other.worker_ids:
                if worker_id in mine:
                    return other, worker_id
    return None


class _Job(Protocol):
    @property
    def spec(self) -> JobSpec: ...
    @property
    def submitted_by(self) -> str: ...


class _Holder(Protocol):
    @property
    def job_id(self) -> JobId: ...
    @property
    def gpu_ids(self) -> tuple[str, ...]: ...
    @property
    def promised(self) -> dict[str, float]: ...


class _Attempt(_Holder, Protocol):
    @property
    def index(self) -> int: ...


class _Worker(Protocol):
    @property
    def id(self) -> WorkerId: ...
    @property
    def max_concurrent_jobs(self) -> int: ...
    @property
    def gpus(self) -> Sequence[object]: ...


@dataclass(slots=True)
class Booked:
    """The reservations of one worker that haven't ended, the next to begin first, and where it is looked up whose what is."""

    reservations: tuple[Reservation, ...]
    jobs: Mapping[JobId, _Job]
    total: Callable[[str], float]
    """How much the worker has of a capacity."""
    current: Reservation | None = None
    """The one whose beginning was told."""

    def in_force(self, now_ms: int) -> Reservation | None:
        """The one that is in force."""
        return next((one for one in self.reservations if one.is_in_force(now_ms)), None)

    def refuse(self, worker: _Worker, live: Iterable[_Holder], asker: Asker, now_ms: int) -> Decision:
        """Why somebody may not have a place on the worker now."""
        found = list(live)
        for one in self.reservations:
            decision = decide(one, asker, self._taken(one, worker, found, asker.amounts), now_ms)
            if decision.reason:
                return decision
        return ALLOWED

    def free_ms(self, worker: _Worker, live: Iterable[_Holder], asker: Asker, now_ms: int) -> int:
        """When the reservations let somebody have a place who may not now, and is as long there as before."""
        found, lasts_ms = list(live), None if asker.ends_ms is None else asker.ends_ms - now_ms
        while (decision := self.refuse(worker, found, asker, now_ms)).reason:
            now_ms = decision.until_ms
            asker = asker._replace(ends_ms=None if lasts_ms is None else now_ms + lasts_ms)
        return now_ms

    def unwelcome(self, worker: _Worker, live: Iterable[_Attempt], now_ms: int) -> list[_Attempt]:
        """Those attempts that hold what is another's now; of counted GPUs those that came last."""
        reservation = self.in_force(now_ms)
        if reservation is None:
            return []
        others = [one for one in live if one.index >= 0 and self._is_other(reservation, one)]
        if reservation.gpus is None:
            return others
        found, stay = list[_Attempt](), list[_Attempt]()
        for one in others:
            asker = Asker("", "", len(one.gpu_ids), None, one.promised)
            is_left = not _lacks(reservation.gpus, asker, self._taken(reservation, worker, stay, one.promised))
            (stay if is_left else found).append(one)
        return found

    def _taken(
        self, reservation: Reservation, worker: _Worker, live: Iterable[_Holder], asked: Iterable[str]
    ) -> Taken:  # fmt: skip
        gpus, slots = len(worker.gpus), worker.max_concurrent_jobs
        if reservation.gpus is None:
            return Taken(0, 0, gpus, slots, {}, {})
        others = [one for one in live if self._is_other(reservation, one)]
        gpu_ids = {gpu_id for one in others for gpu_id in one.gpu_ids}
        keys = list(asked)
        return Taken(
            len(gpu_ids),
            sum(bool(one.gpu_ids) for one in others),
            gpus,
            slots,
            {key: sum(one.promised.get(key, 0.0) for one in others) for key in keys},
            {key: self.total(key) for key in keys},
        )

    def _is_other(self, reservation: Reservation, holder: _Holder) -> bool:
        if isinstance(holder, ReservedOffer):
            return not reservation.is_for(holder.project, holder.person)
        job = self.jobs.get(holder.job_id)
        return job is None or not reservation.is_for(job.spec.project, job.submitted_by)


def known_length_ms(spec: JobSpec, guess_ms: int | None) -> int | None:
    """How long a task is there at most: as long as its limits let it, or else as long as others of its kind were; None: nobody knows."""
    limits = [one for one in (spec.timeout_ms, spec.job_timeout_ms) if one is not None]
    if limits:
        return min(limits) + spec.grace_ms
    return guess_ms
