"""A store that was restored from a backup: how that is noticed, and how an admin confirms it.

Workers know more than such a store does. What it doesn't know is left alone until an admin has looked.
"""

from collections.abc import Collection

from opsconsole_coordinator.core.adoption import find_task
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import SYSTEM, Worker
from opsconsole_protocol import link
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId


def restored_seq(fleet: Fleet, message: link.Register, finished: Collection[AttemptId]) -> int | None:
    """How far this store had come before it was restored, if this worker proves that it had come further than it is."""
    if message.store_id != fleet.store_id or fleet.adopting or fleet.restore_confirmed:
        return None
    proved: list[int] = []
    if message.store_seq > fleet.seq and fleet.seal.proves_seq(
        message.worker_id, message.store_seq, message.store_seal
    ):
        proved.append(message.store_seq)
    for one in message.observed:
        if one.attempt_id in fleet.attempts or one.attempt_id in finished:
            continue
        seq = fleet.seal.attempt_seq(message.worker_id, one.attempt_id, one.seal)
        # One that we gave away is missing here though its task waits, or we never came so far, or came there in another
        # epoch. Else its job has ended long ago and was removed.
        is_missing = seq is not None and (seq > fleet.seq or fleet.seal.is_of_lost_epoch(one.seal))
        if seq is not None and (is_missing or find_task(fleet, one) is not None):
            proved.append(seq)
    return max(proved, default=None)


def begin_adopting(fleet: Fleet, worker: Worker, seen_seq: int, now_ms: int) -> None:
    """From now on nothing unknown is stopped, and nothing is started, until an admin confirms."""
    fleet.adopting = True
    fleet.seq = max(fleet.seq, seen_seq)
    fleet.audit(
        now_ms, SYSTEM, EventKind.RESTORED,
        f"{worker.name} remembers what this store doesn't know: it was restored from a backup. "
        "Nothing unknown is stopped until an operator confirms", fleet.name,
    )  # fmt: skip


def confirm_restore(fleet: Fleet, actor: str, now_ms: int) -> str:
    """Go on as usual: what this store doesn't know is stopped from now on. Raises Conflict where there is nothing to confirm."""
    if not fleet.adopting and not any(worker.unproved for worker in fleet.workers.values()):
        raise Conflict("there is nothing to confirm: the store wasn't restored from a backup")
    fleet.adopting, fleet.restore_confirmed = False, True
    fleet.note_all_changed()
    words = f"restored store confirmed by {actor}"
    fleet.audit(now_ms, actor, EventKind.CONFIRMED, words, fleet.name)
    for worker in fleet.workers.values():
        fleet.close(worker, "unavailable", "the restored store was confirmed; connect again")
    return words
