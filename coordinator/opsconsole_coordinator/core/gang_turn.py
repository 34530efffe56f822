"""Whose turn it is to have workers reserved for a gang.

A gang needs room on several workers at once, which may take for ever. One gang at a time has its turn, the first in
order that may. A turn lasts RESERVATION_MS and is followed by as long a time in which no gang has one. A gang whose
turns end in vain waits twice as long after each for the next, so that gangs that never fit keep neither smaller jobs nor
other gangs from working.
"""

from collections.abc import Iterable

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.reservation import keep_claims

RESERVATION_MS = 60_000
_DOUBLINGS_MAX = 3


def may_reserve(fleet: Fleet, job: Job, now_ms: int) -> bool:
    """Whether it is this gang's turn, or its turn may begin."""
    if any(reserved.gang for reserved in fleet.reserved.values()):
        return False
    if now_ms <= job.turn_until_ms:
        return True
    wait_ms = RESERVATION_MS << min(max(job.turns - 1, 0), _DOUBLINGS_MAX)
    return now_ms > job.turn_until_ms + wait_ms and now_ms > fleet.turn_until_ms + RESERVATION_MS


def reserve(fleet: Fleet, job: Job, claims: Iterable[Offer], now_ms: int, until_ms: int = 0) -> None:
    """Keep free what the gang would use; the first time, its turn begins. It can't start before `until_ms`, where that is known."""
    if now_ms > job.turn_until_ms:
        job.turn_until_ms = fleet.turn_until_ms = now_ms + RESERVATION_MS
        job.turns += 1
    keep_claims(fleet, job, claims, until_ms=until_ms)


def end_turn(fleet: Fleet, job: Job, now_ms: int) -> None:
    """The gang has been placed: the next gang's turn may begin at once."""
    if now_ms <= job.turn_until_ms:
        fleet.turn_until_ms = 0
    job.turn_until_ms = job.turns = 0
