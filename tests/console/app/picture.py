"""A screen as text that git can compare: its characters, and which look each run of them has."""

import itertools

from rich.segment import Segment
from rich.style import Style
from textual.widgets import Input

from tests.console.app.stage import Stage

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


async def picture(there: Stage) -> str:
    """Lines, then the looks that occur, then for each line its runs as a look's name and a number of cells."""
    for box in there.app.screen.query(Input):
        box.cursor_blink = False
    await there.settle()
    names: dict[str, str] = {}
    makers = itertools.chain(_LETTERS, (f"({number})" for number in itertools.count()))
    lines, runs = [], []
    for line in _segments(there):
        lines.append("".join(text for text, _ in line).rstrip())
        counted: list[tuple[str, int]] = []
        for text, look in line:
            name = names.get(look)
            if name is None:
                name = names[look] = next(makers)
            if counted and counted[-1][0] == name:
                counted[-1] = (name, counted[-1][1] + len(text))
            else:
                counted.append((name, len(text)))
        runs.append(" ".join(f"{name}{number}" for name, number in counted))
    looks = [f"{name} {look}" for look, name in names.items()]
    return "\n".join([*lines, "", *looks, "", *runs, ""])


def _segments(there: Stage) -> list[list[tuple[str, str]]]:
    return [[(segment.text, _look(segment)) for segment in strip] for strip in there.strips()]


def _look(segment: Segment) -> str:
    style = segment.style or Style.null()
    words = [word for word in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, word)]
    colours = [_colour(style.color), "on", _colour(style.bgcolor)]
    return " ".join([*colours, *words])


def _colour(colour: object) -> str:
    triplet = getattr(colour, "triplet", None)
    return "-" if triplet is None else str(triplet.hex)
