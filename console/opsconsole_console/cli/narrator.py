"""What `submit` and `run` tell the person on stderr, from a job's submission to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from opsconsole_console import format as fmt
from opsconsole_console.cli.listing import io_lines
from opsconsole_console.cli.wait import estimate
from opsconsole_protocol.state import TaskState

if TYPE_CHECKING:
    from opsconsole_protocol.api import Candidates, JobDetail, JobRow, TaskRow, Verdict, WorkerRow

_PROGRESS_STEP = 0.05
_FAILURES_SHOWN = 5


class Narrator:
    """Tells each thing once. `say` takes a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = ""
        self._progress = 0.0

    def candidates(self, answer: Candidates, workers: list[WorkerRow], *, is_reserved: bool = False) -> None:
        """Who would take the job, and who will: for sure where its offer is reserved."""
        rows = {row.id: row for row in workers}
        willing = [verdict for verdict in answer.verdicts if verdict.accepted]
        if not answer.verdicts:
            self._say("Found no workers: the job waits; `opsconsole invite` prints the line that joins one")
            return
        if not willing:
            self._say(f"Found {fmt.plural(len(answer.verdicts), 'worker')}, none takes the job now; it waits:")
            for verdict in answer.verdicts[:_FAILURES_SHOWN]:
                self._say(f"  - {verdict.worker}: {verdict.reason}")
            return
        self._say(f"Found {len(willing)} available {'worker' if len(willing) == 1 else 'workers'}:")
        for verdict in willing[:_FAILURES_SHOWN]:
            self._say(f"  - {verdict.worker}{_about(verdict, rows.get(verdict.worker_id))}")
        if len(willing) > _FAILURES_SHOWN:
            self._say(f"  - and {len(willing) - _FAILURES_SHOWN} more")
        for verdict in [one for one in answer.verdicts if not one.accepted][:_FAILURES_SHOWN]:
            self._say(f"  - {verdict.worker} declined: {verdict.reason}")
        reserved = ", reserved for it" if is_reserved else ""
        self._say(
            f"Selected {answer.chosen} ({answer.because}){reserved}" if answer.chosen else f"Placement: {answer.text}"
        )
        chosen = rows.get(willing[0].worker_id)
        if chosen is not None:
            for line in io_lines(chosen):
                self._say(line)

    def submitted(self, row: JobRow) -> None:
        """The coordinator has it."""
        tasks = "" if row.num_tasks == 1 else f", {fmt.plural(row.num_tasks, 'task')}"
        self._say(f"Submitted {row.id} ({row.name}{tasks})")

    def moved(self, row: JobRow) -> bool:
        """Tell of the job as it stands now, if that differs from the last time. Return whether something was told."""
        where = f" on {row.worker}" if row.worker else ""
        reason = f": {row.reason}" if row.reason and row.state != TaskState.RUNNING else ""
        line = f"{fmt.state_word(row.state).capitalize()}{where}{reason}"
        is_new = line != self._last
        if is_new:
            self._last = line
            self._say(line)
            if row.state == TaskState.RUNNING and row.output_path:
                self._say(f"  Output: {row.output_path}")
        progress = row.progress or 0.0
        if row.num_tasks > 1 and progress >= self._progress + _PROGRESS_STEP:
            self._progress = progress
            ended = round(progress * row.num_tasks)
            self._say(f"Progress: {100 * progress:.1f}% - {ended} of {row.num_tasks} tasks done")
            return True
        return is_new

    def ended(self, detail: JobDetail) -> None:
        """How it ended, for how long it ran, and where the results are."""
        row = detail.job
        if row.state == TaskState.SUCCEEDED:
            self._say("Job completed successfully!")
        else:
            self._say(f"Job {fmt.state_word(row.state)}{': ' + row.reason if row.reason else ''}")
            failing = [task for task in detail.tasks if task.state != TaskState.SUCCEEDED]
            for task in failing[:_FAILURES_SHOWN]:
                self._say(f"  - {task.id}: {ending(task)}")
                if task.hint:
                    self._say(f"    hint: {task.hint}")
            if len(failing) > _FAILURES_SHOWN:
                self._say(f"  - and {len(failing) - _FAILURES_SHOWN} more: opsconsole show {row.id}")
        if row.started_at_ms is not None and row.finished_at_ms is not None:
            self._say(f"Duration: {fmt.duration(row.finished_at_ms - row.started_at_ms, figures=2)}")
        if row.output_path:
            self._say(f"Output: {row.output_path}")


def ending(task: TaskRow) -> str:
    """How a task ended, in words."""
    error = task.error or task.reason
    if not error and task.exit_code is not None:
        error = f"exit code {task.exit_code}"
    where = f" on {task.worker}" if task.worker else ""
    return f"{fmt.state_word(task.state)}{where}{': ' + error if error else ''}"


def _about(verdict: Verdict, row: WorkerRow | None) -> str:
    parts: list[str] = []
    if row is not None and row.gpus:
        first = row.gpus[0]
        memory = f"{fmt.gibibytes(first.memory_total_mb)}GB, " if first.memory_total_mb is not None else ""
        parts.append(f"{memory}{first.name}" if len(row.gpus) == 1 else f"{len(row.gpus)} × {memory}{first.name}")
    parts += [words for words in (verdict.input, verdict.supply) if words]
    if text := estimate(verdict):
        parts.append(text)
    return f" ({', '.join(parts)})" if parts else ""
