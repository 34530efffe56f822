"""The keys for jobs, wherever jobs are shown, and the actions behind them."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from opsconsole_console.model import plan as verbs
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.service.shell import Shell
from opsconsole_protocol.api import JobRow, Where

JOB_VERBS = frozenset(
    {"job_pause", "job_cancel", "job_retry", "job_hold", "job_priority", "job_again", "job_shell", "job_move"}
)
"""Actions that change something: not there in a read-only console."""

_OFFERED = frozenset({"pause", "cancel", "retry", "again", "hold"})

JOB_BINDINGS: list[Binding] = [
    Binding("n", "app.new_job", "New", tooltip="A new job", id="job.new"),
    Binding("l", "job_logs", "Logs", tooltip="Follow the log beside the tables", id="job.logs"),
    Binding("p", "job_pause", "Pause", tooltip="Pause what runs, resume what is paused", id="job.pause"),
    Binding("c", "job_cancel", "Cancel", tooltip="End it, after a question", id="job.cancel"),
    Binding("w", "job_why", "Why", tooltip="Why it stands where it stands", id="job.why"),
    Binding(
        "b",
        "job_graph",
        "Before and after",
        show=False,
        tooltip="What it waits for, and what waits for it",
        id="job.graph",
    ),
    Binding("d", "job_describe", "Describe", show=False, tooltip="The whole spec", id="job.describe"),
    Binding("e", "job_again", "Again", show=False, tooltip="A new job from this one, with changes", id="job.again"),
    Binding("r", "job_retry", "Retry", show=False, tooltip="Run what failed again", id="job.retry"),
    Binding("h", "job_hold", "Hold", show=False, tooltip="Hold what waits, release what is held", id="job.hold"),
    Binding("plus", "job_priority(1)", "Priority up", show=False, key_display="+", id="job.priority_up"),
    Binding("minus", "job_priority(-1)", "Priority down", show=False, key_display="-", id="job.priority_down"),
    Binding(
        "less_than_sign",
        "job_move('earlier')",
        "Earlier",
        show=False,
        key_display="<",
        tooltip="One place earlier among the waiting jobs of this person, project and priority; marked ones together",
        id="job.earlier",
    ),
    Binding(
        "greater_than_sign",
        "job_move('later')",
        "Later",
        show=False,
        key_display=">",
        tooltip="One place later among them",
        id="job.later",
    ),
    Binding("u", "job_metrics", "Curves", show=False, tooltip="What it has reported, as curves", id="job.metrics"),
    Binding(
        "v",
        "job_compare",
        "Compare",
        show=False,
        tooltip="Its tasks, or the marked ones, side by side",
        id="job.compare",
    ),
    Binding("s", "job_sweep", "Sweep", show=False, tooltip="Its tasks as a grid by their parameters", id="job.sweep"),
    Binding("f", "job_files", "Files", show=False, tooltip="What it wrote, and where it ran", id="job.files"),
    Binding("i", "job_shell", "Shell", show=False, tooltip="A shell in it while it runs", id="job.shell"),
    Binding("y", "job_copy", "Copy id", show=False, id="job.copy_id"),
    Binding("Y", "job_copy_path", "Copy output path", show=False, id="job.copy_path"),
]

_BY_ID = {binding.id: binding for binding in JOB_BINDINGS}


def job_bindings(*ids: str, show: bool) -> list[Binding]:
    """The keys of jobs with these ids, all of them in the footer or none."""
    return [replace(_BY_ID[one], show=show) for one in ids]


class JobActions(Widget):
    """Mix into what shows jobs; `selected_jobs` says which ones are meant."""

    BINDINGS: ClassVar[list[BindingType]] = [*JOB_BINDINGS]

    def selected_jobs(self) -> Sequence[JobRow]:
        """The marked jobs, or else the one under the cursor."""
        raise NotImplementedError

    def offered_jobs(self) -> Sequence[JobRow]:
        """Those of them, all or some, by which the footer is told what to offer."""
        return self.selected_jobs()

    def unmark_jobs(self, job_ids: Collection[str]) -> None:
        """Take the marks off jobs that something was done with."""

    def let_job_go(self) -> None:
        """The job under the cursor is about to be moved: where it stands in a table, it goes there."""

    def offers(self, action: str) -> bool | None:
        """Whether the footer shows a key for this action now; None: as the binding says."""
        verb = action.removeprefix("job_")
        if verb not in _OFFERED:
            return None
        jobs = self.offered_jobs()
        return verb in verbs.fitting_verbs(jobs) if jobs else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide verbs from those who may only look."""
        if action in JOB_VERBS and shell(self).read_only:
            return False
        return super().check_action(action, parameters)

    def action_job_pause(self) -> None:
        self._carry_out(shell(self).operations.pause)

    def action_job_cancel(self) -> None:
        self._carry_out(shell(self).operations.cancel)

    def action_job_retry(self) -> None:
        self._carry_out(shell(self).operations.retry)

    def action_job_hold(self) -> None:
        self._carry_out(shell(self).operations.hold)

    def action_job_priority(self, by: int) -> None:
        self._carry_out(lambda jobs: shell(self).operations.change_priority(jobs, by))

    def action_job_move(self, where: str) -> None:
        self.let_job_go()
        self._carry_out(lambda jobs: shell(self).operations.move(jobs, Where(where)), keeps_marks=True)

    def action_job_logs(self) -> None:
        for job in self.selected_jobs():
            shell(self).navigation.open_logs(job.id)

    def action_job_why(self) -> None:
        if (job := self._first_selected()) is not None:
            shell(self).navigation.open("why", job.id)

    def action_job_graph(self) -> None:
        if (job := self._first_selected()) is not None:
            shell(self).navigation.open("graph", job.id)

    def action_job_describe(self) -> None:
        if (job := self._first_selected()) is not None:
            shell(self).navigation.open("spec", job.id)

    def action_job_again(self) -> None:
        if (job := self._first_selected()) is not None:
            shell(self).navigation.open("again", job.id)

    def selected_runs(self) -> Sequence[str]:
        """Ids of the jobs, or of tasks, whose metrics are meant."""
        return [job.id for job in self.selected_jobs()]

    def action_job_metrics(self) -> None:
        if ids := self.selected_runs():
            shell(self).navigation.open("metrics", " ".join(ids))

    def action_job_compare(self) -> None:
        if ids := self.selected_runs():
            shell(self).navigation.open("compare", " ".join(ids))

    def action_job_sweep(self) -> None:
        job = self._first_selected()
        if job is None:
            return
        if job.num_tasks == 1:
            shell(self).say(f"{job.name} has one task: a sweep has several", "warning")
        else:
            shell(self).navigation.open("sweep", job.id)

    def action_job_files(self) -> None:
        if (job := self._first_selected()) is not None:
            shell(self).navigation.open("files", job.id)

    def action_job_shell(self) -> None:
        if (job := self._first_selected()) is not None:
            shell(self).do(lambda: _opened(shell(self), job.id))

    def action_job_copy(self) -> None:
        if jobs := self.selected_jobs():
            shell(self).copy(" ".join(job.id for job in jobs), "the id of " + jobs[0].name if len(jobs) == 1 else "ids")

    def action_job_copy_path(self) -> None:
        job = self._first_selected()
        if job is None:
            return
        if job.output_path is None:
            several = "its tasks have one each: open it with enter" if job.num_tasks > 1 else "it hasn't started"
            shell(self).say(f"{job.name} has no output folder: {several}", "warning")
            return
        shell(self).copy(job.output_path, "the output path")

    def _first_selected(self) -> JobRow | None:
        jobs = self.selected_jobs()
        return jobs[0] if jobs else None

    def _carry_out(self, do: Callable[[Sequence[JobRow]], Awaitable[bool]], *, keeps_marks: bool = False) -> None:
        """`keeps_marks`: for a verb that is often pressed several times."""
        jobs = self.selected_jobs()

        async def carried_out() -> None:
            if await do(jobs) and not keeps_marks:
                self.unmark_jobs({job.id for job in jobs})

        if jobs:
            shell(self).do(carried_out)


async def _opened(console: Shell, task: str) -> None:
    console.open_shell(task)
