"""Jobs that are moved in the queue together. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from opsconsole_protocol.api import MoveJob, Where


def moves_of(ids: Sequence[str], where: str, other: str = "") -> list[MoveJob]:
    """What is asked for, one after the other, so that these jobs stand together in this order; the first request decides where."""
    ids = list(dict.fromkeys(ids))
    if where == Where.LATER:  # the last leads
        ids.reverse()
    beside = Where.BEFORE if where == Where.LATER else Where.AFTER
    led = [MoveJob(id=one, where=beside, other=before) for before, one in pairwise(ids)]
    return [MoveJob(id=ids[0], where=where, other=other), *led] if ids else []
