"""Asking a coordinator for one kind of answer, through whatever connection there is."""

from typing import Protocol, TypeVar

from opsconsole_protocol.api import (
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
from opsconsole_protocol.error import ProtocolError

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


def is_repeatable(request: AnyRequest) -> bool:
    """Whether nothing is done twice, or lost, where a request was carried out and its answer didn't come."""
    if isinstance(request, SetPriority):
        return not request.relative
    if isinstance(request, MoveJob):
        return request.where not in {Where.EARLIER, Where.LATER}
    return not isinstance(request, SendSignal | AwaitSignals | PopJob)
