"""Effects carried out in order, failures of the disk, a clock that is set, logs of all sizes."""

import asyncio
import errno
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from opsconsole_agent import core_runner as core_runner_module
from opsconsole_agent.core.event import AttemptExited, AttemptPrepared, AttemptStarted, LinkUp
from opsconsole_agent.core.intent import PROCESS, Intent
from opsconsole_agent.core.phase import PHASE_MOVES, Move, Phase
from opsconsole_agent.core.reactor import Reactor
from opsconsole_agent.core_runner import CoreRunner
from opsconsole_agent.engine.engine import Settled, StepProgress
from opsconsole_agent.log.shipper import LogShipper
from opsconsole_agent.probe.io_path import OutputCount
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import (
    DesiredSet,
    Forget,
    JobAssignment,
    Launch,
    Message,
    Mode,
    Observed,
    Report,
    SetWant,
    Want,
)
from tests.agent.core.script import desired
from tests.waiting import until

A = AttemptId("a")


class FakeEngine:
    """Prepares at once; remembers everything else it was asked for."""

    name = PROCESS

    def __init__(self) -> None:
        self.core_runner: CoreRunner | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.silent = ""
        self.damaged: Sequence[str] = []
        self.steps: dict[AttemptId, StepProgress] = {}
        self.count: OutputCount | None = None

    def free_port(self) -> int:
        return 31_000

    def prepare(self, attempt_id: AttemptId, launch: Launch) -> None:  # noqa: ARG002
        assert self.core_runner is not None
        self.core_runner.handle_events([AttemptPrepared(attempt_id=attempt_id, at_ms=1)])

    def abandon(self, attempt_id: AttemptId) -> None:
        self.calls.append(("abandon", attempt_id))

    def start(self, attempt_id: AttemptId) -> None:
        self.calls.append(("start", attempt_id))

    def pause(self, attempt_id: AttemptId) -> None:
        self.calls.append(("pause", attempt_id))

    def resume(self, attempt_id: AttemptId) -> None:
        self.calls.append(("resume", attempt_id))

    def ask_to_save(self, attempt_id: AttemptId, signal: str) -> None:
        self.calls.append(("ask_to_save", attempt_id, signal))

    def withdraw_ask(self, attempt_id: AttemptId) -> None:
        self.calls.append(("withdraw_ask", attempt_id))

    def terminate(self, attempt_id: AttemptId, grace_ms: int) -> None:
        self.calls.append(("terminate", attempt_id, grace_ms))

    def kill(self, attempt_id: AttemptId) -> None:
        self.calls.append(("kill", attempt_id))

    def settle(
        self,
        attempt_id: AttemptId,  # noqa: ARG002
        launch: Launch | None,  # noqa: ARG002
        output_path: str | None,  # noqa: ARG002
        *,
        all_gone: bool,  # noqa: ARG002
        then: Settled,
    ) -> None:
        then(self.count)

    def forget(self, attempt_id: AttemptId, launch: Launch | None = None) -> None:  # noqa: ARG002
        self.calls.append(("forget", attempt_id))

    def publish(self, output_path: str) -> None:
        self.calls.append(("publish", output_path))

    async def pids(self) -> dict[AttemptId, list[int]]:
        if self.silent:
            raise Unavailable("no answer")
        return {}

    def unresponsive_because(self) -> str:
        return self.silent

    def damage(self) -> Sequence[str]:
        return self.damaged

    def progress(self) -> dict[AttemptId, StepProgress]:
        return self.steps

    async def run(self) -> None:
        pass

    def readopt(self, intent: Intent, *, host_restarted: bool) -> None:
        self.calls.append(("readopt", intent.attempt_id, host_restarted))


class FakeLink:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def allow_shipping(self) -> None:
        pass

    def wake_shipping(self) -> None:
        pass

    def observed(self) -> list[Observed]:
        """What was reported, in order."""
        return [one for message in self.sent if isinstance(message, Report) for one in message.attempts]


