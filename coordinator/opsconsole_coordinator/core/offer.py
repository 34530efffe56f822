"""The offers of all workers for a task. Workers are asked here what judging them showed to be unknown."""

from collections.abc import Collection, Iterable

from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer, judge, judge_again, judge_all
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.question import Question
from opsconsole_protocol.ids import ContentId


def collect_offers(
    fleet: Fleet, demand: Demand, now_ms: int, workers: Iterable[Worker] | None = None
) -> list[Offer]:  # fmt: skip
    """The offers of some workers, or of all, in the order of the fleet."""
    asked = fleet.workers.values() if workers is None else workers
    offers = judge_all(asked, demand, fleet.questions.answers, shortage_of(fleet, demand), now_ms)
    if demand.files:
        for offer in offers:
            if offer.questions:
                ask(fleet, offer.questions, now_ms)
    return offers


def collect_offer(fleet: Fleet, worker: Worker, demand: Demand, now_ms: int) -> Offer:
    """One worker's offer."""
    offer = judge(worker, demand, fleet.questions.answers, shortage_of(fleet, demand), now_ms)
    ask(fleet, offer.questions, now_ms)
    return offer


def renew_offer(fleet: Fleet, offer: Offer, demand: Demand, now_ms: int) -> Offer:
    """The offer of a worker that accepted and has just been given a task."""
    renewed = judge_again(offer, demand, fleet.questions.answers, now_ms)
    if renewed.questions:
        ask(fleet, renewed.questions, now_ms)
    return renewed


def shortage_of(fleet: Fleet, demand: Demand, supplied: Collection[ContentId] = ()) -> str:
    """What nobody who is there has of what a job brings along, in words; empty where all of it can be had.

    `supplied`: what will be there before the job is.
    """
    contents = [one for one in demand.contents if one.content_id not in supplied]
    return fleet.contents.shortage(contents, fleet.workers) if contents else ""


def ask(fleet: Fleet, questions: Iterable[Question], now_ms: int) -> None:
    """Ask workers about files and folders, each question only once its last answer no longer counts."""
    for question in questions:
        fleet.ask(question, now_ms)
