"""What people and projects had of the fleet, and may have, in words; and put together by person or by project. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from opsconsole_protocol.api import UsageRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import size_mb
from opsconsole_protocol.share import LIMIT_WORDS, Limits, Share, ShareChange, amount_words, read_weight

_HOUR_MS = 3_600_000
_SHORT = {"gpus": "gpus", "tasks": "tasks", "cpus": "cpus", "memory_mb": "memory"}
"""What limits are called where they are typed, in the order in which they are shown."""
_BY_SHORT = {short: key for key, short in _SHORT.items()}


class By(StrEnum):
    """What a line of the usage screen is about."""

    PERSON = "person"
    PROJECT = "project"
    BOTH = "person in a project"

    @property
    def next(self) -> "By":
        """The one after it, in a circle."""
        kinds = list(By)
        return kinds[(kinds.index(self) + 1) % len(kinds)]


@dataclass(frozen=True)
class Standing:
    """What somebody had and has. `share` is what a person or a project was given; of a person in a project, the person's."""

    project: str
    person: str
    gpu_ms: int
    cpu_ms: int
    tasks: int
    weight_ms: int
    held: Mapping[str, float]
    """What is held now, by the names of the limits."""
    share: Share
    part: float
    """Its part of all GPU time that was had, 0 to 1."""

    @property
    def name(self) -> str:
        """Who it is, such as `ana`, `pose` or `ana in pose`."""
        return f"{self.person} in {self.project}" if self.person and self.project else self.person or self.project


def standings(rows: Iterable[UsageRow], by: By) -> dict[str, Standing]:
    """The rows put together, by name."""
    found: dict[tuple[str, str], list[UsageRow]] = {}
    for row in rows:
        whose = ("" if by is By.PERSON else row.project, "" if by is By.PROJECT else row.person)
        found.setdefault(whose, []).append(row)
    whole = sum(row.gpu_ms for of_one in found.values() for row in of_one)
    made = (_standing(project, person, of_one, whole) for (project, person), of_one in found.items())
    return {one.name: one for one in made}


def _standing(project: str, person: str, rows: list[UsageRow], whole_ms: int) -> Standing:
    first, gpu_ms = rows[0], sum(row.gpu_ms for row in rows)
    share = Share(weight=first.person_weight, limits=first.person_limits)
    if not person:
        share = Share(weight=first.project_weight, limits=first.project_limits)
    return Standing(
        project=project, person=person, gpu_ms=gpu_ms, cpu_ms=sum(row.cpu_ms for row in rows),
        tasks=sum(row.tasks for row in rows), weight_ms=sum(row.weight_ms for row in rows),
        held={
            "gpus": sum(row.gpus_now for row in rows), "tasks": sum(row.tasks_now for row in rows),
            "cpus": sum(row.cpus_asked_now for row in rows), "memory_mb": sum(row.memory_mb_now for row in rows),
        },
        share=share, part=gpu_ms / whole_ms if whole_ms else 0.0,
    )  # fmt: skip


def held_text(one: Standing) -> str:
    """What is held, next to the limit where there is one: `4/8 GPUs, 3 tasks`. Of a person in a project limits aren't told."""
    limits = Limits() if one.person and one.project else one.share.limits
    parts = []
    for key in _SHORT:
        amount, most = one.held[key], getattr(limits, key)
        if most is not None:
            parts.append(f"{amount:g}/{amount_words(key, most)}")
        elif amount and key in {"gpus", "tasks"}:
            parts.append(amount_words(key, amount))
    return ", ".join(parts)


def at_limit(one: Standing) -> bool:
    """Whether it has all of something that it may have."""
    limits = one.share.limits
    return any(one.held[key] >= most for key in _SHORT if (most := getattr(limits, key)) is not None)


def typed_share(share: Share) -> str:
    """A share as it is typed, without the limits that there aren't: `weight=2 gpus=8`."""
    limits = ((short, getattr(share.limits, key)) for key, short in _SHORT.items())
    return " ".join([f"weight={share.weight:g}", *(f"{short}={most}" for short, most in limits if most is not None)])


def read_share(text: str) -> ShareChange:
    """What `typed_share` writes; what isn't there stays, and `none` lifts a limit. Raises InvalidRequest."""
    change: dict[str, float] = {}
    for word in text.split():
        short, equals, value = word.partition("=")
        if not equals or (short != "weight" and short not in _BY_SHORT):
            raise InvalidRequest(f"{word[:40]!r} is none of weight=, {'=, '.join(_BY_SHORT)}=")
        change[_BY_SHORT.get(short, short)] = read_amount(short, value)
    return ShareChange(**change)  # type: ignore[arg-type]


def read_amount(short: str, value: str) -> float:
    """A weight or a limit as it is typed; -1 for `none`. `short`: one of weight, gpus, tasks, cpus, memory. Raises InvalidRequest."""
    if short == "weight":
        return read_weight(value)
    if value == "none":
        return -1
    if value.isascii() and value.isdigit() and len(value) < 12:
        return int(value)
    if short == "memory":
        return size_mb(value)
    words = LIMIT_WORDS[_BY_SHORT[short]]
    raise InvalidRequest(f"{value[:40]} is neither a whole number of {words} nor none")


def hours(milliseconds: int) -> str:
    """GPU, CPU or task milliseconds as hours, such as `12.5 h`."""
    found = milliseconds / _HOUR_MS
    if not milliseconds:
        return "0 h"
    return f"{found:,.0f} h" if found >= 100 else f"{found:.1f} h" if found >= 0.1 else "< 0.1 h"


def share_text(row: UsageRow) -> str:
    """What the project and the person of a row may have, where that isn't what everybody may."""
    parts = (
        ("project", Share(weight=row.project_weight, limits=row.project_limits).words),
        ("person", Share(weight=row.person_weight, limits=row.person_limits).words),
    )
    return "; ".join(f"{whose} {words}" for whose, words in parts if words)


def now_words(row: UsageRow) -> str:
    """What a person has in a project at this moment: `2 GPUs, 1 task`, and what else is limited."""
    if not row.tasks_now:
        return ""
    has = {"gpus": row.gpus_now, "tasks": row.tasks_now, "cpus": row.cpus_asked_now, "memory_mb": row.memory_mb_now}
    limits = (row.project_limits, row.person_limits)
    return ", ".join(
        amount_words(key, amount)
        for key, amount in has.items()
        if key in {"gpus", "tasks"} or any(getattr(one, key) is not None for one in limits)
    )
