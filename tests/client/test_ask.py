"""Verbs on more jobs than one request has room for."""

import pytest

from opsconsole.ask import act
from opsconsole_protocol.api import Act, ActResult, AnyAnswer, AnyRequest
from opsconsole_protocol.error import Conflict, Forbidden, OpsconsoleError


class Fleet:
    """A coordinator whose jobs with an odd number can't be held."""

    def __init__(self, failure: OpsconsoleError | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.failure = failure

    async def request(self, request: AnyRequest) -> AnyAnswer:
        assert isinstance(request, Act)
        self.asked.append(request.ids)
        if self.failure is not None:
            raise self.failure
        refused = tuple(one for one in request.ids if int(one) % 2)
        if len(refused) == len(request.ids):
            raise Conflict(f"can't hold job {refused[0]}")
        return ActResult(
            results=tuple((one, "odd" if one in refused else "held") for one in request.ids), refused=refused
        )


async def test_each_request_has_as_many_as_are_taken_and_the_answers_are_one() -> None:
    fleet = Fleet()
    answer = await act(fleet, Act(verb="hold", ids=tuple(map(str, range(25)))), at_once=10)
    assert [len(ids) for ids in fleet.asked] == [10, 10, 5]
    assert [one for one, _ in answer.results] == [str(one) for one in range(25)]
    assert len(answer.refused) == 12


async def test_of_those_of_whom_none_could_each_is_refused() -> None:
    answer = await act(Fleet(), Act(verb="hold", ids=("1", "3", "2", "4")), at_once=2)
    assert answer.refused == ("1", "3")
    assert answer.results == (("1", "can't hold job 1"), ("3", "can't hold job 1"), ("2", "held"), ("4", "held"))


async def test_where_nothing_was_done_it_fails_as_one_request_does() -> None:
    with pytest.raises(Conflict, match="can't hold job 1"):
        await act(Fleet(), Act(verb="hold", ids=("1", "3", "5")), at_once=2)


async def test_whoever_may_not_is_told_at_once() -> None:
    fleet = Fleet(Forbidden("a viewer may only look"))
    with pytest.raises(Forbidden):
        await act(fleet, Act(verb="hold", ids=("0", "2", "4")), at_once=2)
    assert len(fleet.asked) == 1
