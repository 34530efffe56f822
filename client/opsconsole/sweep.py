"""A sweep: one job with a task for every combination of values. Pure."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from opsconsole_protocol.api.template import fill, places
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import NUM_TASKS_MAX


def combinations(axes: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Every combination; the last axis changes fastest. Raises InvalidRequest when there are more than a job may have tasks."""
    number = 1
    for values in axes.values():
        number *= len(values)
    if number > NUM_TASKS_MAX:
        raise InvalidRequest(f"this sweep has {number:,} tasks, the limit is {NUM_TASKS_MAX:,}: split it")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def read_axis(text: str) -> tuple[str, list[str]]:
    """The name and the values of an axis such as `lr=0.1,0.01`. Raises InvalidRequest."""
    name, equals, values = text.partition("=")
    if not equals or not name.isidentifier():
        raise InvalidRequest(f"{text[:60]!r} is not a sweep: write for example lr=0.1,0.01")
    found = values.split(",")
    if not all(found):
        raise InvalidRequest(f"{name[:60]} has an empty value: write for example lr=0.1,0.01")
    if len(set(found)) != len(found):
        raise InvalidRequest(f"{name[:60]} has a value twice")
    return name, found


def read_axes(texts: Iterable[str]) -> dict[str, list[str]]:
    """Names and values of `lr=0.1,0.01` and others. Raises InvalidRequest, also for a name that is there twice."""
    axes: dict[str, list[str]] = {}
    for text in texts:
        name, values = read_axis(text)
        if name in axes:
            raise InvalidRequest(f"{name} is given twice: write all its values in one")
        axes[name] = values
    return axes


def unfold(command: Sequence[str], points: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], ...]:
    """A command for each combination, its values filled in. Raises InvalidRequest where a name has no place in it."""
    words = tuple(command)
    known = places(words)
    for name in points[0]:
        if name not in known:
            raise InvalidRequest(f"write {{{name}}} in the command where its values go")
    return tuple(fill(words, point) for point in points)
