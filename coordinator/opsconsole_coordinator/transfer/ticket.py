"""Which ends of which streams may come, each once and for a while. No I/O."""

from dataclasses import dataclass, field

from opsconsole_coordinator.transfer.message import Expect
from opsconsole_protocol.stream.proof import acceptance_proof, is_same, request_proof
from opsconsole_protocol.stream.upgrade import UpgradeRequest


@dataclass(slots=True)
class Expected:
    """A stream of which not every end has come yet."""

    expect: Expect
    until_s: float
    used: set[int] = field(default_factory=set)
    """The ends that have come."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A connection is an end of a stream: `end` 0 is the initiator. `proof` is what it is shown in return."""

    expect: Expect
    end: int
    proof: str
    until_s: float


class Tickets:
    """All streams that are expected. `now_s` is of a clock that only goes on."""

    def __init__(self) -> None:
        self._expected: dict[str, Expected] = {}

    def __len__(self) -> int:
        return len(self._expected)

    def expect(self, message: Expect, now_s: float) -> None:
        """A stream was granted."""
        self._expected[message.stream_id] = Expected(message, now_s + message.ttl_ms / 1000)

    def forget(self, stream_id: str) -> None:
        """A stream isn't wanted any more."""
        self._expected.pop(stream_id, None)

    def drop_expired(self, now_s: float) -> None:
        """Forget the streams whose time is over."""
        for stream_id in [one for one, expected in self._expected.items() if expected.until_s <= now_s]:
            del self._expected[stream_id]

    def admit(self, request: UpgradeRequest, where: str, now_s: float) -> Admission | None:
        """Which end of which stream asks; None where it is none, or not any more. `where`: as for `request_proof`.

        A wrong proof uses nothing up: who only knows a stream's id can't keep its ends out.
        """
        expected = self._expected.get(request.stream_id)
        if expected is None or expected.until_s <= now_s:
            return None
        found = None
        for end, secret in enumerate(expected.expect.secrets):  # all of them, so that the time tells nothing
            if is_same(request.proof, request_proof(secret, request.stream_id, where)):
                found = end
        if found is None or found in expected.used:
            return None
        expected.used.add(found)
        if len(expected.used) == len(expected.expect.secrets):
            del self._expected[request.stream_id]
        proof = acceptance_proof(expected.expect.secrets[found], request.stream_id, where)
        return Admission(expected.expect, found, proof, expected.until_s)
