"""A sweep as it is typed into the form: `lr=0.1,0.01 seed=1,2`. Pure."""

import shlex
from collections.abc import Sequence

from opsconsole.sweep import combinations, read_axes
from opsconsole_protocol.error import InvalidRequest

Point = dict[str, str]
"""One combination: each name's value."""


def read_points(text: str) -> list[Point]:
    """Read every combination of values, or none where nothing was typed. Raises InvalidRequest."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise InvalidRequest("a quotation mark isn't closed") from None
    axes = read_axes(words)
    return combinations(axes) if axes else []


def check_tasks(number: int, points: Sequence[Point]) -> None:
    """Raise InvalidRequest where another number of tasks was asked for than the sweep has."""
    if number not in (1, len(points)):
        raise InvalidRequest(f"leave it at 1: the sweep has a task for each of its {len(points):,} combinations")
