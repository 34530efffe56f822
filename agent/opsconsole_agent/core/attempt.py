"""What the core knows about one attempt, and how it is shown to the coordinator."""

from dataclasses import dataclass, field
from enum import StrEnum

from opsconsole_agent.core.ending import Ending
from opsconsole_agent.core.event import ProcessExited
from opsconsole_agent.core.intent import Intent, Stop
from opsconsole_protocol.bound import cut
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Mode, Observed, Want
from opsconsole_protocol.state import AttemptState

_STORY_LENGTH_MAX = 30


class Phase(StrEnum):
    """Where an attempt stands on this worker.

    waiting → preparing → starting → live → exited → ended. From waiting and preparing an attempt can end at once,
    for there is no process; from preparing it goes back to waiting when a pause is wanted before it started.
    `exited`: nothing of it lives, its log files are being measured.
    """

    WAITING = "waiting"
    PREPARING = "preparing"
    STARTING = "starting"
    LIVE = "live"
    EXITED = "exited"
    ENDED = "ended"


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt. `want` is None until the coordinator has said, in this life of the agent, what it wants.

    `written`: it would survive a restart. `asked`: the frozen state last asked of the keeper and not answered yet.
    `unrecorded`: no keeper knows how it ended. `settled`: an end that only we know.
    """

    attempt_id: AttemptId
    launch: Launch | None
    phase: Phase = Phase.WAITING
    want: Want | None = None
    reason: str = ""
    damage: str = ""
    written: bool = False
    released: bool = False
    frozen: bool = False
    asked: bool | None = None
    stop: Stop | None = None
    killed: bool = False
    unrecorded: bool = False
    started_at_ms: int | None = None
    timer_from_ms: int | None = None
    paused_at_ms: int | None = None
    output_path: str | None = None
    workdir: str | None = None
    note: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    build_started_ms: int | None = None
    build_finished_ms: int | None = None
    build_from_cache: bool = False
    image_tag: str = ""
    exited: ProcessExited | None = None
    ending: Ending | None = None
    settled: Observed | None = None
    log_sizes: dict[str, int] = field(default_factory=dict)
    story: list[tuple[int, str]] = field(default_factory=list)

    def tell(self, now_ms: int, text: str) -> None:
        """Add to the story that an illegal event will be explained with."""
        self.story.append((now_ms, text))
        if len(self.story) > 2 * _STORY_LENGTH_MAX:
            del self.story[:-_STORY_LENGTH_MAX]

    @property
    def mode(self) -> Mode | None:
        """What is wanted of it, if that is known."""
        return None if self.want is None else self.want.mode

    @property
    def gpu_ids(self) -> tuple[str, ...]:
        """The GPUs that it has for itself."""
        return () if self.launch is None else self.launch.gpu_ids

    @property
    def title(self) -> str:
        """The name of its task, or else its own id."""
        return self.attempt_id if self.launch is None else self.launch.task_id

    @property
    def timeout_due_ms(self) -> int | None:
        """When it times out; None while it is paused, or has no time limit."""
        timeout_ms = None if self.launch is None else self.launch.timeout_ms
        if timeout_ms is None or self.timer_from_ms is None or self.paused_at_ms is not None:
            return None
        return self.timer_from_ms + timeout_ms

    @property
    def state(self) -> AttemptState:
        """The state as the coordinator knows states."""
        if self.phase is Phase.ENDED and self.ending is not None:
            return self.ending.state
        if self.started_at_ms is not None:
            return AttemptState.PAUSED if self.frozen else AttemptState.RUNNING
        return AttemptState.ASSIGNED if self.build_started_ms is None else AttemptState.BUILDING

    def observed(self) -> Observed:
        """How it is reported."""
        if self.settled is not None:
            return self.settled
        exited, ending = (self.exited, self.ending) if self.phase is Phase.ENDED else (None, None)
        return Observed(
            attempt_id=self.attempt_id,
            state=self.state,
            reason=cut(self.reason),
            exit_code=None if ending is None else ending.exit_code,
            signal=None if exited is None else exited.signal,
            exit_known=exited is None or exited.exit_known,
            error="" if ending is None else cut(ending.error),
            started_at_ms=self.started_at_ms,
            finished_at_ms=None if exited is None else exited.at_ms,
            output_path=self.output_path,
            workdir=self.workdir,
            note=self.note,
            ports=self.ports,
            log_sizes=self.log_sizes,
            peak_memory_mb=None if exited is None else exited.peak_memory_mb,
            cpu_seconds=None if exited is None else exited.cpu_seconds,
            build_started_ms=self.build_started_ms,
            build_finished_ms=self.build_finished_ms,
            build_from_cache=self.build_from_cache,
            image_tag=self.image_tag,
            worker_fault=ending is not None and ending.worker_fault,
            gpu_ids=() if self.phase in (Phase.EXITED, Phase.ENDED) else self.gpu_ids,
            seal="" if self.launch is None else self.launch.seal,
        )

    def intent(self) -> Intent:
        """What is written down of it."""
        return Intent(
            attempt_id=self.attempt_id,
            launch=self.launch,
            released=self.released,
            stop=self.stop,
            end=self.settled,
            output_path=self.output_path,
            workdir=self.workdir,
            ports=self.ports,
            timer_from_ms=self.timer_from_ms,
            paused_at_ms=self.paused_at_ms,
            build_started_ms=self.build_started_ms,
            build_finished_ms=self.build_finished_ms,
            build_from_cache=self.build_from_cache,
            image_tag=self.image_tag,
        )


def recovered(intent: Intent) -> Attempt:
    """The attempt that an earlier life of the agent wrote down; whether it lives is for the keeper to say."""
    attempt = Attempt(
        intent.attempt_id,
        intent.launch,
        phase=Phase.STARTING if intent.released else Phase.WAITING,
        reason="" if intent.released else "waiting for the coordinator to confirm it",
        written=True,
        released=intent.released,
        stop=intent.stop,
        output_path=intent.output_path,
        workdir=intent.workdir,
        ports=intent.ports,
        timer_from_ms=intent.timer_from_ms,
        paused_at_ms=intent.paused_at_ms,
        build_started_ms=intent.build_started_ms,
        build_finished_ms=intent.build_finished_ms,
        build_from_cache=intent.build_from_cache,
        image_tag=intent.image_tag,
    )
    if intent.end is not None:
        attempt.phase = Phase.ENDED
        attempt.settled = intent.end
        attempt.ending = Ending(intent.end.state, intent.end.exit_code, intent.end.error)
    return attempt
