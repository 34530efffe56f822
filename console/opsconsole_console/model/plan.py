"""What an operator can do to jobs, decided before anything is asked of the coordinator. Pure.

A key means one verb for a whole selection: `p` on running and paused jobs pauses the running ones. Jobs in a state that
the verb can't apply to are left out, and where none remains, the reason says what to do instead.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum

from opsconsole_console import format as fmt
from opsconsole_console.model.live_task import LIVE_STATES, live_tasks
from opsconsole_protocol.api import ActResult, JobRow, WorkerRow
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import TaskState, WorkerStatus

_AT_WORK = LIVE_STATES - {TaskState.PAUSED}
_RETRIABLE = frozenset(
    {
        TaskState.FAILED,
        TaskState.KILLED,
        TaskState.WORKER_FAILED,
        TaskState.PREEMPTED,
        TaskState.UNSCHEDULABLE,
        TaskState.BLOCKED,
    }
)

_REASONS_SAID = 3


class _Kind(Enum):
    """How a job stands, as far as a verb cares; said of one job, and of several."""

    RUNS = ("runs", "run")
    WAITS = ("waits", "wait")
    HELD = ("is held", "are held")
    PAUSED = ("is paused", "are paused")
    ENDED = ("has ended already", "have ended already")


PAST = {
    "pause": "paused",
    "resume": "resumed",
    "cancel": "cancelled",
    "retry": "will be retried",
    "hold": "held",
    "release": "released",
}


@dataclass(frozen=True)
class Plan:
    """One verb for these ids. Without ids, `refusal` says in one line why not; `left_out` says which jobs are left out."""

    verb: str
    ids: tuple[str, ...] = ()
    refusal: str = ""
    left_out: str = ""
    by: PauseBy | None = None
    """Of a pause: how; None: as each job says."""


def plan_pause(jobs: Sequence[JobRow]) -> Plan:
    """Pause what runs; where nothing does, resume what is paused."""
    for verb, states in (("pause", _AT_WORK), ("resume", {TaskState.PAUSED})):
        if ids := _ids(jobs, states):
            return _plan(verb, ids, jobs)
    advice = {
        _Kind.WAITS: "hold {it} with h instead",
        _Kind.HELD: "release {it} with h",
        _Kind.ENDED: "there is nothing to pause",
    }
    return Plan("pause", refusal=_refusal(jobs, advice))


def plan_hold(jobs: Sequence[JobRow]) -> Plan:
    """Hold what waits; where nothing does, release what is held."""
    for verb, states in (("hold", {TaskState.PENDING}), ("release", {TaskState.HELD})):
        if ids := _ids(jobs, states):
            return _plan(verb, ids, jobs)
    partly = tuple(job.id for job in jobs if job.task_counts.get(TaskState.PENDING))
    if partly:
        return _plan("hold", partly, jobs)
    advice = {_Kind.RUNS: "pause {it} with p instead", _Kind.ENDED: "what doesn't wait can't be held"}
    return Plan("hold", refusal=_refusal(jobs, advice))


def plan_cancel(jobs: Sequence[JobRow]) -> Plan:
    """Cancel what hasn't ended."""
    if ids := tuple(job.id for job in jobs if job.finished_at_ms is None):
        return _plan("cancel", ids, jobs)
    return Plan("cancel", refusal=_refusal(jobs, {_Kind.ENDED: "there is nothing to cancel"}))


def plan_retry(jobs: Sequence[JobRow]) -> Plan:
    """Retry what failed, wholly or in part."""
    ids = tuple(
        job.id
        for job in jobs
        if job.state in _RETRIABLE or any(job.task_counts.get(state) for state in _RETRIABLE - {TaskState.BLOCKED})
    )
    if ids:
        return _plan("retry", ids, jobs)
    if any(job.finished_at_ms is None for job in jobs):
        return Plan("retry", refusal=_refusal(jobs, {}) + ": what hasn't failed can't be retried")
    who = f"{jobs[0].name} succeeded: run it" if len(jobs) == 1 else f"all {len(jobs)} succeeded: run one"
    return Plan("retry", refusal=f"{who} again with e")


def plan_priority(jobs: Sequence[JobRow]) -> Plan:
    """Change the priority of what hasn't ended."""
    if ids := tuple(job.id for job in jobs if job.finished_at_ms is None):
        return _plan("priority", ids, jobs)
    return Plan("priority", refusal=_refusal(jobs, {_Kind.ENDED: "a priority does nothing any more"}))


