"""`opsconsole show ID`: a job with its tasks and events."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from opsconsole.outcome import ran_ms
from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_job, add_json
from opsconsole_console.cli.output import plain, put, put_json, put_table
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.api import CopyState
from opsconsole_protocol.api.template import template_label
from opsconsole_protocol.ids import split_task_id
from opsconsole_protocol.quantity import size_words, spell_duration
from opsconsole_protocol.state import TaskState
from opsconsole_protocol.task_selection import point_words

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import EventRow, JobDetail, JobRow, TaskRow
    from opsconsole_protocol.spec import JobSpec

_EVENTS_SHOWN = 20
_TASKS_SHOWN = 200
_ENDED_AS: dict[str, str] = {
    TaskState.FAILED: "failed", TaskState.KILLED: "was killed", TaskState.PREEMPTED: "was preempted",
    TaskState.WORKER_FAILED: "was lost",
}  # fmt: skip


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("show", show)
    add_job(parser, or_task=True)
    add_json(parser, "one JSON object: the job with tasks, events and spec")


def show(args: argparse.Namespace) -> int:
    """`opsconsole show`."""
    job, index = split_task_id(args.id)

    async def work(client: Client) -> JobDetail:
        if index is None:
            return await client.show(job)
        return await client.show(job, tasks_from=index, tasks_limit=1)

    detail = with_client(args, work)
    if args.json:
        put_json(detail_object(detail))
    else:
        _put_job(detail, index)
        _put_tasks(detail.tasks)
        _put_events(detail)
    return 0


def detail_object(detail: JobDetail) -> dict[str, Any]:
    """A job as `show --json` prints it."""
    found: dict[str, Any] = plain(detail.job)
    found["progress"] = _progress(detail.job)
    del found["advance"]
    tasks: list[dict[str, Any]] = plain(detail.tasks)
    for task in tasks:
        task["resource_usage"] = task["resource_usage"] or {}
    only = detail.tasks[0] if detail.job.num_tasks == 1 and detail.tasks else None
    return found | {
        "metrics": {} if only is None else only.metrics,
        "recognised": () if only is None else only.recognised,
        "checkpoint": None if only is None else plain(only.checkpoint),
        "tasks": tasks,
        "events": plain(detail.events),
        "spec": plain(detail.spec),
        "inputs": plain(detail.inputs),
        "outputs": plain(detail.outputs),
    }


def _progress(row: JobRow) -> dict[str, Any] | None:
    """`{done, total, eta_ms}`; where the tasks don't say what is left, it is estimated from the time so far."""
    advance = row.advance
    if advance is None:
        return None
    eta_ms = advance.eta_ms
    if eta_ms is None and row.state == TaskState.RUNNING and row.started_at_ms is not None and advance.done > 0:
        ran_ms = max(0, time.time_ns() // 1_000_000 - row.started_at_ms)
        eta_ms = round(ran_ms * (advance.total - advance.done) / advance.done)
    return {"done": advance.done, "total": advance.total, "eta_ms": eta_ms}


def _progress_words(row: JobRow) -> str:
    progress = _progress(row)
    if progress is None:
        return ""
    left = "" if progress["eta_ms"] is None else f", about {fmt.duration(progress['eta_ms'], figures=2)} left"
    done, total = progress["done"], progress["total"]
    far = f"{_count(done)} of {_count(total)}"
    if row.num_tasks > 1:
        far = f"{fmt.percent(done / total)} of {fmt.plural(row.num_tasks, 'task')}"
    return f"{far}{left}{_when(row)}"


def _count(number: float) -> str:
    """Whole numbers in full, others to three figures behind the point at most."""
    return f"{number:,.0f}" if number == round(number) else f"{number:,.3f}".rstrip("0")


def _when(row: JobRow) -> str:
    """At what moment a job that does nothing any more was so far."""
    if row.finished_at_ms is not None:
        return f" when it {_ENDED_AS.get(row.state, 'ended')}"
    return " when it was paused" if row.state == TaskState.PAUSED else ""


def _checkpoint_words(task: TaskRow | None) -> str:
    if task is None or task.checkpoint is None:
        return ""
    step = "" if task.checkpoint.step is None else f"step {task.checkpoint.step:g}, "
    saved = task.checkpoint
    where = f" on {saved.worker}" if saved.worker else ""
    copy = "; the coordinator has a copy" if saved.copied else f"; not copied: {saved.note}" if saved.note else ""
    return f"{step}{saved.path}{where}{copy}"


def _command(detail: JobDetail, index: int | None) -> str:
    """What the task that was named runs, or the first, and how many others run something else."""
    import shlex

    spec = detail.spec
    if index is not None:
        return shlex.join(spec.command_of(index))
    return shlex.join(spec.command_of(0)) + (f"   and {detail.job.num_tasks - 1} more" if spec.task_commands else "")


def _hint(detail: JobDetail) -> str:
    """What to do about the failure that ended the job, or its only task's last one."""
    from opsconsole_console.model.ending import first_to_fail

    task = first_to_fail(detail.tasks) if detail.job.finished_at_ms is not None or len(detail.tasks) == 1 else None
    if task is None or task.state == TaskState.SUCCEEDED:
        return ""
    before = (f"attempt {one.attempt}, {one.error}: {one.hint}" for one in reversed(task.attempts) if one.hint)
    return task.hint or next(before, "")


def _ports(tasks: tuple[TaskRow, ...]) -> str:
    """The ports of the only task; of several tasks each row of their table says its own."""
    ports = tasks[0].attempts[-1].ports if len(tasks) == 1 and tasks[0].attempts else {}
    return ", ".join(f"{name} {port}" for name, port in ports.items())


def _put_job(detail: JobDetail, index: int | None) -> None:
    row, spec = detail.job, detail.spec
    now_ms = time.time_ns() // 1_000_000
    only = detail.tasks[0] if len(detail.tasks) == 1 else None
    last = only.attempts[-1] if only is not None and only.attempts else None
    facts = [
        ("Job", f"{row.id}  {row.name}"),
        ("State", f"{row.state}{': ' + row.reason if row.reason else ''}"),
        ("Hint", _hint(detail)),
        ("Project", f"{row.project}, priority {row.priority}"),
        ("Command", _command(detail, index)),
        ("Template", template_label(spec)),
        ("Gang", f"{row.num_tasks} tasks, all at once or none" if spec.gang else ""),
        ("Worker", row.worker or ""),
        ("Input", ", ".join((*spec.inputs, *(upload.words for upload in spec.uploads)))),
        ("Dataset", _datasets(detail)),
        ("Bundle", spec.bundle.words if spec.bundle is not None else ""),
        ("Set-up", spec.setup),
        ("Progress", _progress_words(row)),
        ("Metrics", fmt.metrics(only.metrics, only.recognised) if only is not None else ""),
        ("Saved", _checkpoint_words(only)),
        ("Output", _output(detail, only)),
        ("Collect", _collected(detail)),
        ("Ports", _ports(detail.tasks)),
        ("Ran in", last.workdir or "" if last is not None else ""),
        ("Note", last.note if last is not None else ""),
        ("After", ", ".join(spec.after)),
        ("Failure of", ", ".join(spec.after_failure)),
        ("Any end of", ", ".join(spec.after_any)),
        ("Takes", _takes(detail)),
        ("Needs", ", ".join(filter(None, (fmt.resources(spec.resources), *spec.requirements)))),
        ("Time-out", _limits(spec)),
        ("Submitted", f"{fmt.stamp(row.created_at_ms)} by {row.submitted_by}"),
        (
            "Started",
            ""
            if row.started_at_ms is None
            else f"{fmt.stamp(row.started_at_ms)}, ran {fmt.duration(ran_ms(row, now_ms), figures=2)}",
        ),
        ("Ended", "" if row.finished_at_ms is None else fmt.stamp(row.finished_at_ms)),
    ]
    for name, text in facts:
        if text:
            lines = [text] if isinstance(text, str) else text
            put(f"{name + ':':10} {lines[0]}", *(f"{'':11}{line}" for line in lines[1:]))


def _takes(detail: JobDetail) -> str:
    """The jobs whose results it takes, and what it was given of them."""
    from opsconsole_console.model.job_folder import handed

    given = ", ".join(f"{one.name} ({fmt.size(one.size_bytes)})" for one in handed(detail))
    return f"{', '.join(detail.spec.takes)}{f': given as {given}' if given else ''}"


def _datasets(detail: JobDetail) -> list[str]:
    """A line for each: what each dataset is, by the first task's last attempt that was to use it; and where that isn't known, where it is."""
    attempts = (attempt for task in detail.tasks for attempt in reversed(task.attempts))
    found = {one.where: one.words for one in next((one.datasets for one in attempts if one.datasets), ())}
    return [f"{one.words}: {found[one.shown]}" if one.shown in found else one.words for one in detail.spec.datasets]


def _output(detail: JobDetail, only: TaskRow | None) -> str:
    """Where the results are, and how many."""
    path = detail.outputs.path or (only.output_path if only is not None else None) or ""
    files, size = detail.outputs.files, detail.outputs.bytes
    if files is None:
        return path
    return f"{path}{', ' if path else ''}{fmt.plural(files, 'file')}, {size_words(size or 0)}"


def _collected(detail: JobDetail) -> str:
    """What the coordinator is to keep of the results, and how far it is with that."""
    patterns = ", ".join(detail.spec.collect)
    states = [task.collected for task in detail.tasks if task.collected is not None]
    kept = [one for one in states if one.state == CopyState.KEPT]
    words = [f"{fmt.plural(sum(one.files for one in kept), 'file')} kept, {size_words(sum(one.bytes for one in kept))}"]
    words = words if kept else []
    for state, text in ((CopyState.WANTED, "to come"), (CopyState.FAILED, "failed")):
        those = [one for one in states if one.state == state]
        reason = next((one.reason for one in those if one.reason), "")
        if those:
            words.append(f"{fmt.plural(len(those), 'task')} {text}{': ' + reason if reason else ''}")
    return f"{patterns} ({'; '.join(words)})" if words else patterns


def _limits(spec: JobSpec) -> str:
    limits = ((spec.timeout_ms, "for a task"), (spec.job_timeout_ms, "for the whole job"))
    return ", ".join(f"{spell_duration(limit_ms)} {what}" for limit_ms, what in limits if limit_ms is not None)


def _put_tasks(tasks: tuple[TaskRow, ...]) -> None:
    if not tasks:
        return
    put("")
    header: tuple[str, ...] = ("TASK", "STATE", "WORKER", "ATTEMPT", "EXIT", "TIME", "MEMORY", "WHAT")
    rows = [_task_cells(task) for task in tasks[:_TASKS_SHOWN]]
    more = [("POINT", [point_words(task.parameters) for task in tasks]), ("PRIO", [_priority(task) for task in tasks])]
    for title, values in more:
        if any(values):
            header = (*header[:1], title, *header[1:])
            rows = [(*row[:1], value, *row[1:]) for row, value in zip(rows, values, strict=False)]
    put_table(header, rows)
    if len(tasks) > _TASKS_SHOWN:
        put(f"… and {len(tasks) - _TASKS_SHOWN:,} more (--json prints all)")


def _priority(task: TaskRow) -> str:
    return "" if task.priority is None else str(task.priority)


def _task_cells(task: TaskRow) -> tuple[str, ...]:
    last = task.attempts[-1] if task.attempts else None
    ended = str(task.exit_code) if task.exit_code is not None else ""
    if last is not None and last.signal:
        ended = f"signal {last.signal}"
    used_mb = task.resource_usage.current_memory_mb if task.resource_usage else last.peak_memory_mb if last else None
    return (
        f"task-{task.index}",
        task.state,
        task.worker or "",
        "" if task.attempt is None else str(task.attempt),
        ended,
        fmt.duration(ran_ms(task, time.time_ns() // 1_000_000), figures=2),
        "" if used_mb is None else f"{used_mb:,}M",
        _what(task),
    )


def _what(task: TaskRow) -> str:
    """Why a task stands where it stands; of a killed one also when it ended."""
    words = task.error or task.reason or (task.attempts[-1].note if task.attempts else "")
    if len(task.attempts) and task.attempts[-1].ports and not words:
        return "ports " + " ".join(f"{name}={port}" for name, port in task.attempts[-1].ports.items())
    if task.state == TaskState.KILLED and task.finished_at_ms is not None:
        return f"{words}, ended {fmt.stamp(task.finished_at_ms)}"
    return words


def _put_events(detail: JobDetail) -> None:
    events = sorted(detail.events, key=lambda row: row.seq)[-_EVENTS_SHOWN:]
    if not events:
        return
    put("")
    is_one_task = detail.job.num_tasks == 1
    put_table(
        ("TIME", "ACTOR", "WHAT"), ((fmt.stamp(row.at_ms), row.actor, _happened(row, is_one_task)) for row in events)
    )


def _happened(row: EventRow, is_one_task: bool) -> str:
    words = row.text or row.kind
    _, found, task = row.subject.rpartition("/")
    return words if is_one_task or not found else f"{task}: {words}"
