"""Every screen that can be opened by name. A new screen is added here; to be typed, it needs a command that names it too.

Screens are imported when they are first opened.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from textual.screen import Screen

from opsconsole.ask import ask
from opsconsole_console.service.shell import Shell
from opsconsole_protocol.api import DetailAnswer, JobDetail, ShowJob
from opsconsole_protocol.state import TaskState

Made: TypeAlias = Screen[Any] | None
Maker: TypeAlias = Callable[[Shell, str], Made | Awaitable[Made]]
"""Makes a screen on its subject: an id, unless it says otherwise. None where the subject is gone."""


def _job(shell: Shell, job_id: str) -> Made:
    from opsconsole_console.screen.job.job_screen import JobScreen

    return JobScreen(shell.model, shell.source, job_id)


def _worker(shell: Shell, worker_id: str) -> Made:
    from opsconsole_console.screen.worker.worker_screen import WorkerScreen

    return WorkerScreen(shell.model, shell.source, worker_id)


def _why(shell: Shell, job_id: str) -> Made:
    """Why a job stands where it stands, or how it came to its end."""
    from opsconsole_console.screen.ended.ended_screen import EndedScreen
    from opsconsole_console.screen.why.why_screen import WhyScreen

    job = shell.model.job(job_id)
    has_failed = job is not None and job.finished_at_ms is not None and job.state != TaskState.SUCCEEDED
    return (EndedScreen if has_failed else WhyScreen)(shell.model, shell.source, job_id)


def _graph(shell: Shell, job_id: str) -> Made:
    """What a job waits for, and what waits for it."""
    from opsconsole_console.screen.graph.graph_screen import GraphScreen

    return GraphScreen(shell.model, shell.source, job_id)


async def _spec(shell: Shell, job_id: str) -> Made:
    from opsconsole_console.screen.text.text_screen import spec_screen

    return spec_screen(await _detail(shell, job_id))


def _properties(shell: Shell, worker_id: str) -> Made:
    """All that a worker says about itself."""
    from opsconsole_console.screen.text.text_screen import properties_screen

    worker = shell.model.fleet.workers.get(worker_id)
    return None if worker is None else properties_screen(worker)


def _events(shell: Shell, filter_text: str) -> Made:
    """The subject is a filter."""
    from opsconsole_console.screen.event.event_screen import EventScreen

    return EventScreen(shell.model, shell.source, filter_text)


def _files(shell: Shell, subject: str) -> Made:
    """The subject is a worker's id, or a job's."""
    from opsconsole_console.model.file_spot import FileSpot
    from opsconsole_console.screen.file.file_screen import FileScreen

    worker = shell.model.fleet.workers.get(subject)
    if worker is not None:
        return FileScreen(shell.model, shell.source, FileSpot(worker=worker.name))
    job = shell.model.job(subject)
    many = job is not None and job.num_tasks > 1
    return FileScreen(shell.model, shell.source, FileSpot(job_id=subject, many_tasks=many))


def _metrics(shell: Shell, subject: str) -> Made:
    """The subject is ids of jobs and tasks, with spaces between them; in a second line, the metric to look at first."""
    from opsconsole_console.screen.metrics.metrics_screen import MetricsScreen

    ids, _, first = subject.partition("\n")
    return MetricsScreen(shell.model, shell.source, ids.split(), first)


def _compare(shell: Shell, ids: str) -> Made:
    """The subject is ids of jobs and tasks, with spaces between them."""
    from opsconsole_console.screen.compare.compare_screen import CompareScreen

    return CompareScreen(shell.model, shell.source, ids.split())


def _sweep(shell: Shell, job_id: str) -> Made:
    from opsconsole_console.screen.sweep.sweep_screen import SweepScreen

    return SweepScreen(shell.model, shell.source, job_id)


def _invite(shell: Shell, _: str) -> Made:
    from opsconsole_console.screen.invite.invite_screen import InviteScreen

    return InviteScreen(shell.model, shell.source)


def _people(shell: Shell, _: str) -> Made:
    from opsconsole_console.screen.people.people_screen import PeopleScreen

    return PeopleScreen(shell.model, shell.source)


def _reserve(shell: Shell, _: str) -> Made:
    from opsconsole_console.screen.reservation.reservation_screen import ReservationScreen

    return ReservationScreen(shell.model, shell.source)


def _transfers(shell: Shell, _: str) -> Made:
    from opsconsole_console.screen.transfer.transfer_screen import TransferScreen

    return TransferScreen(shell.transfers)


def _usage(shell: Shell, _: str) -> Made:
    from opsconsole_console.screen.usage.usage_screen import UsageScreen

    return UsageScreen(shell.source)


def _templates(shell: Shell, _: str) -> Made:
    from opsconsole_console.screen.template.template_screen import TemplateScreen

    return TemplateScreen(shell.model, shell.source)


def _new_job(shell: Shell, template: str) -> Made:
    """The subject is a version of a template, `train@3`, or nothing."""
    from opsconsole_console.screen.new_job.new_job_screen import NewJobScreen

    return NewJobScreen(shell.model, shell.source, template=template)


async def _again(shell: Shell, job_id: str) -> Made:
    """The dialog for a new job, filled in from an old one."""
    from opsconsole_console.model.draft import from_spec
    from opsconsole_console.screen.new_job.new_job_screen import NewJobScreen
    from opsconsole_console.service.packing import fetched_before

    detail = await _detail(shell, job_id)
    draft = from_spec(detail.spec, await fetched_before(shell.source, detail.job.id))
    return NewJobScreen(shell.model, shell.source, draft)


async def _detail(shell: Shell, job_id: str) -> JobDetail:
    """Everything about a job but its tasks and events."""
    return (await ask(shell.source, ShowJob(id=job_id, tasks_limit=0, events_limit=0), DetailAnswer)).detail


ROUTES: Mapping[str, Maker] = {
    "again": _again,
    "compare": _compare,
    "events": _events,
    "files": _files,
    "graph": _graph,
    "invite": _invite,
    "job": _job,
    "metrics": _metrics,
    "new_job": _new_job,
    "people": _people,
    "reserve": _reserve,
    "properties": _properties,
    "spec": _spec,
    "sweep": _sweep,
    "templates": _templates,
    "transfers": _transfers,
    "usage": _usage,
    "why": _why,
    "worker": _worker,
}
