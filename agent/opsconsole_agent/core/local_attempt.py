"""What the core knows about one attempt, and how it is shown to the coordinator."""

from dataclasses import dataclass, field

from opsconsole_agent.core.ending import Ending
from opsconsole_agent.core.event import AttemptExited
from opsconsole_agent.core.intent import Intent, Stop
from opsconsole_agent.core.phase import OVER, PHASE_MOVES, Move, Phase
from opsconsole_protocol.bound import cut
from opsconsole_protocol.dataset import FoundDataset
from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch, Mode, Observed, Want
from opsconsole_protocol.state import AttemptState

_STORY_LENGTH_MAX = 30


@dataclass(slots=True, eq=False)
class LocalAttempt:
    """One attempt as it stands on this worker.

    `engine`: what starts it, or started it. `is_foreign`: this agent doesn't have that engine. `want` is None until the
    coordinator has said, in this life of the agent, what it wants. `is_written`: it would survive a restart.
    `may_have_started`: its engine may have been asked to start it. `is_paused`: as its engine said last. `is_asked_to_save`: by this life of the agent. `was_killed`: KILL
    was asked for. `is_unrecorded`: its engine doesn't know how it ended. `own_end`: an end that only we know.
    """

    attempt_id: AttemptId
    launch: Launch | None
    engine: str
    phase: Phase = Phase.WAITING
    is_foreign: bool = False
    want: Want | None = None
    reason: str = ""
    damage: str = ""
    is_written: bool = False
    may_have_started: bool = False
    is_paused: bool = False
    is_asked_to_save: bool = False
    stop: Stop | None = None
    was_killed: bool = False
    is_unrecorded: bool = False
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
    datasets: tuple[FoundDataset, ...] = ()
    output_files: int | None = None
    output_bytes: int | None = None
    exited: AttemptExited | None = None
    ending: Ending | None = None
    own_end: Observed | None = None
    log_sizes: dict[str, int] = field(default_factory=dict)
    history: list[tuple[int, str]] = field(default_factory=list)

    # --- its phase -------------------------------------------------------------------------------------------------

    def check(self, move: Move) -> Phase:
        """The phase that the move leads to; raises IllegalTransition, with the recent story, where there is none."""
        phase = PHASE_MOVES[self.phase].get(move)
        if phase is None:
            raise IllegalTransition(f"'{move}' for {self.attempt_id}, which is {self.phase}: {self.story}")
        return phase

    def move(self, move: Move, now_ms: int, detail: str = "") -> None:
        """Go to another phase; raises IllegalTransition, and nothing has changed, where the table has no such move."""
        self.phase = self.check(move)
        self.add_to_story(now_ms, f"{move}: {detail}" if detail else move)

    def add_to_story(self, now_ms: int, text: str) -> None:
        """Note what an illegal move will be explained with."""
        self.history.append((now_ms, text))
        if len(self.history) > 2 * _STORY_LENGTH_MAX:
            del self.history[:-_STORY_LENGTH_MAX]

    @property
    def story(self) -> str:
        """What happened to it lately, the oldest first."""
        return "; ".join(f"{at_ms} {text}" for at_ms, text in self.history)

    @property
    def mode(self) -> Mode | None:
        """What is wanted of it, if that is known."""
        return None if self.want is None else self.want.mode

    @property
    def gpu_ids(self) -> tuple[str, ...]:
        """The GPUs that it has for itself."""
        return () if self.launch is None else self.launch.gpu_ids

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
        if self.started_at_ms is not None or (self.is_foreign and self.may_have_started):
            return AttemptState.PAUSED if self.is_paused else AttemptState.RUNNING
        return AttemptState.ASSIGNED if self.build_started_ms is None else AttemptState.BUILDING

    def observed(self) -> Observed:
        """How it is reported."""
        if self.own_end is not None:
            return self.own_end
        exited, ending = (self.exited, self.ending) if self.phase is Phase.ENDED else (None, None)
        return Observed(
            attempt_id=self.attempt_id,
            state=self.state,
            reason=cut(self.reason),
            exit_code=None if ending is None else ending.exit_code,
            signal=None if exited is None else exited.signal,
            exit_known=exited is None or exited.exit_known,
            error="" if ending is None else cut(ending.error),
            hint="" if ending is None else cut(ending.hint),
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
            datasets=self.datasets,
            output_files=self.output_files,
            output_bytes=self.output_bytes,
            worker_fault=ending is not None and ending.worker_fault,
            cause="" if ending is None else ending.cause,
            gpu_ids=() if self.phase in OVER else self.gpu_ids,
            seal="" if self.launch is None else self.launch.seal,
        )

    def intent(self) -> Intent:
        """What is written down of it."""
        return Intent(
            attempt_id=self.attempt_id,
            launch=self.launch,
            engine=self.engine,
            released=self.may_have_started,
            stop=self.stop,
            end=self.own_end,
            output_path=self.output_path,
            workdir=self.workdir,
            ports=self.ports,
            timer_from_ms=self.timer_from_ms,
            paused_at_ms=self.paused_at_ms,
            build_started_ms=self.build_started_ms,
            build_finished_ms=self.build_finished_ms,
            build_from_cache=self.build_from_cache,
            image_tag=self.image_tag,
            datasets=self.datasets,
        )


def recovered(intent: Intent) -> LocalAttempt:
    """The attempt that an earlier life of the agent wrote down; whether it lives is for its engine to say."""
    attempt = LocalAttempt(
        intent.attempt_id,
        intent.launch,
        intent.engine,
        phase=Phase.STARTING if intent.released else Phase.WAITING,
        reason="" if intent.released else "waiting for the coordinator to confirm it",
        is_written=True,
        may_have_started=intent.released,
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
        datasets=intent.datasets,
    )
    if intent.end is not None:
        attempt.phase = Phase.ENDED
        attempt.own_end = intent.end
        end = intent.end
        attempt.ending = Ending(end.state, end.exit_code, end.error, end.cause, hint=end.hint)
    return attempt