class Stage:
    """A core_runner between a core and fakes, connected."""

    def __init__(self, tmp_path: Path) -> None:
        self.state = StateFolder(tmp_path)
        self.shipper = LogShipper()
        self.core_runner = CoreRunner(Reactor(2, PROCESS), self.state, self.shipper)
        self.engine, self.link = FakeEngine(), FakeLink()
        self.engine.core_runner = self.core_runner
        self.core_runner.engine, self.core_runner.link = self.engine, self.link
        self.core_runner.begin_exchange()
        self.core_runner.handle_events([LinkUp(), DesiredSet(seq=1)])
        self.seq = 1

    def assign(self, attempt_id: str, **launch: Any) -> None:
        self.seq += 1
        self.core_runner.handle_events([JobAssignment(seq=self.seq, desired=desired(attempt_id, **launch))])


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_the_intent_is_on_disk_when_the_start_is_asked_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Intent, ...]] = []
    monkeypatch.setattr(stage.engine, "start", lambda _: seen.append(StateFolder(stage.state.path).load()[0]))
    stage.assign("a")
    assert [[(intent.attempt_id, intent.released) for intent in intents] for intents in seen] == [[("a", True)]]


async def test_without_a_record_nothing_is_started(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Intent) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stage.state, "write_intent", full)
    stage.assign("a")
    assert stage.engine.calls == []
    (observed,) = stage.link.observed()
    assert observed.state == "failed"
    assert observed.error.startswith("it was not started, for the worker can't keep a record of it (No space left")
    monkeypatch.undo()
    stage.assign("b")
    assert stage.engine.calls == [("start", "b")]


async def test_a_start_and_an_end_in_one_batch_are_one_report(stage: Stage) -> None:
    stage.assign("a")
    stage.core_runner.handle_events(
        [AttemptStarted(attempt_id=A, at_ms=5), AttemptExited(attempt_id=A, at_ms=6, exit_code=0, started_at_ms=5)]
    )
    (observed,) = stage.link.observed()
    assert (observed.state, observed.started_at_ms, observed.finished_at_ms) == ("succeeded", 5, 6)
    stage.core_runner.handle_events([Forget(seq=9, attempt_ids=(A,))])
    assert stage.engine.calls[-1] == ("forget", "a")
    assert StateFolder(stage.state.path).load() == ((), ())


async def test_what_follows_a_report_closely_is_reported_together(stage: Stage) -> None:
    stage.assign("a")
    stage.core_runner.handle_events([AttemptStarted(attempt_id=A, at_ms=5)])
    assert [one.state for one in stage.link.observed()] == ["running"]
    stage.core_runner.handle_events([AttemptExited(attempt_id=A, at_ms=6, exit_code=0)])
    stage.assign("b")
    stage.core_runner.handle_events([AttemptStarted(attempt_id=AttemptId("b"), at_ms=6)])
    assert len(stage.link.sent) == 1
    await until(lambda: len(stage.link.sent) > 1)
    assert [one.state for one in stage.link.observed()] == ["running", "succeeded", "running"]
    assert len(stage.link.sent) == 2


async def test_the_size_of_a_log_is_told_with_the_end(stage: Stage) -> None:
    stage.assign("a")
    stage.core_runner.handle_events([AttemptStarted(attempt_id=A, at_ms=5)])
    folder = Path(stage.state.folder(A))
    (folder / "stdout").write_text("four")
    (folder / "stderr").write_text("torch.cuda.OutOfMemoryError: CUDA out of memory\n")
    stage.core_runner.handle_events([AttemptExited(attempt_id=A, at_ms=6, exit_code=1)])
    await until(lambda: stage.link.observed()[-1].finished_at_ms is not None)
    observed = stage.link.observed()[-1]
    assert observed.log_sizes == {"stdout": 4, "stderr": 48}
    assert observed.error == "exit code 1: ran out of GPU memory"


