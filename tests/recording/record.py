"""What operators are answered at the end of the morning, as calls and answers of the wire, one a line."""

from collections.abc import Iterator
from itertools import product

import msgspec

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.server.snapshot import EVENTS_AT_START
from opsconsole_protocol import api
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import TaskState
from tests.recording import lab
from tests.recording.morning import Morning

INPUTS = ((), ("clips of may.h5",), ("clips.h5",))
REQUIREMENTS = ((), ("gpu_memory_mb>=40000",))
GPUS = (0, 1)
OLDER = 3
"""Jobs that ended before that morning and are only in the store."""
_ACTS = (
    ("pause", lab.TRAIN), ("resume", lab.SEGMENT), ("hold", lab.EVAL), ("release", lab.NIGHTLY), ("retry", lab.FAILED),
    ("cancel", lab.SWEEP),
)  # fmt: skip


def encoded() -> bytes:
    """The whole record."""
    lines: list[bytes] = []
    for number, (request, answer) in enumerate(_exchanges(), 1):
        lines += [msgspec.json.encode(api.Call(number, request)), msgspec.json.encode(api.Answer(number, answer))]
    return b"\n".join((*lines, b""))


def _exchanges() -> Iterator[tuple[api.AnyRequest, api.AnyAnswer]]:
    morning = Morning()
    morning.play()
    yield api.Subscribe(), api.SnapshotAnswer(snapshot=_snapshot(morning))
    yield api.ListEvents(), api.EventList(events=tuple(reversed(morning.world.events)))
    yield api.ListTemplates(), api.TemplateList(templates=tuple(morning.world.fleet.templates))
    for job in morning.jobs.values():
        yield api.ShowJob(id=job.id), api.DetailAnswer(detail=_detail(morning, job))
        row = _row(morning, job)
        text, verdicts = view.why(morning.world.fleet, job, morning.world.now_ms)
        yield api.Why(id=job.id), api.WhyAnswer(job=row, text=text, verdicts=verdicts)
    for gpus, inputs, requirements in product(GPUS, INPUTS, REQUIREMENTS):
        spec = JobSpec(command=("true",), resources=Resources(gpus=gpus), inputs=inputs, requirements=requirements)
        yield api.AskCandidates(spec=spec), _candidates(morning, spec)
    reactor, now_ms = morning.world.reactor, morning.world.now_ms
    for verb, work in _ACTS:
        job = morning.jobs[work.name]
        if job.id not in morning.world.fleet.jobs:
            reactor.on_job_loaded(job, _attempts(morning, job, 0), {})
        words = reactor.on_act(verb, JobId(work.id), None, "ana", "", now_ms)
        yield api.Act(verb=verb, ids=(work.id,)), api.ActResult(results=((work.id, words),))


def _candidates(morning: Morning, spec: JobSpec) -> api.Candidates:
    """As soon as everybody who can be asked has answered."""
    fleet, now_ms = morning.world.fleet, morning.world.now_ms
    morning.world.reactor.on_ask_candidates(spec, now_ms)
    morning.settle()
    return view.candidates(fleet, spec, now_ms)


def _snapshot(morning: Morning) -> api.Snapshot:
    world = morning.world
    rows = [_row(morning, job) for job in morning.jobs.values()]
    counts = {name: dict[str, int]() for name in world.fleet.projects}
    for row in rows:
        counts[row.project][row.state] = counts[row.project].get(row.state, 0) + 1
    counts["default"][TaskState.SUCCEEDED] = OLDER
    projects = tuple(
        api.ProjectRow(name=one.name, description=one.description, status=str(one.status), created_at_ms=one.created_at_ms,
                       updated_at_ms=one.updated_at_ms, job_counts=counts[name])
        for name, one in sorted(world.fleet.projects.items())
    )  # fmt: skip
    return api.Snapshot(
        seq=world.fleet.seq, coordinator=world.fleet.name,
        workers=tuple(view.worker_row(world.fleet, worker, world.now_ms) for worker in world.fleet.workers.values()),
        jobs=tuple(sorted(rows, key=lambda row: (-row.created_at_ms, row.id))), events=tuple(world.events[-EVENTS_AT_START:]),
        jobs_total=len(rows) + OLDER, projects=projects,
    )  # fmt: skip


def _row(morning: Morning, job: Job) -> api.JobRow:
    fleet = morning.world.fleet
    return view.job_row(fleet, job) if job.id in fleet.jobs else morning.world.rows[job.id]


def _detail(morning: Morning, job: Job) -> api.JobDetail:
    tasks = tuple(view.task_row(job, task, _attempts(morning, job, task.index)) for task in job.tasks)
    events = tuple(one for one in reversed(morning.world.events) if one.subject.partition("/")[0] == job.id)
    return api.JobDetail(job=_row(morning, job), spec=job.spec, tasks=tasks, events=events)


def _attempts(morning: Morning, job: Job, index: int) -> list[Attempt]:
    """Oldest first; those that live as they are now, others as they were committed."""
    world = morning.world
    found = [
        world.fleet.attempts.get(one.id, one)
        for one in world.attempts.values()
        if (one.job_id, one.index) == (job.id, index)
    ]
    return sorted(found, key=lambda one: one.number)
