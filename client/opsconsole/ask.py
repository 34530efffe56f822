"""Asking a coordinator for one kind of answer, through whatever connection there is."""

from typing import Protocol, TypeVar

from msgspec.structs import replace

from opsconsole_protocol.api import (
    Act,
    ActResult,
    Answered,
    AnyAnswer,
    AnyRequest,
    AwaitSignals,
    MoveJob,
    PopJob,
    SendSignal,
    SetPriority,
    Where,
)
from opsconsole_protocol.api.request_base import IDS_MAX
from opsconsole_protocol.error import Conflict, ProtocolError

AnswerT = TypeVar("AnswerT", bound=Answered)


class Requester(Protocol):
    """Anything that carries requests to a coordinator: a `Client`, the console's fleet source, or a test's script."""

    async def request(self, request: AnyRequest) -> AnyAnswer:
        """The coordinator's answer. Raises OpsconsoleError, and Unavailable while there is no connection."""
        ...


async def ask(requester: Requester, request: AnyRequest, kind: type[AnswerT]) -> AnswerT:
    """The answer to a request, of the kind that is due. Raises what `request` raises, and ProtocolError for another kind."""
    answer = await requester.request(request)
    if not isinstance(answer, kind):
        raise ProtocolError(f"{type(answer).__name__} came where {kind.__name__} is due: upgrade the older side")
    return answer


async def act(requester: Requester, request: Act, at_once: int = IDS_MAX) -> ActResult:
    """Have a verb carried out on however many ids, `at_once` in each request. Raises where nothing was done for any, as one request does.

    Where an id of a later request is no job's, what the earlier ones were for is done.
    """
    results: list[tuple[str, str]] = []
    refused: list[str] = []
    failure: Conflict | None = None
    for place in range(0, max(1, len(request.ids)), at_once):
        ids = request.ids[place : place + at_once]
        try:
            answer = await ask(requester, replace(request, ids=ids), ActResult)
        except Conflict as error:  # all of these were refused
            failure = failure or error
            answer = ActResult(results=tuple((one, error.message) for one in ids), refused=ids)
        results += answer.results
        refused += answer.refused
    if failure is not None and len(refused) == len(request.ids):
        raise failure
    return ActResult(results=tuple(results), refused=tuple(refused))


def is_repeatable(request: AnyRequest) -> bool:
    """Whether nothing is done twice, or lost, where a request was carried out and its answer didn't come."""
    if isinstance(request, SetPriority):
        return not request.relative
    if isinstance(request, MoveJob):
        return request.where not in {Where.EARLIER, Where.LATER}
    return not isinstance(request, SendSignal | AwaitSignals | PopJob)
