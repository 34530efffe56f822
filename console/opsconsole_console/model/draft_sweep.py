"""A sweep as it is typed into the form: `lr=0.1,0.01 seed=1,2`. Pure."""

import shlex
from collections.abc import Sequence

from opsconsole.sweep import combinations, read_axis
from opsconsole_protocol.api.template import fill, places
from opsconsole_protocol.error import InvalidRequest

Point = dict[str, str]
"""One combination: each name's value."""


def read_points(text: str) -> list[Point]:
    """Read every combination of values; none where nothing was typed. Raises InvalidRequest."""
    axes: dict[str, list[str]] = {}
    try:
        words = shlex.split(text)
    except ValueError:
        raise InvalidRequest("a quotation mark isn't closed") from None
    for word in words:
        name, values = read_axis(word)
        if name in axes:
            raise InvalidRequest(f"{name} is given twice: write all its values in one")
        axes[name] = values
    return combinations(axes) if axes else []


def unfold(command: tuple[str, ...], points: Sequence[Point]) -> tuple[tuple[str, ...], ...]:
    """Each task's command. Raises InvalidRequest where a name has no place in it."""
    known = places(command)
    for name in points[0]:
        if name not in known:
            raise InvalidRequest(f"write {{{name}}} in the command where its values go")
    return tuple(fill(command, point) for point in points)


def check_tasks(number: int, points: Sequence[Point]) -> None:
    """Raise InvalidRequest where another number of tasks was asked for than the sweep has."""
    if number not in (1, len(points)):
        raise InvalidRequest(f"leave it at 1: the sweep has a task for each of its {len(points):,} combinations")
