"""A job's working folder and inputs where a listing of its worker doesn't tell enough of them, or they are gone. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from opsconsole.outcome import is_finished_state
from opsconsole_console import format as fmt
from opsconsole_console.model.file_spot import FileRow
from opsconsole_protocol.api import JobDetail, TaskRow
from opsconsole_protocol.file_listing import FileKind
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Upload


def base_name(name: str) -> bytes:
    """By which a task finds an input that is called `name`."""
    return name.rpartition("/")[2].rpartition(":")[2].encode()


def input_rows(detail: JobDetail, listed: Sequence[FileRow], found: Mapping[str, FileRow]) -> list[FileRow]:
    """What a job is given, in its order: what is on the worker as it was `found` there by its name, and then what was brought.

    `listed`: the folder of inputs, as long as the task has one.
    """
    links = {row.name: row for row in listed}
    brought = [
        _brought(one, links.get(one.name.encode()), _keeper_words(one))
        for one in (*detail.spec.uploads, *handed(detail))
    ]
    rows = [*(found[name] for name in detail.spec.inputs if name in found), *brought]
    known = {row.name for row in rows}
    return [*rows, *(row for row in listed if row.name not in known)]


def handed(detail: JobDetail) -> tuple[Upload, ...]:
    """The results of other jobs that a job was given."""
    first = len(detail.spec.inputs) + len(detail.spec.uploads)
    return tuple(
        Upload(name=one.name, content_id=ContentId(one.hash or ""), size_bytes=one.size or 0, files=0, is_folder=True)
        for one in detail.inputs[first:]
    )


def _brought(one: Upload, link: FileRow | None, keeper: str) -> FileRow:
    if link is not None:
        return replace(link, size=one.size_bytes, note=keeper)
    kind = FileKind.FOLDER if one.is_folder else FileKind.FILE
    gone = f"{one.name} was brought for the job, and isn't named in a folder of inputs now"
    return FileRow(one.name.encode(), kind, one.size_bytes, note=keeper, away=f"{gone}: {keeper}")


def _keeper_words(one: Upload) -> str:
    return f"brought from {one.host}" if one.host else "brought, kept by the coordinator"


def inputs_note(task: TaskRow | None, error: str) -> str:
    """Why a task's folder of inputs isn't there."""
    if task is None or not is_finished_state(task.state):
        return error
    return f"{_ended(task)}: its folder of inputs went then. These are the inputs themselves, where they still are"


def work_note(task: TaskRow | None, workdir: str | None) -> str:
    """What becomes of a working folder that is there; empty while the task runs in it."""
    if task is None or not is_finished_state(task.state):
        return f"it runs in {workdir}, as --workdir says: this is what else it has" if workdir else ""
    return "; ".join(part for part in (_ended(task), _last_note(task)) if part)


def work_gone_words(task: TaskRow | None, workdir: str | None, error: str) -> str:
    """Why there is no working folder, line by line."""
    if task is None:
        return error
    if not is_finished_state(task.state):
        return f"{error}\n\n{task.id} is {fmt.state_word(task.state)}"
    lines = [f"{_ended(task)}, and has no working folder any more."]
    if workdir:
        lines.append(f"It ran in {workdir} of the worker, as --workdir says.")
    else:
        lines += [
            "It is scratch space: one that is empty goes at once,",
            "and what a task leaves in it some days later.",
        ]
        lines += [_last_note(task)] if _last_note(task) else []
    return "\n".join([*lines, "", "What it wrote to keep is under outputs."])


def _ended(task: TaskRow) -> str:
    at = "" if task.finished_at_ms is None else f" {fmt.stamp(task.finished_at_ms)[:16]}"
    return f"{task.id} ended{at}{f' on {task.worker}' if task.worker else ''}"


def _last_note(task: TaskRow) -> str:
    """What its worker said at the end, as that what it left is removed after some days."""
    return task.attempts[-1].note if task.attempts else ""
