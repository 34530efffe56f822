"""Of the names that there are, those that somebody may have meant who wrote one that there isn't."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from itertools import islice

from opsconsole_protocol.bound import NAME_CHARACTERS_MAX

_NEAR_MAX = 3
_LOOKED_AT_MAX = 10_000
_AS_NEAR = 0.1
"""By how much another name may be less alike than the nearest one, and still be named."""


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that are nearest, at most three, the nearest first. Upper and lower case don't count."""
    by_case: dict[str, list[str]] = {}
    for one in islice(names, _LOOKED_AT_MAX):
        by_case.setdefault(one.casefold(), []).append(one)
    wanted = name[:NAME_CHARACTERS_MAX].casefold()
    found = get_close_matches(wanted, by_case, _NEAR_MAX)
    alike = [SequenceMatcher(None, one, wanted).ratio() for one in found]
    near = [one for one, ratio in zip(found, alike, strict=True) if ratio >= alike[0] - _AS_NEAR]
    return [one for folded in near for one in by_case[folded]][:_NEAR_MAX]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`: did you mean ana or anna?`, to stand behind the words that say there is no `name`; empty where none is near."""
    near = near_names(name, names)
    return f": did you mean {' or '.join(near)}?" if near else ""
