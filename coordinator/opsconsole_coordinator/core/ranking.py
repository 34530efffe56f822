"""Which of the workers that accept a task is the best."""

from collections.abc import Iterable
from heapq import heapify

from opsconsole_coordinator.core.judgement import Offer

Rank = tuple[float, float, int, str]
Ranked = tuple[Rank, int, Offer]
"""An accepted offer with its rank, and its place in the list of all offers."""


def rank(offer: Offer, estimates: dict[str, float]) -> Rank:
    """The lower, the better: by the estimated duration, how full the worker is, how many GPUs it has, its name.

    `estimates` are milliseconds by worker id; a worker without one counts as their mean.
    """
    worker = offer.worker
    unknown = sum(estimates.values()) / len(estimates) if estimates else 0.0
    load = len(worker.live) / worker.max_concurrent_jobs
    return (round(estimates.get(worker.id, unknown), -2), load, len(worker.gpus), worker.name)


def ranked(offers: Iterable[Offer], estimates: dict[str, float]) -> list[Ranked]:
    """A heap of the accepted offers, the best first."""
    found = [(rank(offer, estimates), place, offer) for place, offer in enumerate(offers) if offer.accepted]
    heapify(found)
    return found


def choose(offers: Iterable[Offer], estimates: dict[str, float] | None = None) -> Offer | None:
    """The best of the accepted offers; None where no worker accepts."""
    known = estimates or {}
    return min((one for one in offers if one.accepted), key=lambda one: rank(one, known), default=None)
