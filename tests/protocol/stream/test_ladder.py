"""Which way comes when: a table, and what holds whatever the facts are."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.stream import ladder
from opsconsole_protocol.stream.error import NoWay
from opsconsole_protocol.stream.ladder import Experience, Facts, Step
from opsconsole_protocol.stream.message import WAYS_MAX, Failure, PeerKind, Via, Way

BOTH = ("wrtc", "aiortc")
PYTHON = ("aiortc",)
WORKER = Facts(peer=PeerKind.WORKER, peer_name="gpu-3", engines_here=PYTHON, engines_there=PYTHON)
D, W, R = Way.DIRECT, Way.WEBRTC, Way.RELAY


def failed(*ways: Way, life: str = "") -> tuple[Failure, ...]:
    return tuple(Failure(way, f"{way} is gone", life) for way in ways)


@pytest.mark.parametrize(
    ("facts", "ways"),
    [
        (WORKER, (D, R, W)),
        (replace(WORKER, peer=PeerKind.HOST), (D, R, W)),
        (replace(WORKER, engines_here=BOTH), (D, R, W)),
        (replace(WORKER, engines_here=BOTH, engines_there=BOTH), (D, W, R)),
        (replace(WORKER, relay=False), (D, W)),
        (replace(WORKER, engines_there=()), (D, R)),
        (replace(WORKER, engines_here=(), relay=False), (D,)),
        (replace(WORKER, failed=failed(D)), (R, W, D)),
        (replace(WORKER, failed=failed(R)), (D, W, R)),
        (replace(WORKER, failed=failed(D, R)), (W, D, R)),
        (replace(WORKER, failed=failed(D, R, W)), (D, R, W)),
        (replace(WORKER, failed=failed(D, R, R, W)), (D, W, R)),
        (replace(WORKER, failed=failed(R, D, R), engines_here=()), (D, R)),
        (replace(WORKER, failed=failed(D, life="before"), life="now"), (D, R, W)),
        (replace(WORKER, failed=failed(D, life="before") + failed(R, life="now"), life="now"), (D, W, R)),
        (replace(WORKER, failed=failed(D, life="now"), life="now"), (R, W, D)),
        (replace(WORKER, failed=failed(D, life="before")), (R, W, D)),
        (replace(WORKER, failed=failed(D), life="now"), (R, W, D)),
        (replace(WORKER, via=Via.DIRECT), (D,)),
        (replace(WORKER, via=Via.RELAY), (R,)),
        (replace(WORKER, via=Via.WEBRTC), (W,)),
        (replace(WORKER, via=Via.RELAY, failed=failed(R)), (R,)),
        (Facts(peer=PeerKind.COORDINATOR), (D,)),
        (Facts(peer=PeerKind.COORDINATOR, relay=False, failed=failed(D)), (D,)),
        (Facts(peer=PeerKind.COORDINATOR, via=Via.RELAY), (D,)),
        (Facts(peer=PeerKind.COORDINATOR, via=Via.DIRECT), (D,)),
    ],
)
def test_the_order_of_ways(facts: Facts, ways: tuple[Way, ...]) -> None:
    assert tuple(step.way for step in ladder.steps(facts)) == ways


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        (WORKER, ["nothing lies between", "the coordinator joins both ends", "through the NATs of both, slowly"]),
        (
            replace(WORKER, same_machine=True, relay_mb_s=50, engines_there=()),
            ["both ends are on one machine", "the coordinator joins both ends, at most 50 MB/s"],
        ),
        (replace(WORKER, via=Via.RELAY), ["asked for by --via"]),
        (
            replace(WORKER, failed=failed(D), relay=False, engines_here=BOTH, engines_there=BOTH),
            ["both ends have a native engine", "nothing lies between; once more after: direct is gone"],
        ),
        (Facts(peer=PeerKind.COORDINATOR), ["the coordinator itself"]),
    ],
)
def test_every_step_has_its_reason(facts: Facts, reasons: list[str]) -> None:
    assert [step.reason for step in ladder.steps(facts)] == reasons


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (replace(WORKER, via=Via.RELAY, relay=False), "--via relay: this coordinator doesn't relay; choose another way, or leave --via out"),
        (replace(WORKER, via=Via.WEBRTC, engines_here=()), "--via webrtc: this machine has no engine for WebRTC; choose another way, or leave --via out"),
        (replace(WORKER, via=Via.WEBRTC, engines_there=()), "--via webrtc: gpu-3 has no engine for WebRTC; choose another way, or leave --via out"),
        (Facts(peer=PeerKind.COORDINATOR, via=Via.WEBRTC), "--via webrtc: the other end is the coordinator itself, which is dialled; leave --via out"),
    ],
)  # fmt: skip
def test_a_way_that_is_asked_for_and_cannot_be(facts: Facts, line: str) -> None:
    with pytest.raises(NoWay) as failure:
        ladder.steps(facts)
    assert failure.value.message == line


def test_the_lines_for_people() -> None:
    assert (
        ladder.opened(Step(D, "nothing lies between"), "gpu-3") == "direct: connected to gpu-3 (nothing lies between)"
    )
    assert ladder.opened(Step(D, "x"), "") == "direct: connected to the other end (x)"
    assert ladder.not_opened(R, "it is full") == "relay doesn't work: it is full"
    assert ladder.broke(W, "closed") == "webrtc broke: closed"
    told = ladder.no_way(replace(WORKER, relay=False), [Failure(D, "nobody answers"), Failure(W, "no candidates")])
    assert told.message == (
        "no way leads to gpu-3: direct: nobody answers; relay: this coordinator doesn't relay; webrtc: no candidates"
    )
    told = ladder.no_way(replace(WORKER, via=Via.DIRECT), [Failure(D, "nobody answers")])
    assert told.message == "no way leads to gpu-3: direct: nobody answers"


_LIVES = st.sampled_from(["", "one", "two"])
_FAILURES = st.lists(st.builds(Failure, st.sampled_from(Way), st.text(max_size=10), _LIVES), max_size=WAYS_MAX).map(
    tuple
)
_ENGINES = st.sampled_from([(), PYTHON, BOTH, ("wrtc",)])
_FACTS = st.builds(
    Facts,
    peer=st.sampled_from(PeerKind),
    peer_name=st.text(max_size=5),
    via=st.sampled_from(Via),
    same_machine=st.booleans(),
    relay=st.booleans(),
    relay_mb_s=st.integers(0, 1_000),
    engines_here=_ENGINES,
    engines_there=_ENGINES,
    failed=_FAILURES,
    life=_LIVES,
)


@given(_FACTS)
def test_every_way_is_tried_once_and_the_new_before_the_failed(facts: Facts) -> None:
    try:
        steps = ladder.steps(facts)
    except NoWay:
        assert facts.via is not Via.AUTO
        return
    ways = [step.way for step in steps]
    assert ways
    assert len(set(ways)) == len(ways)
    assert all(step.reason for step in steps)
    broken = {failure.way for failure in facts.counting}
    marks = [way in broken for way in ways]
    assert marks == sorted(marks)
    if facts.via is not Via.AUTO:
        assert len(ways) == 1
    if facts.peer is not PeerKind.COORDINATOR:
        assert facts.relay or Way.RELAY not in ways
        assert Way.WEBRTC not in ways or (facts.engines_here and facts.engines_there)


@given(_FACTS.filter(lambda facts: facts.via is Via.AUTO and facts.life != ""), _FAILURES)
def test_what_broke_with_an_end_that_went_away_changes_nothing(facts: Facts, more: tuple[Failure, ...]) -> None:
    before = tuple(failure for failure in more if failure.life not in ("", facts.life))
    assert ladder.steps(replace(facts, failed=(*before, *facts.failed))) == ladder.steps(facts)


@given(_FACTS.filter(lambda facts: facts.via is Via.AUTO and facts.peer is not PeerKind.COORDINATOR), st.data())
def test_whatever_breaks_every_way_gets_its_turn(facts: Facts, data: st.DataObject) -> None:
    """Streams open by any of the ways, and die: whichever way alone would last is found soon."""
    ways = [step.way for step in ladder.steps(facts)]
    lasting = data.draw(st.sampled_from(ways))
    experience = Experience(facts.life, facts.failed)
    for _ in range(WAYS_MAX + 1):
        steps = ladder.steps(facts)
        assert sorted(step.way for step in steps) == sorted(ways)
        for step in steps[: data.draw(st.integers(1, len(steps)))]:
            # Those before the last don't open, the last one opens and dies.
            if step.way is lasting:
                return
            experience.add(step.way, "broke\nit")
            facts = replace(facts, failed=experience.failed)
        assert len(facts.failed) <= WAYS_MAX
        assert "\n" not in facts.failed[-1].reason
    pytest.fail(f"{lasting} was never tried")
