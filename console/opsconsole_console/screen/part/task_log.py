"""The log of the task under the cursor."""

from dataclasses import dataclass

from textual.message import Message
from textual.timer import Timer

from opsconsole_console.model.log_target import LogTarget
from opsconsole_console.screen.part.log_pane import LogPane
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.screen.part.task_line import TaskLine
from opsconsole_protocol.api import LogAnswer
from opsconsole_protocol.state import AttemptState

REST_S = 0.15
"""How long the cursor rests on a task before its log is asked for: with the key held down, it passes a hundred of them."""

_FAILED = frozenset({AttemptState.FAILED, AttemptState.WORKER_FAILED})
_ELSEWHERE = frozenset({"close", "split", "open_job"})
"""What only a pane of the first screen can do."""


class TaskLog(LogPane):
    """A log pane that goes with a cursor. A task that failed is shown where it failed, one at work at its end."""

    @dataclass
    class Stepped(Message):
        """The task `step` rows further down is wanted."""

        step: int

    def __init__(self, job_id: str, name: str, num_tasks: int, *, number: int) -> None:
        only = 0 if num_tasks == 1 else None
        super().__init__(LogTarget(job_id, name, num_tasks, only), number=number)
        self.title = "Log"
        self._wanted: LogTarget | None = None
        self._rest: Timer | None = None
        self._is_placed = False

    def follow(self, target: LogTarget) -> None:
        if target.task_index is None:
            return  # the one under the cursor is told as soon as there is a cursor
        self._is_placed = False
        super().follow(target)

    def show_task(self, line: TaskLine, name: str, num_tasks: int) -> None:
        """Show the log of the task or attempt under the cursor once the cursor rests there."""
        attempt = None if line.attempt is None else line.attempt.attempt
        wanted = LogTarget(self.target.job_id, name, num_tasks, line.task.index, attempt)
        if wanted == self._wanted:
            return
        if self._rest is not None:
            self._rest.stop()
        is_first, self._wanted = self._wanted is None, wanted
        if is_first:
            self._follow_wanted()
        else:
            self._rest = self.set_timer(REST_S, self._follow_wanted)

    def _follow_wanted(self) -> None:
        if self._wanted is not None and (self._wanted != self.target or self.target.task_index is None):
            self.subject = f"task {self._wanted.task_index}"
            self.follow(self._wanted)

    def show_place(self, answer: LogAnswer) -> None:
        super().show_place(answer)
        if answer.page.end and answer.attempt_state in _FAILED and not self._is_placed:
            self._is_placed = True
            self.call_later(self._show_failure)  # behind the lines of this answer

    def _show_failure(self) -> None:
        self.view.flush()
        if self.view.following:
            self.view.jump_failure()

    def show_failure(self) -> None:
        """Go to where the failure begins; a log that isn't there yet is shown there as soon as it is."""
        self._is_placed = False
        self.view.action_follow()
        self.view.flush()
        if not self.view.jump_failure():
            shell(self).say("the lines of this log that are here tell of no error", "warning")

    def start_over(self) -> None:
        super().start_over()
        self._is_placed = False

    # -- actions --------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _ELSEWHERE:
            return False
        return super().check_action(action, parameters)

    def action_task(self, step: int) -> None:
        self.post_message(self.Stepped(step))
