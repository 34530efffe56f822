"""What a project or a person may have of the fleet at a time, and how much it weighs against others."""

from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.error import InvalidRequest

WEIGHT_MIN = 0.001
WEIGHT_MAX = 1_000.0
AMOUNT_MAX = 1_000_000_000

Amount = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
_Change = Annotated[int, Meta(ge=-1, le=AMOUNT_MAX)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much may be held at a time; None: as much as there is."""

    tasks: Amount | None = None
    gpus: Amount | None = None
    cpus: Amount | None = None
    memory_mb: Amount | None = None

    @property
    def words(self) -> str:
        """In words, such as `16 tasks, 8 GPUs`; empty where there are none."""
        found = ((key, getattr(self, key)) for key in LIMIT_WORDS)
        return ", ".join(amount_words(key, amount) for key, amount in found if amount is not None)


NO_LIMITS = Limits()
LIMIT_WORDS = {"tasks": "tasks", "gpus": "GPUs", "cpus": "CPUs", "memory_mb": "MB of memory"}
"""The limits, and what they limit in words."""


def amount_words(key: str, amount: float) -> str:
    """An amount of what a limit limits, such as `1 GPU` or `512 MB of memory`."""
    words = LIMIT_WORDS[key]
    return f"{amount:g} {words.removesuffix('s') if amount == 1 else words}"


class ShareChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to change of a share: None leaves it as it is. A limit of -1 is lifted."""

    weight: Annotated[float, Meta(ge=0, le=WEIGHT_MAX)] | None = None
    tasks: _Change | None = None
    gpus: _Change | None = None
    cpus: _Change | None = None
    memory_mb: _Change | None = None


class Share(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much a project or a person may have: a weight of 2 gives twice as much as one of 1 where both want it."""

    weight: float = 1.0
    limits: Limits = NO_LIMITS

    def changed(self, change: ShareChange) -> "Share":
        """This share with a change. Raises InvalidRequest for what can't be."""
        weight = self.weight if change.weight is None else checked_weight(change.weight)
        limits = {key: self._limit(key, getattr(change, key)) for key in LIMIT_WORDS}
        return Share(weight=weight, limits=Limits(**limits))

    def _limit(self, key: str, wanted: int | None) -> int | None:
        if wanted is None:
            kept: int | None = getattr(self.limits, key)
            return kept
        if wanted == -1:
            return None
        if not 0 <= wanted <= AMOUNT_MAX:
            raise InvalidRequest(f"a limit of {LIMIT_WORDS[key]} is at least 0 and at most {AMOUNT_MAX:,}; -1 lifts it")
        return wanted

    @property
    def words(self) -> str:
        """In words, such as `weight 2, at most 8 GPUs and 16 tasks at a time`."""
        parts = [f"weight {self.weight:g}"] if self.weight != 1 else []
        if self.limits.words:
            parts.append(f"at most {self.limits.words} at a time")
        return ", ".join(parts)


def checked_weight(weight: float) -> float:
    """The weight. Raises InvalidRequest for one that means nothing; smaller ones would make what was had too large to compare."""
    if not WEIGHT_MIN <= weight <= WEIGHT_MAX:
        raise InvalidRequest(f"a weight is at least {WEIGHT_MIN:g} and at most {WEIGHT_MAX:g}, not {weight:g}")
    return weight


def read_weight(text: str) -> float:
    """A weight as it is typed. Raises InvalidRequest."""
    try:
        weight = float(text)
    except ValueError:
        raise InvalidRequest(f"a weight is a number, such as 2 or 0.5, not {text[:40]!r}") from None
    return checked_weight(weight)


EQUAL_SHARE = Share()
