"""The recorded fleet: a morning in a small lab, every state and every awkward case in it, as the coordinator tells it.

It is read from `tests/recording/fleet.jsonl`, which `python -m tests.recording` makes by the real core.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from opsconsole_protocol import api
from opsconsole_protocol.api import (
    InvitationRow,
    LineRow,
    PersonRow,
    Snapshot,
    TemplateRow,
    Update,
    UsageAnswer,
    UsageRow,
)
from opsconsole_protocol.share import NO_LIMITS, Limits
from opsconsole_protocol.spec import JobSpec
from tests.recording.lab import FILE, HOUR_MS, MINUTE_MS, NOW_MS, gpu_uuid, worker_id

__all__ = ["HOUR_MS", "MINUTE_MS", "NOW_MS", "gpu_uuid", "worker_id"]

JOIN_LINE = f"wss://10.77.0.1:7373#{'5d41402abc4b2a76' * 4}.k3f9ab2q.{'9hj2kq7vtm4w8' * 4}"
DAY_MS = 24 * HOUR_MS


@dataclass
class _Record:
    snapshot: Snapshot | None = None
    details: dict[str, api.JobDetail] = field(default_factory=dict)
    whys: dict[str, api.WhyAnswer] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    events: tuple[api.EventRow, ...] = ()
    templates: tuple[TemplateRow, ...] = ()
    candidates: dict[tuple[object, ...], api.Candidates] = field(default_factory=dict)

    def add(self, request: api.AnyRequest, answer: api.AnyAnswer) -> None:
        """Something that was asked, with its answer."""
        match request, answer:
            case api.Subscribe(), api.SnapshotAnswer(snapshot=snapshot):
                self.snapshot = snapshot
            case api.ListEvents(), api.EventList(events=events):
                self.events = events
            case api.ListTemplates(), api.TemplateList(templates=templates):
                self.templates = templates
            case api.ShowJob(), api.DetailAnswer(detail=detail):
                self.details[detail.job.name] = detail
            case api.Why(id=job_id), api.WhyAnswer():
                self.whys[job_id] = answer
            case api.AskCandidates(spec=spec), api.Candidates():
                self.candidates[_asked(spec)] = answer
            case api.Act(verb=verb), api.ActResult(results=((_, words),)):
                self.said[verb] = words
            case _:
                raise AssertionError(f"what is {request}?")


def _asked(spec: JobSpec) -> tuple[object, ...]:
    """What of a spec the workers were asked about."""
    return min(spec.resources.gpus_asked, 1), spec.inputs, spec.requirements


def _read() -> _Record:
    record = _Record()
    calls, answers = msgspec.json.Decoder(api.Call), msgspec.json.Decoder(api.Answer)
    lines = FILE.read_bytes().splitlines()
    for call, answer in zip(lines[::2], lines[1::2], strict=True):
        record.add(calls.decode(call).request, answers.decode(answer).answer)
    return record


_RECORD = _read()
DETAILS = _RECORD.details
"""Every job by its name."""
WHYS = _RECORD.whys
"""By the job's id."""
SAID = _RECORD.said
"""What a verb is answered with."""
EVENTS = _RECORD.events
"""All of them, newest first."""
JOBS = {detail.job.name: detail.job for detail in DETAILS.values()}


def snapshot() -> Snapshot:
    """Where a console starts."""
    assert _RECORD.snapshot is not None
    return _RECORD.snapshot


WORKERS = {worker.name: worker for worker in snapshot().workers}


def tasks_of(name: str) -> tuple[api.TaskRow, ...]:
    """A job's tasks."""
    return DETAILS[name].tasks


def spec_of(name: str) -> JobSpec:
    """What a job's submitter said."""
    return DETAILS[name].spec


def candidates(spec: JobSpec) -> api.Candidates:
    """What the workers say to a job. One that is still being typed is answered as if it named no file."""
    found = _RECORD.candidates.get(_asked(spec))
    return _RECORD.candidates[min(spec.resources.gpus_asked, 1), (), ()] if found is None else found


def people() -> tuple[PersonRow, ...]:
    """Who may do what."""
    return (
        PersonRow(name="root", role="admin", is_local=True, connections=1),
        PersonRow(name="ana", role="operator", connections=2, credentials=2, joined_at_ms=NOW_MS - 3 * DAY_MS),
        PersonRow(name="bo", role="viewer", joined_at_ms=NOW_MS - DAY_MS, revoked_at_ms=NOW_MS - HOUR_MS),
    )


