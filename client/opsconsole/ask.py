"""Asking a coordinator for one kind of answer, through whatever connection there is."""

from typing import Protocol, TypeVar

from opsconsole_protocol.api import Answered, AnyAnswer, AnyRequest
from opsconsole_protocol.error import ProtocolError

AnswerT = TypeVar("AnswerT", bound=Answered)


class Requester(Protocol):
    """What carries requests to a coordinator: a `Client`, the console's link to its fleet, or a script in a test."""

    async def request(self, request: AnyRequest) -> AnyAnswer:
        """The coordinator's answer. Raises OpsconsoleError; Unavailable while there is no connection."""
        ...


async def ask(requester: Requester, request: AnyRequest, kind: type[AnswerT]) -> AnswerT:
    """The answer, which is of that kind. Raises what `request` raises, and ProtocolError for any other kind."""
    answer = await requester.request(request)
    if not isinstance(answer, kind):
        raise ProtocolError(f"{type(answer).__name__} came where {kind.__name__} is due: upgrade the older side")
    return answer
