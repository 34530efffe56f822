"""An agent's wish to leave, which its coordinator remembers, and the next life of the agent takes back."""

from pathlib import Path

from opsconsole_agent.state.departure import Departure


def test_it_is_known_once_all_that_was_told_is_answered(tmp_path: Path) -> None:
    one = Departure(tmp_path)
    assert one.status() is None
    one.told()  # of something else, before
    one.begin()
    one.told()
    one.answered()
    assert not one.is_known
    one.answered()
    assert one.is_known
    assert one.status() == "maintenance"


def test_answers_that_a_lost_connection_owed_are_not_waited_for(tmp_path: Path) -> None:
    one = Departure(tmp_path)
    one.told()
    one.lost()
    one.begin()
    one.told()
    one.answered()
    assert one.is_known


def test_the_next_life_wants_tasks_again_and_says_so_until_it_is_heard(tmp_path: Path) -> None:
    Departure(tmp_path).begin()
    unheard = Departure(tmp_path)
    assert unheard.status() == "available"
    unheard.told()
    unheard.lost()
    heard = Departure(tmp_path)
    assert heard.status() == "available"
    heard.told()
    heard.answered()
    assert heard.status() is None
    assert Departure(tmp_path).status() is None
