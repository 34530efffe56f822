"""How much of what could be shown is here, and what a table without rows may say because of it. Pure.

One mechanism for every table: whoever fills it says how much that is, and nobody says "none" of what isn't loaded.
"""

from dataclasses import dataclass
from enum import Enum


class Extent(Enum):
    """`NONE`: nothing has come yet. `PART`: there is more. `ALL`: what isn't here doesn't exist."""

    NONE = "none"
    PART = "part"
    ALL = "all"


@dataclass(frozen=True)
class Coverage:
    """`looking`: the rest is being gone through for what the filter wants. `note` says what is not looked at, and why."""

    extent: Extent = Extent.NONE
    looking: bool = False
    note: str = ""


NOTHING_YET = Coverage()
ALL = Coverage(Extent.ALL)


def empty_text(coverage: Coverage, *, nothing: str, filtered: bool) -> str:
    """What a table without rows says. `nothing` is what it says when there is no row at all, anywhere."""
    match coverage.extent:
        case Extent.NONE:
            return "loading…"
        case Extent.PART:
            if coverage.looking:
                return "none of those here; looking through the older ones…"
            return "none of those here" + (f"\n\n{coverage.note}" if coverage.note else "")
        case Extent.ALL:
            return "Nothing matches the filter\n\nesc takes it back" if filtered else nothing
