"""What every engine promises: a process of this host is started by one, and so is whatever else comes to run attempts.

Core, link and console don't know which engine it is. An agent has one engine; its name is written down with every attempt.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from opsconsole_agent.core.event import Event
from opsconsole_agent.core.intent import Intent
from opsconsole_agent.probe.io_path import OutputCount
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch

Emit = Callable[[Sequence[Event]], None]
"""Takes what an engine has to tell, in order."""


class StepProgress(NamedTuple):
    """The step of a preparation that is under way, by name, and how far it is: bytes or parts, of how many."""

    step: str
    done: float
    total: float


Settled = Callable[[OutputCount | None], None]
"""Takes what lies in an attempt's output folder, None where there is none or that isn't known."""


class Engine(Protocol):
    """Carries out what the core wants. No method waits for anything: whatever comes of it is emitted as events.

    A command for an attempt that the engine doesn't know, or that has ended, does nothing: its end is emitted or was. A
    command that gets lost on the way to what runs the attempt is not repeated: the next EngineHello brings up what is still
    to be done.
    """

    @property
    def name(self) -> str:
        """By which name attempts of this engine are written down."""

    async def run(self) -> None:
        """Emit what happens until cancelled; raises Unavailable when the engine can't be used any more.

        An EngineHello comes first, and again whenever the engine was lost and found: the whole truth, after every attempt
        that should live was looked for and re-adopted where it does.
        """

    def readopt(self, intent: Intent, *, host_restarted: bool) -> None:
        """Before `run`: an earlier life of the agent wrote this attempt down, and may have started it.

        `host_restarted`: since then. Where nothing is known of the attempt any more it is then lost with its host.
        """

    def prepare(self, attempt_id: AttemptId, launch: Launch) -> None:
        """Get together all that the attempt needs. Emits AttemptPrepared or PreparationFailed, before that BuildStarted where
        it takes time."""

    def abandon(self, attempt_id: AttemptId) -> None:
        """Stop a preparation at once, whatever it waits for, and give back what was taken for it. Emits nothing."""

    def progress(self) -> dict[AttemptId, StepProgress]:
        """The step that each preparation under way has come to, and how far that is."""

    def start(self, attempt_id: AttemptId) -> None:
        """Start what was prepared, once. Emits AttemptStarted and, at its end, AttemptExited; or else StartFailed."""

    def pause(self, attempt_id: AttemptId) -> None:
        """Let nothing of the attempt run, without ending it. Emits Paused or PauseFailed."""

    def resume(self, attempt_id: AttemptId) -> None:
        """Let the attempt go on where it was paused. Emits Resumed or PauseFailed."""

    def ask_to_save(self, attempt_id: AttemptId, signal: str) -> None:
        """Let the attempt see that it is to save a checkpoint and to end, and send its leader a signal, if one is named, as soon
        as that wouldn't just end it. Emits nothing."""

    def withdraw_ask(self, attempt_id: AttemptId) -> None:
        """It needn't any more. Emits nothing."""

    def terminate(self, attempt_id: AttemptId, grace_ms: int) -> None:
        """Ask all that lives of the attempt to end, and resume it for that. What its leader leaves behind is ended once
        `grace_ms` are over; the leader itself only by `kill`."""

    def kill(self, attempt_id: AttemptId) -> None:
        """End all that lives of the attempt. AttemptExited is emitted once nothing does."""

    def settle(
        self, attempt_id: AttemptId, launch: Launch | None, output_path: str | None, *, all_gone: bool, then: Settled
    ) -> None:
        """The attempt has ended: put in order what it leaves here, and call `then` with what it left. Where that is done in
        no time, `then` has been called when this returns. `all_gone`: surely nothing of it lives any more."""

    def forget(self, attempt_id: AttemptId, launch: Launch | None = None) -> None:
        """What it needs isn't needed any more. How the attempt ended is safe elsewhere: no hello need mention it any more."""

    def publish(self, output_path: str) -> None:
        """What was written there is its task's accepted result: have it where that is looked for."""

    def free_port(self) -> int:
        """A port that is free now; raises LimitExceeded."""

    async def pids(self) -> dict[AttemptId, list[int]]:
        """The living processes of every attempt; raises OpsconsoleError where the engine doesn't answer."""

    def unresponsive_because(self) -> str:
        """Why `pids` isn't answered, in words; empty where that is over in a moment."""

    def damage(self) -> Sequence[str]:
        """What the engine found damaged and set aside, in words."""
