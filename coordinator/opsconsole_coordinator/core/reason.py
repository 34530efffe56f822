"""Why a job waits, in one line."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.judgement import Offer, is_named
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.near_name import did_you_mean

_REASONS_MAX = 3
"""How many different ones are told."""


class Explanation(NamedTuple):
    """Why no worker accepts, in one line, and of which workers it says all that there is to say."""

    text: str
    told: Collection[WorkerId] = ()


def explain(
    offers: list[Offer], demand: Demand, holders: Callable[[Offer], str] = lambda _: "", *, guesses: bool = False
) -> Explanation:  # fmt: skip
    """Why no worker accepts: the reasons, counted, of those workers that might accept later.

    `holders`: says of a worker that stands alone who holds what it is short of. `guesses`: look among all names for the one that was
    meant by one that no worker has, which takes too long for each job that waits.
    """
    if not offers:
        return Explanation("no worker has joined yet (opsconsole invite prints the line that joins one)")
    shortage = next((one.reason for one in offers if one.lacks_content), "")
    if shortage:
        return Explanation(shortage, _ids(one for one in offers if one.lacks_content))
    names, everybody = demand.named, offers
    if names:
        offers = [one for one in offers if is_named(one.worker, names)]
        if not offers:
            near = did_you_mean(names[0], [one.worker.name for one in everybody]) if guesses else ""
            return Explanation(f"no worker is named {' or '.join(names)}{near}", _ids(everybody))
        if len(offers) == 1:
            return Explanation(f"{offers[0].worker.name} {offers[0].reason}{holders(offers[0])}", _ids(everybody))
    hopeful = [one for one in offers if not one.permanent] or offers
    counted: dict[str, list[Offer]] = {}
    for one in hopeful:
        counted.setdefault(one.reason, []).append(one)
    told = sorted(counted.items(), key=lambda item: -len(item[1]))[:_REASONS_MAX]
    words = [
        f"{those[0].worker.name} {reason}{holders(those[0])}"
        if len(those) == 1
        else f"{len(those)} workers, each {reason}"
        for reason, those in told
    ]
    prefix = "" if any(not one.permanent for one in offers) else "no worker fits: "
    whole = [one for _, those in told for one in those if len(those) == 1 or not holders(one)]
    return Explanation(prefix + "; ".join(words), _ids(whole))


def _ids(offers: Iterable[Offer]) -> frozenset[WorkerId]:
    return frozenset(one.worker.id for one in offers)