def fitting_verbs(jobs: Sequence[JobRow]) -> frozenset[str]:
    """The verbs that fit these jobs best, which the footer offers."""
    found: set[str] = set()
    for job in jobs:
        failed = any(job.task_counts.get(state) for state in _RETRIABLE) or job.state in _RETRIABLE
        match _kind(job):
            case _Kind.ENDED:
                found |= {"retry", "again"} if failed else {"again"}
            case _Kind.WAITS | _Kind.HELD:
                found |= {"hold", "cancel"}
            case _:
                found |= {"pause", "cancel"} | ({"retry"} if failed else set())
    return frozenset(found)


def plan_verb(verb: str, jobs: Sequence[JobRow]) -> Plan:
    """A verb by its name, as typed on the command line. Every job is asked for; the coordinator answers for each."""
    return Plan(verb, tuple(job.id for job in jobs), "" if jobs else "no such job")


def plan_pause_by(jobs: Sequence[JobRow], by: PauseBy) -> Plan:
    """A pause of this kind, as typed on the command line."""
    return replace(plan_verb("pause", jobs), by=by)


def cancel_question(jobs: Sequence[JobRow]) -> str:
    """The question before something is destroyed, naming it."""
    if len(jobs) == 1:
        return f"Cancel {jobs[0].name}?"
    return f"Cancel {len(jobs)} jobs?"


def cancel_detail(jobs: Sequence[JobRow], left_out: str = "") -> str:
    """What the question is about: ids, names, how much runs, and which of the marked ones it isn't for."""
    if len(jobs) > 1:
        names = ", ".join(job.name for job in jobs[:4])
        return names + (f" and {len(jobs) - 4} more" if len(jobs) > 4 else "") + (f"; {left_out}" if left_out else "")
    job = jobs[0]
    live = live_tasks(job)
    where = f" on {job.worker}" if job.worker else ""
    if job.num_tasks > 1:
        return f"{job.id}: {live} of {job.num_tasks} tasks at work{where}"
    return f"{job.id}: {job.state}{where}"


def drain_action(worker: WorkerRow) -> str:
    """What `m` does to a worker."""
    return "undrain" if worker.status == WorkerStatus.MAINTENANCE else "drain"


def outcome(verb: str, result: ActResult, names: dict[str, str], left_out: str = "") -> str:
    """What a toast says afterwards: the coordinator's own words for one job; for many how many did and how many didn't."""
    if len(result.results) == 1:
        job_id, text = result.results[0]
        name = names.get(job_id.partition("/")[0], job_id)
        return _joined(f"{name}: {text}", left_out)
    refused = set(result.refused)
    done = [text for job_id, text in result.results if job_id not in refused]
    what = "task" if any("/" in job_id for job_id, _ in result.results) else "job"
    parts = [f"{fmt.plural(len(done), what)} {PAST.get(verb, verb)}"]
    if len(set(done)) != 1:
        parts = _counted(done, "")
    parts += _counted([text for job_id, text in result.results if job_id in refused], "not: ")
    return _joined(*parts, left_out)


def _counted(texts: Sequence[str], before: str) -> list[str]:
    """Each text with how often it was said, the commonest first."""
    return [f"{number} {before}{text}" for text, number in Counter(texts).most_common(_REASONS_SAID)]


def _ids(jobs: Sequence[JobRow], states: AbstractSet[str]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs if job.state in states)


def _plan(verb: str, ids: tuple[str, ...], jobs: Sequence[JobRow]) -> Plan:
    meant = set(ids)
    return Plan(verb, ids, left_out=_standing([job for job in jobs if job.id not in meant]))


def _refusal(jobs: Sequence[JobRow], advice: Mapping[_Kind, str]) -> str:
    """How all of them stand, and what to do instead where they stand alike."""
    kinds = {_kind(job) for job in jobs}
    standing = f"{jobs[0].name} {_words(jobs[0], 1)}" if len(jobs) == 1 else _standing(jobs)
    if len(kinds) == 1:
        if len(jobs) > 1:
            standing = f"all {standing}"
        if hint := advice.get(kinds.pop()):
            return f"{standing}: " + hint.format(it="it" if len(jobs) == 1 else "them")
    return standing


def _standing(jobs: Sequence[JobRow]) -> str:
    """`7 have ended already, 3 wait`; empty for none."""
    counted = Counter(map(_kind, jobs))
    first = {_kind(job): job for job in reversed(jobs)}
    return ", ".join(f"{number} {_words(first[kind], number)}" for kind, number in counted.most_common())


def _kind(job: JobRow) -> _Kind:
    if job.finished_at_ms is not None:
        return _Kind.ENDED
    if job.state in _AT_WORK:
        return _Kind.RUNS
    if job.state == TaskState.PAUSED:
        return _Kind.PAUSED
    return _Kind.HELD if job.state == TaskState.HELD else _Kind.WAITS


def _words(job: JobRow, number: int) -> str:
    one, many = _kind(job).value
    return one if number == 1 else many


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
