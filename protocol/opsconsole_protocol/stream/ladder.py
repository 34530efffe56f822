"""Which ways a stream may take, in which order, and why: the cheapest first. What failed more often comes later, not never.

1. direct: nothing lies between. 2. webrtc where both ends have a native engine. 3. relay, which costs the coordinator what it
moves. 4. webrtc in Python, which is slow.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from opsconsole_protocol.bound import cut
from opsconsole_protocol.stream.error import NoWay
from opsconsole_protocol.stream.message import WAYS_MAX, Failure, PeerKind, Via, Way, way_words

PYTHON_ENGINE = "aiortc"
"""Every other engine is native, and fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the choice of a way depends on. `engines_…`: for WebRTC, best first, at this end and at the other."""

    peer: PeerKind
    peer_name: str = ""
    via: Via = Via.AUTO
    same_machine: bool = False
    relay: bool = True
    relay_mb_s: int = 0
    engines_here: tuple[str, ...] = ()
    engines_there: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    """In the order in which they failed."""
    life: str = ""
    """Of the other end, as far as it says so."""

    @property
    def counting(self) -> tuple[Failure, ...]:
        """What failed with this other end. What broke because an earlier one went away says nothing about the way."""
        return tuple(one for one in self.failed if self.life in ("", one.life) or not one.life)


@dataclass(slots=True)
class Experience:
    """What has come of the ways in one transfer, from stream to stream. `life`: of the other end that was met last."""

    life: str = ""
    failed: tuple[Failure, ...] = ()

    def add(self, way: Way, story: str) -> None:
        """A way has failed with the other end of now; the oldest failures are left out where they are too many."""
        self.failed = (*self.failed, Failure(way, cut(" ".join(story.split())), self.life))[-WAYS_MAX:]


@dataclass(frozen=True, slots=True)
class Step:
    """A way to try, and why it is tried at this place."""

    way: Way
    reason: str


def steps(facts: Facts) -> tuple[Step, ...]:
    """The ways to try, in order, each once. Raises NoWay where there is none, or not the one that was asked for."""
    if facts.peer is PeerKind.COORDINATOR:
        return (_to_the_coordinator(facts),)
    obstacles = _obstacles(facts)
    if facts.via is not Via.AUTO:
        way = Way(facts.via.value)
        if way in obstacles:
            raise NoWay(f"--via {way}: {obstacles[way]}; choose another way, or leave --via out")
        return (_step(facts, way, "asked for by --via"),)
    return tuple(_step(facts, way, _reason(facts, way)) for way in _order(facts) if way not in obstacles)


def opened(step: Step, peer_name: str, engine: str = "") -> str:
    """The line that says which way was taken, with which engine of this end, and why."""
    return f"{way_words(step.way, engine)}: connected to {peer_name or 'the other end'} ({step.reason})"


def not_opened(way: Way, reason: str) -> str:
    """The line that says why this way wasn't taken."""
    return f"{way} doesn't work: {reason}"


def broke(way: Way, reason: str) -> str:
    """The line that says why this way isn't taken any more."""
    return f"{way} broke: {reason}"


def no_way(facts: Facts, failed: Sequence[Failure]) -> NoWay:
    """The error when every way was tried: one line that has all reasons. `failed`: in these tries."""
    told = dict(_obstacles(facts)) if facts.via is Via.AUTO else {}
    told.update((failure.way, failure.reason) for failure in failed)
    story = "; ".join(f"{way}: {told[way]}" for way in Way if way in told)
    return NoWay(cut(f"no way leads to {facts.peer_name or 'the other end'}: {story}"))


def _to_the_coordinator(facts: Facts) -> Step:
    """Its one port is where it is dialled, which `--via relay` means as well: no other way goes through it."""
    if facts.via is Via.WEBRTC:
        raise NoWay("--via webrtc: the other end is the coordinator itself, which is dialled; leave --via out")
    return _step(facts, Way.DIRECT, "the coordinator itself")


def _obstacles(facts: Facts) -> dict[Way, str]:
    """The ways to another machine that can't be taken, and why not."""
    found: dict[Way, str] = {}
    if facts.peer is PeerKind.COORDINATOR:
        return found
    if not facts.relay:
        found[Way.RELAY] = "this coordinator doesn't relay"
    name = facts.peer_name or "the other end"
    if not facts.engines_here:
        found[Way.WEBRTC] = "this machine has no engine for WebRTC"
    elif not facts.engines_there:
        found[Way.WEBRTC] = f"{name} has no engine for WebRTC"
    return found


def _order(facts: Facts) -> list[Way]:
    is_native = _has_native(facts.engines_here) and _has_native(facts.engines_there)
    between = (Way.WEBRTC, Way.RELAY) if is_native else (Way.RELAY, Way.WEBRTC)
    # Where everything has failed, the network was gone perhaps: the cheapest way may be there again as well as another.
    times = Counter(failure.way for failure in facts.counting)
    return sorted((Way.DIRECT, *between), key=lambda way: times[way])


def _has_native(engines: tuple[str, ...]) -> bool:
    return any(name != PYTHON_ENGINE for name in engines)


def _reason(facts: Facts, way: Way) -> str:
    match way:
        case Way.DIRECT:
            return "both ends are on one machine" if facts.same_machine else "nothing lies between"
        case Way.RELAY:
            limit = f", at most {facts.relay_mb_s} MB/s" if facts.relay_mb_s else ""
            return f"the coordinator joins both ends{limit}"
        case Way.WEBRTC:
            is_native = _has_native(facts.engines_here) and _has_native(facts.engines_there)
            return "both ends have a native engine" if is_native else "through the NATs of both, slowly"


def _step(facts: Facts, way: Way, reason: str) -> Step:
    last = next((failure for failure in reversed(facts.counting) if failure.way is way), None)
    return Step(way, reason if last is None else f"{reason}; once more after: {last.reason}")
