"""Which of the workers that accept a task is the best."""

from collections.abc import Iterable
from heapq import heapify

from opsconsole_coordinator.core.estimate import Estimates
from opsconsole_coordinator.core.judgement import Offer

FETCH_MS = 500
"""About what a worker needs until the first byte of what it lacks arrives. Where all else is equal, one that has it all is taken."""
FETCH_BYTES_A_MS = 100_000
"""About how fast it then arrives: what a network of 1 Gbit/s carries."""

Rank = tuple[float, float, int, str]
Ranked = tuple[Rank, int, Offer]
"""An accepted offer with its rank, and its place in the list of all offers."""


def rank(offer: Offer, known: Estimates) -> Rank:
    """The lower, the better: by the estimated time to the end, how full the worker is, how many GPUs it has, its name.

    That time is what the worker needs for what it lacks of the job's data, and then for similar tasks.
    """
    worker = offer.worker
    load = len(worker.live) / worker.max_concurrent_jobs
    lacks = offer.lacks_bytes
    fetch_ms = 0.0 if lacks is None else FETCH_MS + lacks / FETCH_BYTES_A_MS
    return (round(known.mid_ms(worker) + fetch_ms, -2), load, len(worker.gpus), worker.name)


def ranked(offers: Iterable[Offer], known: Estimates) -> list[Ranked]:
    """A heap of the accepted offers, the best first."""
    found = [(rank(offer, known), place, offer) for place, offer in enumerate(offers) if offer.accepted]
    heapify(found)
    return found


def choose(offers: Iterable[Offer], known: Estimates) -> Offer | None:
    """The best of the accepted offers; None where no worker accepts."""
    return min((one for one in offers if one.accepted), key=lambda one: rank(one, known), default=None)
