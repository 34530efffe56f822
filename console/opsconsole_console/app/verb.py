"""What an operator can do to jobs, decided before anything is asked of the coordinator. Pure.

A key means one verb for a whole selection: `p` on running and paused jobs pauses the running ones. Jobs in a state that
the verb can't apply to are left out, and where none remains, the reason says what to do instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from opsconsole_protocol.api import JobRow, WorkerRow

_LIVE = frozenset({"running", "building", "assigned"})
_WAITING = frozenset({"pending"})
_RETRIABLE = frozenset({"failed", "killed", "worker_failed", "preempted", "unschedulable", "blocked"})

PAST = {
    "pause": "paused",
    "resume": "resumed",
    "cancel": "cancelled",
    "retry": "retrying",
    "hold": "held",
    "release": "released",
}


@dataclass(frozen=True)
class Plan:
    """One verb for these ids; without ids, `refusal` says why not in one line."""

    verb: str
    ids: tuple[str, ...] = ()
    refusal: str = ""


def plan_pause(jobs: Sequence[JobRow]) -> Plan:
    """Pause what runs; where nothing does, resume what is paused."""
    running = _ids(jobs, _LIVE)
    if running:
        return Plan("pause", running)
    paused = _ids(jobs, frozenset({"paused"}))
    if paused:
        return Plan("resume", paused)
    if any(job.state in _WAITING for job in jobs):
        return Plan("pause", refusal=f"{_name(jobs)} waits: hold it with h instead")
    if any(job.state == "held" for job in jobs):
        return Plan("pause", refusal=f"{_name(jobs)} is held: release it with h")
    return Plan("pause", refusal=f"{_name(jobs)} has ended: there is nothing to pause")


def plan_hold(jobs: Sequence[JobRow]) -> Plan:
    """Hold what waits; where nothing does, release what is held."""
    waiting = _ids(jobs, _WAITING)
    if waiting:
        return Plan("hold", waiting)
    held = _ids(jobs, frozenset({"held"}))
    if held:
        return Plan("release", held)
    partly = tuple(job.id for job in jobs if job.task_counts.get("pending"))
    if partly:
        return Plan("hold", partly)
    if any(job.state in _LIVE for job in jobs):
        return Plan("hold", refusal=f"{_name(jobs)} runs: pause it with p instead")
    return Plan("hold", refusal=f"{_name(jobs)} doesn't wait: only pending jobs can be held")


def plan_cancel(jobs: Sequence[JobRow]) -> Plan:
    """Cancel what hasn't ended."""
    ids = tuple(job.id for job in jobs if job.finished_at_ms is None)
    return Plan("cancel", ids, "" if ids else f"{_name(jobs)} has ended: there is nothing to cancel")


def plan_retry(jobs: Sequence[JobRow]) -> Plan:
    """Retry what failed, wholly or in part."""
    ids = tuple(
        job.id
        for job in jobs
        if job.state in _RETRIABLE or any(job.task_counts.get(state) for state in _RETRIABLE - {"blocked"})
    )
    if ids:
        return Plan("retry", ids)
    if any(job.finished_at_ms is None for job in jobs):
        return Plan("retry", refusal=f"{_name(jobs)} hasn't failed: only what failed or was cancelled can be retried")
    return Plan("retry", refusal=f"{_name(jobs)} succeeded: run it again with e")


def plan_verb(verb: str, jobs: Sequence[JobRow]) -> Plan:
    """A verb by its name, as typed on the command line. Every job is asked for; the coordinator answers for each."""
    return Plan(verb, tuple(job.id for job in jobs), "" if jobs else "no such job")


def cancel_question(jobs: Sequence[JobRow]) -> str:
    """The question before something is destroyed, naming it."""
    if len(jobs) == 1:
        return f"Cancel {jobs[0].name}?"
    return f"Cancel {len(jobs)} jobs?"


def cancel_detail(jobs: Sequence[JobRow]) -> str:
    """What the question is about: ids, names, and how much runs."""
    if len(jobs) > 1:
        names = ", ".join(job.name for job in jobs[:4])
        return names + (f" and {len(jobs) - 4} more" if len(jobs) > 4 else "")
    job = jobs[0]
    live = sum(job.task_counts.get(state, 0) for state in (*_LIVE, "paused"))
    where = f" on {job.worker}" if job.worker else ""
    if job.num_tasks > 1:
        return f"{job.id}: {live} of {job.num_tasks} tasks at work{where}"
    return f"{job.id}: {job.state}{where}"


def drain_action(worker: WorkerRow) -> str:
    """What `m` does to a worker."""
    return "undrain" if worker.status == "maintenance" else "drain"


def outcome(verb: str, results: Sequence[tuple[str, str]], names: dict[str, str]) -> str:
    """What a toast says afterwards: the coordinator's own words for one job, a count for many."""
    if len(results) == 1:
        job_id, text = results[0]
        name = names.get(job_id.partition("/")[0], job_id)
        return f"{name}: {text}" if name not in text else text
    texts = {text for _, text in results}
    said = PAST.get(verb, verb)
    if len(texts) <= 1:
        return f"{len(results)} jobs {said}"
    return f"{said} {len(results)} jobs: " + "; ".join(sorted(texts)[:3])


def _ids(jobs: Sequence[JobRow], states: frozenset[str]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs if job.state in states)


def _name(jobs: Sequence[JobRow]) -> str:
    return jobs[0].name if len(jobs) == 1 else f"none of {len(jobs)} jobs"
