"""Seals: proof of what this coordinator has told a worker.

A store that was restored from a backup knows less than workers do. If it believed any worker that says so, one worker
could halt a fleet or take over others' tasks. So workers are told a *seal* with every sequence number and every
attempt, and return it. Only the holder of the store's key can make a seal, and it is good for one worker.
"""

import hmac

_DIGITS = 32


class Seal:
    """Makes and opens seals with a store's key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_seq(self, worker_id: str, seq: int) -> str:
        """Proof that a worker was told this sequence number of the store."""
        return self._sign("seq", worker_id, "", seq)

    def of_attempt(self, worker_id: str, attempt_id: str, seq: int) -> str:
        """Proof that an attempt was given to a worker when the store had this sequence number."""
        return f"{seq:x}.{self._sign('attempt', worker_id, attempt_id, seq)}"

    def proves_seq(self, worker_id: str, seq: int, seal: str) -> bool:
        """Whether the worker was told of this sequence number."""
        return _is_same(seal, self.of_seq(worker_id, seq))

    def attempt_seq(self, worker_id: str, attempt_id: str, seal: str) -> int | None:
        """The store's sequence number when the attempt was given to this worker; None where the seal doesn't prove it."""
        text = seal.partition(".")[0]
        if not text or len(text) > 16 or not set(text) <= set("0123456789abcdef"):
            return None
        seq = int(text, 16)
        return seq if _is_same(seal, self.of_attempt(worker_id, attempt_id, seq)) else None

    def _sign(self, kind: str, worker_id: str, attempt_id: str, seq: int) -> str:
        said = "\0".join((kind, worker_id, attempt_id, str(seq)))
        return hmac.digest(self._key, said.encode("utf-8", "replace"), "sha256").hex()[:_DIGITS]


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