def invitations() -> tuple[InvitationRow, ...]:
    """Those that are open."""
    return (
        InvitationRow(id="k3f9ab2q", role="worker", name="", tags=("zone=a",), uses_left=19,
                      expires_at_ms=NOW_MS + HOUR_MS, created_by="root"),
    )  # fmt: skip


def usage() -> UsageAnswer:
    """Three people in two projects, one of whom has all that they may have."""
    hour = HOUR_MS

    def had(project: str, person: str, gpu_hours: int, gpus_now: int, tasks: int) -> UsageRow:
        return UsageRow(
            project=project, person=person, gpu_ms=gpu_hours * hour, cpu_ms=4 * gpu_hours * hour, task_ms=gpu_hours * hour,
            tasks=tasks, tasks_now=gpus_now, gpus_now=gpus_now, cpus_now=4.0 * gpus_now, cpus_asked_now=4.0 * gpus_now,
            weight_ms=gpu_hours * hour * 3 // 4, project_weight=2.0 if project == "pose" else 1.0,
            person_weight=0.5 if person == "bo" else 1.0, person_limits=Limits(gpus=4) if person == "ana" else NO_LIMITS,
            project_limits=Limits(gpus=16, tasks=40) if project == "pose" else NO_LIMITS,
        )  # fmt: skip

    def line(project: str, person: str, jobs: int, had_hours: int, reason: str) -> LineRow:
        return LineRow(
            priority=0, project=project, person=person, jobs=jobs, first_job="6a0rj8w5te", project_standing_ms=had_hours * hour,
            person_standing_ms=had_hours * hour // 2, reason=reason,
        )  # fmt: skip

    return UsageAnswer(
        from_ms=NOW_MS - 7 * DAY_MS, half_life_ms=7 * DAY_MS,
        rows=(had("pose", "ana", 312, 3, 420), had("pose", "bo", 96, 2, 31), had("llm", "ana", 40, 1, 8), had("llm", "cy", 2, 0, 1)),
        lines=(
            line("pose", "bo", 12, 64, "no worker has 4 GPUs free"),
            line("llm", "ana", 1, 120, "ana has 4 of the 4 GPUs that it may have at a time; this needs 1"),
        ),
    )  # fmt: skip


def templates() -> tuple[TemplateRow, ...]:
    """Commands that the lab has named."""
    return _RECORD.templates


HEARTBEATS = 24


def heartbeats(start: Snapshot) -> Iterator[Update]:
    """Two minutes of load going up and down, ending where the snapshot stands."""
    rising = (0, 3, 9, 22, 38, 51, 66, 78, 84, 91, 95, 97, 94, 88, 90, 93, 71, 40, 62, 85, 96, 92, 89, 100)
    for step in range(HEARTBEATS):
        rows = []
        for place, worker in enumerate(start.workers):
            share = 100 if step == HEARTBEATS - 1 else rising[(step + 5 * place) % HEARTBEATS]
            gpus = tuple(
                msgspec.structs.replace(gpu, utilization_percent=(gpu.utilization_percent or 0) * share // 100)
                for gpu in worker.gpus
            )
            seen = worker.last_seen_ms
            assert seen is not None
            # Never equal to the row before: equal rows are no news.
            late = seen - (HEARTBEATS - 1 - step) * 5_000
            rows.append(msgspec.structs.replace(worker, gpus=gpus, last_seen_ms=late))
        yield Update(seq=start.seq + 1 + step, workers=tuple(rows))


def reservations() -> tuple[api.ReservationRow, ...]:
    """One that is in force, and a window of maintenance to come."""
    hour = 3_600_000
    return (
        api.ReservationRow(
            id="r7k3m9q", workers=("gpu-a", "gpu-b"), project="pose", person="", maintenance=False, gpus=2,
            from_ms=NOW_MS - hour, until_ms=NOW_MS + 7 * hour, reason="the deadline", made_by="ana", in_force=True,
        ),
        api.ReservationRow(
            id="rw1nd0w", workers=("lab-4090",), project="", person="", maintenance=True, gpus=None,
            from_ms=NOW_MS + 20 * hour, until_ms=NOW_MS + 24 * hour, reason="a new driver", made_by="bo", in_force=False,
        ),
    )  # fmt: skip
