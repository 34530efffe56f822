"""Why a job waits, in one line."""

from collections.abc import Callable

from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.judgement import Offer, is_named


def explain(offers: list[Offer], demand: Demand, holders: Callable[[Offer], str] = lambda _: "") -> str:
    """Why no worker accepts, in one line: the reasons, counted, of those workers that might accept later.

    `holders`: says of a worker that stands alone who holds what it is short of.
    """
    if not offers:
        return "no worker has joined yet (opsconsole invite prints the line that joins one)"
    shortage = next((one.reason for one in offers if one.lacks_content), "")
    if shortage:
        return shortage
    names = demand.named
    if names:
        offers = [one for one in offers if is_named(one.worker, names)]
        if not offers:
            return f"no worker is named {' or '.join(names)}"
        if len(offers) == 1:
            return f"{offers[0].worker.name} {offers[0].reason}{holders(offers[0])}"
    hopeful = [one for one in offers if not one.permanent] or offers
    counted: dict[str, list[Offer]] = {}
    for one in hopeful:
        counted.setdefault(one.reason, []).append(one)
    words = [
        f"{those[0].worker.name} {reason}{holders(those[0])}"
        if len(those) == 1
        else f"{len(those)} workers, each {reason}"
        for reason, those in sorted(counted.items(), key=lambda item: -len(item[1]))[:3]
    ]
    prefix = "" if any(not one.permanent for one in offers) else "no worker fits: "
    return prefix + "; ".join(words)
