"""How long something is expected to take, as a range, and on what that rests."""

import msgspec


class Estimate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Milliseconds: one in ten is expected below `low_ms`, half below `mid_ms`, nine in ten below `high_ms`."""

    low_ms: int
    mid_ms: int
    high_ms: int
    runs: int = 0
    """On how many runs it rests; 0 where it rests on what tasks tell of themselves, or on other estimates."""
    alike: str = ""
    """In what these were alike, in words."""
    judged: int = 0
    """How many earlier estimates of this kind of job can be compared with what it took."""
    held: int = 0
    """In how many of these it took no less than `low_ms` and no more than `high_ms` said."""


class EstimateError(msgspec.Struct, frozen=True):
    """How wrong the estimates of one kind of job were, of the last runs that are remembered."""

    project: str
    name: str
    """The template, or else the jobs' name."""
    runs: int
    judged: int
    """Of how many of them an estimate was told before."""
    held: int
    """How many of these took as long as its range said."""
    off_percent: int
    """By how much half of these took longer or shorter than the middle of it, of the middle; 0 where none was judged."""
    median_ms: int