async def test_an_empty_log_is_never_opened(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.shipper, "watch", lambda *_: pytest.fail("watched"))
    stage.assign("a")
    stage.core_runner.handle_events([AttemptStarted(attempt_id=A, at_ms=5)])
    for name in ("stdout", "stderr"):
        (Path(stage.state.folder(A)) / name).touch()
    stage.core_runner.handle_events([AttemptExited(attempt_id=A, at_ms=6, exit_code=0)])
    assert stage.link.observed()[-1].log_sizes == {}


async def test_a_task_that_goes_on_is_followed(stage: Stage) -> None:
    stage.assign("a")
    stage.core_runner.handle_events([AttemptStarted(attempt_id=A, at_ms=5)])
    (Path(stage.state.folder(A)) / "stdout").write_text("a line\n")
    await until(lambda: stage.shipper.next_poll_ms is not None)
    (chunk,) = stage.shipper.poll(10**12)
    assert (chunk.attempt_id, chunk.data) == ("a", b"a line\n")


async def test_a_deadline_comes_without_anything_else_happening(stage: Stage) -> None:
    stage.assign("a", timeout_ms=50)
    now_ms = core_runner_module._clocks()[0]
    stage.core_runner.handle_events([AttemptStarted(attempt_id=A, at_ms=now_ms)])
    await until(lambda: ("terminate", "a", 5_000) in stage.engine.calls)


async def test_a_clock_that_is_set_is_not_time_that_passed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    wall_ms, monotonic_ms = core_runner_module._clocks()
    stage.assign("a", timeout_ms=60_000)
    stage.core_runner.handle_events([AttemptStarted(attempt_id=A, at_ms=wall_ms)])
    monkeypatch.setattr(core_runner_module, "_clocks", lambda: (wall_ms + 3_600_000, monotonic_ms + 10))
    stage.core_runner.handle_events([LinkUp()])
    await asyncio.sleep(0)
    assert ("terminate", "a", 5_000) not in stage.engine.calls
    due_ms = stage.core_runner.reactor.next_deadline_ms()
    assert due_ms is not None
    assert abs(due_ms - (wall_ms + 3_660_000)) < 1_000


async def test_an_impossible_event_is_logged_and_the_next_one_counts(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.assign("a")
    with caplog.at_level(logging.WARNING):
        stage.core_runner.handle_events(
            [AttemptStarted(attempt_id=AttemptId("ghost"), at_ms=1), AttemptStarted(attempt_id=A, at_ms=1)]
        )
    assert "ghost" in caplog.text
    assert stage.link.observed()[-1].state == "running"


async def test_an_illegal_decision_is_logged_with_the_story_and_the_attempt_goes_on(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PHASE_MOVES, Phase.RUNNING, {Move.EXITED: Phase.EXITED})
    stage.assign("a")
    want = SetWant(seq=stage.seq + 1, attempt_id=A, want=Want(mode=Mode.PAUSE))
    stage.core_runner.handle_events([AttemptStarted(attempt_id=A, at_ms=1), want])
    (fault,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert re.search("a fault .*: 'pause' for a, which is running: .*assigned.*started.*wanted: pause", fault)
    assert ("pause", "a") not in stage.engine.calls
    stage.core_runner.handle_events([AttemptExited(attempt_id=A, at_ms=2, exit_code=0)])
    (observed,) = stage.core_runner.reactor.observed()
    assert observed.state == "succeeded"


async def test_what_an_earlier_life_wrote_is_told_to_the_core(stage: Stage, tmp_path: Path) -> None:
    stage.assign("a")
    again = CoreRunner(Reactor(2, PROCESS), StateFolder(tmp_path), LogShipper())
    again.engine, again.link = FakeEngine(), FakeLink()
    assert [intent.attempt_id for intent in again.recover()] == ["a"]
    assert [attempt.attempt_id for attempt in again.reactor.expected()] == ["a"]
