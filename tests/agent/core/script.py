"""Drives the agent's core without a loop: says what happens, drains what it wants done, and then nothing else was wanted.

What is written down and what is reported is looked at by tests that care. Everything else that the core asks for has to be
drained by the test, or by the method that plays the answer to it.
"""

from typing import Any, ClassVar, TypeVar

from opsconsole_agent.core.effect import (
    AbandonPreparation,
    Effect,
    FinishLog,
    ForgetAttempt,
    Kill,
    NoteFault,
    Pause,
    PersistIntent,
    PrepareAttempt,
    Resume,
    RewindLog,
    SendObservation,
    SendReport,
    StartAttempt,
    Terminate,
)
from opsconsole_agent.core.event import (
    AttemptExited,
    AttemptPrepared,
    AttemptStarted,
    Event,
    LinkUp,
    LogComplete,
    Paused,
    Resumed,
    Tick,
)
from opsconsole_agent.core.intent import PROCESS
from opsconsole_agent.core.reactor import Reactor
from opsconsole_agent.failure.last_lines import Printed, Tail
from opsconsole_protocol.ids import AttemptId, JobId, TaskId
from opsconsole_protocol.link import Desired, DesiredSet, Forget, JobAssignment, Launch, Mode, Observed, SetWant, Want
from opsconsole_protocol.state import AttemptState

E = TypeVar("E")
ForAttempt = TypeVar(
    "ForAttempt",
    PrepareAttempt,
    AbandonPreparation,
    StartAttempt,
    Pause,
    Resume,
    Terminate,
    Kill,
    FinishLog,
    ForgetAttempt,
    NoteFault,
)


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


RECORDS = (PersistIntent, SendReport, SendObservation, RewindLog)
"""What may be left over at the end of a test: notes for later, and news for the coordinator."""


class Script:
    """One agent's core, the clock, and both who speak with it: the coordinator and the host."""

    made: ClassVar[list["Script"]] = []
    """All of the test under way."""

    def __init__(self, slots: int = 2) -> None:
        self.reactor = Reactor(slots, PROCESS)
        self.now_ms = 1_000_000
        self.seq = 0
        self.effects: list[Effect] = []
        self.made.append(self)

    def tell(self, event: Event) -> None:
        """One event; its effects are collected."""
        self.reactor.handle(event, self.now_ms)
        self.effects += self.reactor.take_effects()

    def drain(self, kind: type[E]) -> list[E]:
        """The collected effects of one kind, in order; they are taken out."""
        found: list[E] = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found

    def asked(self, kind: type[ForAttempt]) -> list[str]:
        """For which attempts effects of this kind were collected, in order; they are taken out."""
        return [effect.attempt_id for effect in self.drain(kind)]

    def answer(self, kind: type[PrepareAttempt | StartAttempt | Pause | Resume | FinishLog], attempt_id: str) -> None:
        """One effect of this kind for this attempt is answered now: it is taken out, if it wasn't before."""
        asked = (one for one in self.effects if isinstance(one, kind) and one.attempt_id == attempt_id)
        if (effect := next(asked, None)) is not None:
            self.effects.remove(effect)

    def nothing_else(self) -> None:
        """Nothing is wanted of the host but what was drained; the records are taken out."""
        left = [effect for effect in self.effects if not isinstance(effect, RECORDS)]
        self.effects = []
        assert not left, f"and nothing else, but also: {left}"

    def kinds(self) -> list[str]:
        """The names of all collected effects, taken out."""
        names = [type(effect).__name__ for effect in self.effects]
        self.effects = []
        return names

    def pass_time(self, ms: int) -> None:
        """Let time pass, with a Tick at every deadline on the way."""
        end_ms = self.now_ms + ms
        while (due_ms := self.reactor.next_deadline_ms()) is not None and due_ms <= end_ms:
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
        registered = self.reactor.begin_exchange()
        self.effects += self.reactor.take_effects()
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
        self.answer(PrepareAttempt, attempt_id)
        self.tell(AttemptPrepared(attempt_id=AttemptId(attempt_id), at_ms=self.now_ms))

    def started(self, attempt_id: str) -> None:
        """Its process lives."""
        self.answer(StartAttempt, attempt_id)
        self.tell(AttemptStarted(attempt_id=AttemptId(attempt_id), at_ms=self.now_ms))

    def run(self, attempt_id: str, want: Want | None = None, **launch: Any) -> None:
        """From assignment to a living process."""
        self.assign(attempt_id, want, **launch)
        self.prepared(attempt_id)
        self.started(attempt_id)

    def exited(self, attempt_id: str, exit_code: int | None = 0, last_lines: str = "", **exit_: Any) -> None:
        """Nothing of it lives, and its log is measured."""
        identity = AttemptId(attempt_id)
        self.tell(AttemptExited(attempt_id=identity, at_ms=self.now_ms, exit_code=exit_code, **exit_))
        self.measured(attempt_id, last_lines)

    def measured(self, attempt_id: str, last_lines: str = "", sizes: dict[str, int] | None = None) -> None:
        """Its log grows no more."""
        self.answer(FinishLog, attempt_id)
        sizes = {"stdout": 3} if sizes is None else sizes
        self.tell(
            LogComplete(attempt_id=AttemptId(attempt_id), sizes=sizes, printed=Printed(Tail(last_lines.encode())))
        )

    def paused(self, attempt_id: str) -> None:
        """Nothing of it runs."""
        self.answer(Pause, attempt_id)
        self.tell(Paused(attempt_id=AttemptId(attempt_id), at_ms=self.now_ms))

    def resumed(self, attempt_id: str) -> None:
        """It runs again."""
        self.answer(Resume, attempt_id)
        self.tell(Resumed(attempt_id=AttemptId(attempt_id), at_ms=self.now_ms))

    # --- what is seen ----------------------------------------------------------------------------------------------

    def observed(self, attempt_id: str) -> Observed:
        """How it would be reported now."""
        attempt = self.reactor.attempt(attempt_id)
        assert attempt is not None, f"{attempt_id} isn't there"
        return attempt.observed()

    def state(self, attempt_id: str) -> AttemptState:
        """The state it would be reported in."""
        return self.observed(attempt_id).state


def desired(attempt_id: str, want: Want | None = None, **launch: Any) -> Desired:
    """An attempt that should exist."""
    return Desired(attempt_id=AttemptId(attempt_id), launch=make_launch(**launch), want=want or Want())
