"""The table of phases."""

import re

import pytest

from opsconsole_agent.core.intent import PROCESS
from opsconsole_agent.core.local_attempt import LocalAttempt
from opsconsole_agent.core.phase import DECISIONS, LIVE, OVER, PHASE_MOVES, UNSTARTED, Move, Phase
from opsconsole_agent.core.reactor import HANDLERS
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import AttemptId


def test_every_phase_is_in_the_table_and_every_move_is_made_somewhere() -> None:
    assert PHASE_MOVES.keys() == set(Phase)
    assert {move for moves in PHASE_MOVES.values() for move in moves} == set(Move)
    assert UNSTARTED | {Phase.STARTING} | LIVE | OVER == set(Phase)


def test_every_phase_is_reached_and_leads_to_the_end() -> None:
    reached: set[Phase] = set()
    to_visit = [Phase.WAITING]
    while to_visit:
        phase = to_visit.pop()
        if phase not in reached:
            reached.add(phase)
            to_visit += PHASE_MOVES[phase].values()
    assert reached == set(Phase)
    assert set(PHASE_MOVES[Phase.ENDED].values()) == {Phase.ENDED}


def test_whatever_has_not_exited_can() -> None:
    for phase in set(Phase) - OVER:
        assert PHASE_MOVES[phase][Move.EXITED] is Phase.EXITED


def test_what_is_unanswered_is_not_asked_for_again_and_what_is_being_stopped_is_not_paused() -> None:
    for phase in (Phase.PAUSING, Phase.RESUMING, Phase.STOPPING):
        assert PHASE_MOVES[phase].keys().isdisjoint({Move.PAUSE, Move.RESUME})


def test_a_move_is_a_decision_of_ours_or_the_name_of_an_event() -> None:
    events = {re.sub(r"(?<!^)([A-Z])", r" \1", event.__name__).lower() for event in HANDLERS}
    news = {move.removeprefix("was ") for move in set(Move) - DECISIONS} - {"found alive"}
    assert news <= events | {name.removeprefix("attempt ") for name in events}
    assert {*DECISIONS}.isdisjoint(events)


@pytest.mark.parametrize("phase", Phase)
def test_a_move_that_is_not_in_the_table_raises_with_the_story_and_changes_nothing(phase: Phase) -> None:
    for move in Move:
        attempt = LocalAttempt(AttemptId("a"), None, PROCESS, phase=phase)
        attempt.add_to_story(7, "found")
        if move in PHASE_MOVES[phase]:
            attempt.move(move, 8)
            assert attempt.phase is PHASE_MOVES[phase][move]
            assert attempt.story == f"7 found; 8 {move}"
            continue
        with pytest.raises(IllegalTransition, match=f"'{move}' for a, which is {phase}: 7 found"):
            attempt.move(move, 8)
        assert (attempt.phase, attempt.story) == (phase, "7 found"), move


def test_a_story_is_bounded() -> None:
    attempt = LocalAttempt(AttemptId("a"), None, PROCESS)
    for number in range(1_000):
        attempt.add_to_story(number, "again")
    assert len(attempt.history) <= 60
    assert attempt.history[-1] == (999, "again")
