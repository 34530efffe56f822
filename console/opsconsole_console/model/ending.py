"""How a job came to its end, in words. Pure."""

from collections import Counter
from collections.abc import Sequence

from opsconsole_console import format as fmt
from opsconsole_protocol.api import AttemptRow, JobDetail, TaskRow
from opsconsole_protocol.state import TaskState

_FAILED = (TaskState.FAILED, TaskState.WORKER_FAILED, TaskState.UNSCHEDULABLE)
_NAMED = 8


def first_to_fail(tasks: Sequence[TaskRow]) -> TaskRow | None:
    """The task that failed first, or where none did, one that was stopped."""
    for states in (_FAILED, (TaskState.KILLED, TaskState.PREEMPTED)):
        ended = [task for task in tasks if task.state in states]
        if ended:
            return min(ended, key=lambda task: (task.finished_at_ms or 0, task.index))
    return tasks[0] if tasks else None


def ending_words(detail: JobDetail) -> list[str]:
    """Sentences: what happened, what to do or what that means, where and after how long, and what became of the others."""
    job, task = detail.job, first_to_fail(detail.tasks)
    if task is None:
        return [job.reason or fmt.state_word(job.state)]
    last = task.attempts[-1] if task.attempts else None
    sentences = [task.error or job.reason or fmt.state_word(task.state)]
    if task.hint:
        sentences.append(task.hint)
    sentences.append(_where(detail, task, last))
    if job.num_tasks > 1:
        sentences.append(_others(detail))
    return sentences


def _where(detail: JobDetail, task: TaskRow, last: AttemptRow | None) -> str:
    parts = [f"task {task.index}"] if detail.job.num_tasks > 1 else []
    if last is None:
        return "  ".join([*parts, "it never started"])
    parts.append(f"on {last.worker}")
    if last.started_at_ms is not None and last.finished_at_ms is not None:
        parts.append(f"after {fmt.duration(last.finished_at_ms - last.started_at_ms, figures=2)}")
    if last.peak_memory_mb:
        parts.append(f"with up to {fmt.used_memory(last.peak_memory_mb)} of memory")
    if len(task.attempts) > 1:
        parts.append(f"the last of {fmt.count(len(task.attempts))} attempts")
    elif not detail.spec.max_retries_failure:
        parts.append("no retries were asked for")
    return ", ".join(parts)


def _others(detail: JobDetail) -> str:
    counts = Counter(task.state for task in detail.tasks)
    parts = []
    for state in _FAILED:
        indexes = [str(task.index) for task in detail.tasks if task.state == state]
        if indexes:
            more = f" and {len(indexes) - _NAMED} more" if len(indexes) > _NAMED else ""
            parts.append(f"{len(indexes)} {fmt.state_word(state)}: task {', '.join(indexes[:_NAMED])}{more}")
    parts += [f"{number} {fmt.state_word(state)}" for state, number in counts.items() if state not in _FAILED]
    return f"of {fmt.plural(detail.job.num_tasks, 'task')} " + "; ".join(parts)
