"""Seals: proof of what this coordinator has told a worker.

A store that was restored from a backup knows less than workers do. If it believed any worker that says so, one worker
could halt a fleet or take over others' tasks. So workers are told a *seal* with every sequence number and every
attempt, and return it. Only the holder of the store's key can make a seal, and it is good for one worker.

Whenever a store is loaded, a new *epoch* of its numbers begins, with a mark by chance. A restored store gives numbers anew
that were given before, but with other marks: so an attempt that it has forgotten is known by the epoch in its seal, however
far the store has come since.
"""

import hmac
from bisect import bisect_right
from collections.abc import Mapping

_DIGITS = 32
MARK_BITS = 64
_MARK_DIGITS = MARK_BITS // 4
_HEX = frozenset("0123456789abcdef")


class Seal:
    """Makes and opens seals with a store's key."""

    __slots__ = ("_epochs", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._epochs: list[tuple[int, str]] = []

    def begin_epoch(self, past: Mapping[int, str], first: int, bits: int) -> None:
        """Begin an epoch with its first number and MARK_BITS random bits. `past`: the marks of those before by their first numbers."""
        self._epochs = sorted({**past, first: f"{bits:0{_MARK_DIGITS}x}"}.items())

    @property
    def epoch(self) -> tuple[int, str]:
        """The first number of the present epoch, and its mark."""
        return self._epochs[-1] if self._epochs else (0, "")

    def of_seq(self, worker_id: str, seq: int) -> str:
        """Proof that a worker was told this sequence number of the store."""
        return self._sign("seq", worker_id, "", seq)

    def of_attempt(self, worker_id: str, attempt_id: str, seq: int) -> str:
        """Proof that an attempt was given to a worker when the store had this sequence number."""
        mark = self._mark_at(seq)
        number = f"{seq:x}.{mark}" if mark else f"{seq:x}"
        return f"{number}.{self._sign(f'attempt{mark}', worker_id, attempt_id, seq)}"

    def proves_seq(self, worker_id: str, seq: int, seal: str) -> bool:
        """Whether the worker was told of this sequence number."""
        return _is_same(seal, self.of_seq(worker_id, seq))

    def attempt_seq(self, worker_id: str, attempt_id: str, seal: str) -> int | None:
        """The store's sequence number when the attempt was given to this worker; None where the seal doesn't prove it."""
        opened = _opened(seal)
        if opened is None:
            return None
        seq, mark, signature = opened
        return seq if _is_same(signature, self._sign(f"attempt{mark}", worker_id, attempt_id, seq)) else None

    def is_of_lost_epoch(self, seal: str) -> bool:
        """Whether an attempt's seal, proved before, has a number that this store hasn't given in that epoch."""
        opened = _opened(seal)
        return opened is not None and opened[1] != self._mark_at(opened[0])

    def _mark_at(self, seq: int) -> str:
        place = bisect_right(self._epochs, seq, key=lambda epoch: epoch[0])
        return self._epochs[place - 1][1] if place else ""

    def _sign(self, kind: str, worker_id: str, attempt_id: str, seq: int) -> str:
        said = "\0".join((kind, worker_id, attempt_id, str(seq)))
        return hmac.digest(self._key, said.encode("utf-8", "replace"), "sha256").hex()[:_DIGITS]


def _opened(seal: str) -> tuple[int, str, str] | None:
    """An attempt's number, mark (empty: from before there were epochs) and signature, as the seal says."""
    number, *marks, signature = seal.split(".") if seal.count(".") in {1, 2} else ("", "")
    if not number or len(number) > 16 or not set(number) <= _HEX:
        return None
    if marks and (len(marks[0]) != _MARK_DIGITS or not set(marks[0]) <= _HEX):
        return None
    return int(number, 16), "".join(marks), signature


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
