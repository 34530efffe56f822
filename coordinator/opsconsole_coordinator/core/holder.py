"""Who holds what a worker is short of: named when somebody asks why a job waits, never while tasks are placed."""

from typing import NamedTuple

from opsconsole_coordinator.core.capacity import offer_words
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gang import is_saving
from opsconsole_coordinator.core.judgement import GPUS, SLOTS, Offer
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.core.reserved_offer import ReservedOffer
from opsconsole_protocol.bound import cut
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.name import printable

HOLDERS_MAX = 2
"""How many jobs are named; the others are counted."""
HOLDER_NAME_CHARACTERS_MAX = 40


_OF_CAPACITY = ", the rest is held by {1}"
_LINK = {SLOTS: " by {1}", GPUS: "; the {0} of {1}"}
"""How it goes on by what is short: `2 of 2 slots taken by …`, `GPU 0 has a task; the task is of …`."""


class _Holder(NamedTuple):
    """Tasks of one job that hold something and stand alike."""

    job_id: JobId
    standing: str


def holders_words(fleet: Fleet, offer: Offer, *, with_gpus: bool = False) -> str:
    """Who holds what a worker is short of, as it goes on after the offer's reason; empty where nobody does.

    Such as ` by a (kyxy7j9nrc) and b (kz01q8m2ta, paused by freeze, keeps its place)`.

    `with_gpus`: whether who asks needs GPUs, and doesn't wait for the slots of those without. What an operator could free is named first.
    """
    tasks: dict[_Holder, int] = {}
    for attempt in offer.worker.live.values():
        if _holds(attempt, offer.taken, with_gpus=with_gpus):
            holder = _Holder(attempt.job_id, _standing(attempt) or _overstay(offer, attempt))
            tasks[holder] = tasks.get(holder, 0) + 1
    found = sorted(tasks, key=lambda one: not one.standing)
    names = [_name(fleet, one, tasks[one]) for one in found[:HOLDERS_MAX]]
    others = len({one.job_id for one in found} - {one.job_id for one in found[:HOLDERS_MAX]})
    reserved = _reserved_words(offer, with_gpus=with_gpus)
    if not names:
        return reserved
    told = f"{', '.join(names)} and {others} more" if others else " and ".join(names)
    return (
        _LINK.get(offer.taken, _OF_CAPACITY).format("tasks are" if sum(tasks.values()) > 1 else "task is", told)
        + reserved
    )


def waiting_words(fleet: Fleet, job: Job) -> str:
    """What a job waits for of others, and how that stands: `waits for train (kyxy7j9nrc, running)`."""
    names = sorted(job.waiting_on)
    shown = [_other(fleet, name) for name in names[:HOLDERS_MAX]]
    more = len(names) - len(shown)
    return "waits for " + (f"{', '.join(shown)} and {more} more" if more else " and ".join(shown))


def _other(fleet: Fleet, name: str) -> str:
    job = fleet.jobs.get(JobId(name))
    if job is None:
        return name  # a task of one, or results
    return f"{cut(printable(job.spec.title), HOLDER_NAME_CHARACTERS_MAX)} ({name}, {job.state})"


def _reserved_words(offer: Offer, *, with_gpus: bool) -> str:
    """Which offers are reserved of what is short; of GPUs that is said with each of them."""
    found = [
        one
        for one in offer.worker.live.offers.values()
        if _holds(one, offer.taken, with_gpus=with_gpus) and (offer.taken != GPUS or one.share_mb)
    ]
    if not found:
        return ""
    first = min(found, key=lambda one: one.until_ms)
    more = f", and so are {len(found) - 1} more" if len(found) > 1 else ""
    return f"; one place {offer_words(first)}{more}"


def _holds(attempt: Attempt | ReservedOffer, what: str, *, with_gpus: bool) -> bool:
    if what == GPUS:
        return bool(attempt.gpu_ids)
    if what == SLOTS:
        return bool(attempt.gpu_ids) or not with_gpus
    return bool(attempt.promised.get(what))


def _standing(attempt: Attempt) -> str:
    """What keeps it from just going on; empty of one that runs."""
    if attempt.is_leaving:
        return f"makes way for {attempt.makes_way_for}" if attempt.makes_way_for else "is leaving its worker"
    if is_saving(attempt):
        return "asked to save a checkpoint, and late" if attempt.is_save_late else "asked to save a checkpoint"
    match attempt.want.mode:
        case Mode.STOP:
            return "is ending"
        case Mode.PAUSE:
            return "paused by freeze, keeps its place"
        case _:
            return ""


def _overstay(offer: Offer, attempt: Attempt) -> str:
    """Whether it was guessed to have ended by now, and so was given room that is kept for another job."""
    kept = offer.worker.reserved
    is_late = kept is not None and kept.is_overstayed and attempt.fills_until_ms > 0
    return "takes longer than expected" if is_late else ""


def _name(fleet: Fleet, holder: _Holder, tasks: int) -> str:
    job = fleet.jobs[holder.job_id]
    count = f"{tasks} tasks" if tasks > 1 else ""
    about = ", ".join(part for part in (holder.job_id, count, holder.standing) if part)
    return f"{cut(printable(job.spec.title), HOLDER_NAME_CHARACTERS_MAX)} ({about})"
