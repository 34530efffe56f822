"""Drives an AgentCore without a loop: says what happens, drains what it wants done."""

from typing import Any, TypeVar

from opsconsole_agent.core import (
    AgentCore,
    AttemptPrepared,
    Effect,
    LinkUp,
    LogComplete,
    ProcessExited,
    ProcessStarted,
    Tick,
)
from opsconsole_agent.core.event import Event
from opsconsole_protocol.ids import AttemptId, JobId, TaskId
from opsconsole_protocol.link import Desired, DesiredSet, Forget, JobAssignment, Launch, Mode, Observed, SetWant, Want
from opsconsole_protocol.state import AttemptState

E = TypeVar("E")


def make_launch(**changes: Any) -> Launch:
    """A launch of `true`, one task alone, changed as told."""
    settings: dict[str, Any] = {
        "job_id": JobId("j0b0000000"),
        "task_id": TaskId("j0b0000000/task-0"),
        "task_index": 0,
        "num_tasks": 1,
        "attempt": 0,
        "command": ("true",),
    }
    return Launch(**(settings | changes))


class Script:
    """One agent's core, the clock, and the other side of both its doors."""

    def __init__(self, slots: int = 2) -> None:
        self.core = AgentCore(slots)
        self.now_ms = 1_000_000
        self.seq = 0
        self.effects: list[Effect] = []

    def tell(self, event: Event) -> None:
        """One event; its effects are collected."""
        self.core.handle(event, self.now_ms)
        self.effects += self.core.take()

    def drain(self, kind: type[E]) -> list[E]:
        """The collected effects of one kind, in order; they are taken out."""
        found: list[E] = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found

    def kinds(self) -> list[str]:
        """The names of all collected effects, taken out."""
        names = [type(effect).__name__ for effect in self.effects]
        self.effects = []
        return names

    def pass_time(self, ms: int) -> None:
        """Let time pass, with a Tick at every deadline on the way."""
        end_ms = self.now_ms + ms
        while (due_ms := self.core.next_deadline_ms()) is not None and due_ms <= end_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.tell(Tick())
        self.now_ms = end_ms

    # --- the coordinator -------------------------------------------------------------------------------------------

    def next_seq(self) -> int:
        """The number of the next change to the desired set."""
        self.seq += 1
        return self.seq

    def connect(self, *desired: Desired, adopting: bool = False) -> tuple[Observed, ...]:
        """A new connection with this desired set; returns what was registered."""
        registered = self.core.begin_exchange()
        self.effects += self.core.take()
        self.seq = 0
        self.tell(LinkUp())
        self.tell(DesiredSet(seq=self.next_seq(), attempts=desired, adopting=adopting))
        return registered

    def assign(self, attempt_id: str, want: Want | None = None, **launch: Any) -> None:
        """A job_assignment."""
        self.tell(JobAssignment(seq=self.next_seq(), desired=desired(attempt_id, want, **launch)))

    def want(self, attempt_id: str, mode: Mode, reason: str = "", grace_ms: int = 5_000) -> None:
        """A set_want."""
        want = Want(mode=mode, reason=reason, grace_ms=grace_ms)
        self.tell(SetWant(seq=self.next_seq(), attempt_id=AttemptId(attempt_id), want=want))

    def forget(self, *attempt_ids: str) -> None:
        """A forget."""
        self.tell(Forget(seq=self.next_seq(), attempt_ids=tuple(AttemptId(one) for one in attempt_ids)))

    # --- the host --------------------------------------------------------------------------------------------------

    def prepared(self, attempt_id: str) -> None:
        """Preparation is done."""
        self.tell(AttemptPrepared(attempt_id=AttemptId(attempt_id), at_ms=self.now_ms))

    def started(self, attempt_id: str) -> None:
        """Its process lives."""
        self.tell(ProcessStarted(attempt_id=AttemptId(attempt_id), at_ms=self.now_ms))

    def run(self, attempt_id: str, want: Want | None = None, **launch: Any) -> None:
        """From assignment to a living process."""
        self.assign(attempt_id, want, **launch)
        self.prepared(attempt_id)
        self.started(attempt_id)

    def exited(self, attempt_id: str, exit_code: int | None = 0, last_lines: str = "", **exit_: Any) -> None:
        """Nothing of it lives, and its log is measured."""
        identity = AttemptId(attempt_id)
        self.tell(ProcessExited(attempt_id=identity, at_ms=self.now_ms, exit_code=exit_code, **exit_))
        self.tell(LogComplete(attempt_id=identity, sizes={"stdout": 3}, last_lines=last_lines))

    # --- what is seen ----------------------------------------------------------------------------------------------

    def observed(self, attempt_id: str) -> Observed:
        """How it would be reported now."""
        attempt = self.core.attempt(attempt_id)
        assert attempt is not None, f"{attempt_id} isn't there"
        return attempt.observed()

    def state(self, attempt_id: str) -> AttemptState:
        """The state it would be reported in."""
        return self.observed(attempt_id).state


def desired(attempt_id: str, want: Want | None = None, **launch: Any) -> Desired:
    """An attempt that should exist."""
    return Desired(attempt_id=AttemptId(attempt_id), launch=make_launch(**launch), want=want or Want())
