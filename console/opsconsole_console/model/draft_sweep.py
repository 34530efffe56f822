"""A sweep as it is typed into the form: `lr=0.1,0.01 seed=1,2`, with `--zip`, `--samples` and `--repeat` as `submit` takes them. Pure."""

from collections.abc import Sequence

from opsconsole.sweep import Point, read_line
from opsconsole_protocol.error import InvalidRequest


def read_points(text: str) -> list[Point]:
    """Read every point, or none where nothing was typed. Raises InvalidRequest."""
    return read_line(text).points()


def check_tasks(number: int, points: Sequence[Point]) -> None:
    """Raise InvalidRequest where another number of tasks was asked for than the sweep has."""
    if number not in (1, len(points)):
        raise InvalidRequest(f"leave it at 1: the sweep has a task for each of its {len(points):,} points")
