"""Checkpoints: what tasks save, when the coordinator hears of it, and what it has copies of.

A task that saves counts its steps. Its checkpoint is its step; from where an attempt goes on says the last part of a path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from opsconsole_coordinator.core.checkpoint import CopyCheckpoint
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.link import Launch
from opsconsole_protocol.report import Checkpoint, Reported
from tests.simulation.coordinator import EPOCH_MS, Life
from tests.simulation.host import Host, Process
from tests.simulation.virtual import Loop

REPORT_MS = 400
COPY_MS = 900


def step_of(path: str) -> int:
    """The step of a checkpoint."""
    return int(path.rpartition("-")[2])


def resumed_step(launch: Launch) -> int:
    """The step from which an attempt goes on; 0: from the beginning."""
    return 0 if launch.resume is None else step_of(launch.resume.path)


def tree_of(attempt_id: AttemptId, step: int) -> ContentId:
    """The name of a checkpoint's copy."""
    return ContentId(f"{attempt_id}-{step}".encode().hex().ljust(64, "0")[:64])


@dataclass
class Saving:
    """The way of checkpoints to the coordinator."""

    loop: Loop
    say: Callable[[str], None]
    keep: Callable[[ContentId], None]
    """The coordinator has a tree from now on."""
    is_up: Callable[[str], bool] = lambda _: False
    life: Life | None = None

    def born(self, life: Life) -> None:
        """A coordinator has started, or built its fleet anew."""
        self.life = life
        life.commit_loop.on_checkpoints = partial(self._copy_all, life)

    def saved(self, host: Host, process: Process, step: int) -> None:
        """A task has saved a checkpoint. What it reports of that is shipped as its log is: once its host is connected."""
        launch = process.launch
        path = f"/out/jobs/{launch.job_id}/task-{launch.task_index}-{step}"
        checkpoint = Checkpoint(path, step, EPOCH_MS + self.loop.now_ms)
        self.loop.at(REPORT_MS, partial(self._report, host, process.attempt_id, checkpoint))

    def _report(self, host: Host, attempt_id: AttemptId, checkpoint: Checkpoint) -> None:
        life = self.life
        if life is None or not life.is_serving or not self.is_up(host.name):
            if attempt_id in host.disk.intents:
                self.loop.at(REPORT_MS, partial(self._report, host, attempt_id, checkpoint))
            return
        life.commit_loop.reactor.on_reported(
            attempt_id, Reported(checkpoint=checkpoint), life.commit_loop.clock.now_ms()
        )
        life.commit_loop.changed()

    def _copy_all(self, life: Life, wanted: list[CopyCheckpoint]) -> None:
        for number, one in enumerate(wanted):
            self.loop.at(COPY_MS * (number + 1), partial(self._copy, life, one))

    def _copy(self, life: Life, wanted: CopyCheckpoint) -> None:
        if life is not self.life or not life.is_serving:
            return  # whoever wanted it is dead
        reactor, now_ms = life.commit_loop.reactor, life.commit_loop.clock.now_ms()
        if not self.is_up(str(wanted.worker_id)):
            reactor.on_checkpoint_failed(wanted, "the connection was lost", now_ms, is_final=False)
        else:
            step = step_of(wanted.latest.checkpoint.path)
            tree = tree_of(wanted.latest.attempt_id, step)
            self.keep(tree)
            is_wanted = reactor.on_checkpoint_copied(wanted, tree, 1, now_ms)
            self.say(f"the coordinator has a copy of step {step} of {wanted.latest.attempt_id}: wanted {is_wanted}")
        life.commit_loop.changed()
