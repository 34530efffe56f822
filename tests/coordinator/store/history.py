"""Years of work at once: a store filled with jobs that have ended, through the real schema and the real encoders."""

import sqlite3
from collections.abc import Iterator
from random import Random

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job, Worker
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.core.terms import terms_of
from opsconsole_coordinator.store import journal
from opsconsole_protocol.api import EventRow
from opsconsole_protocol.ids import AttemptId, JobId, WorkerId, job_id
from opsconsole_protocol.link import Observed
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState, TaskState

NOW_MS = 1_760_000_000_000
YEAR_MS = 365 * 24 * 3600 * 1000
WORKERS = 50
PROJECTS = ("default",) * 90 + ("vision",) * 8 + ("speech",) * 2
_EVENTS = ("assigned", "running", "succeeded")


def sizes(tasks: int) -> list[int]:
    """How many tasks each job has, as in life: one holds a tenth of all, twenty a hundredth each, the rest are small."""
    large = [count for count in (tasks // 10, *([tasks // 100] * 20)) if count]
    rest = tasks - sum(large)
    small = max(1, min(200, rest // 20))
    return [*large, *([small] * (rest // small)), *([rest % small] if rest % small else [])]


def fill(connection: sqlite3.Connection, tasks: int, *, seed: int = 0, now_ms: int = NOW_MS) -> list[JobId]:
    """Add so many finished tasks, their attempts and events, spread over the year before `now_ms`; ids, oldest first.

    A transaction a job, as in life; without waiting for the disk.
    """
    rng = Random(seed)  # noqa: S311 - chance that repeats itself
    sync = connection.execute("PRAGMA synchronous").fetchone()[0]
    connection.execute("PRAGMA synchronous = OFF")
    counts = sizes(tasks)
    rng.shuffle(counts)
    fleet = Fleet(rng.getrandbits, store_id="store", name="lab")
    workers = [Worker(id=WorkerId(f"id-of-w{number}"), name=f"w{number}") for number in range(WORKERS)]
    rows = [(one.id, one.name, journal._pack(one)) for one in workers]
    connection.executemany("INSERT OR REPLACE INTO workers VALUES (?,?,?)", rows)
    ids: list[JobId] = []
    for number, count in enumerate(counts):
        made_ms = now_ms - YEAR_MS + (number + 1) * YEAR_MS // (len(counts) + 1)
        job, attempts = _job(rng, number, count, made_ms, workers)
        _insert(connection, fleet, job, attempts)
        ids.append(job.id)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('seq', ?)", (str(fleet.seq),))
    connection.execute(f"PRAGMA synchronous = {sync}")
    return ids


def _job(rng: Random, number: int, count: int, made_ms: int, workers: list[Worker]) -> tuple[Job, list[Attempt]]:
    spec = JobSpec(
        command=("python", "train.py"), name=f"train-{number}", project=rng.choice(PROJECTS), num_tasks=count
    )  # fmt: skip
    made = JobId(job_id(rng.getrandbits(50)))
    attempts = [_attempt(rng, made, index, made_ms, rng.choice(workers)) for index in range(count)]
    state = TaskState.FAILED if rng.random() < 0.02 else TaskState.SUCCEEDED
    job = Job(
        id=made, terms=terms_of(spec), seq=number + 1, submitted_by="ana", created_at_ms=made_ms, priority=0,
        started_at_ms=made_ms + 5, finished_at_ms=made_ms + 60_000, counts={state: count},
        kept_tasks=[Task(index=one.index, state=state, attempts=1, current=one.id) for one in attempts],
    )  # fmt: skip
    job.worker_names = frozenset(one.worker_name for one in attempts)
    return job, attempts


def _attempt(rng: Random, job: JobId, index: int, made_ms: int, worker: Worker) -> Attempt:
    attempt_id = AttemptId(f"{job}.{index}.0.{rng.getrandbits(20):05x}")
    seen = Observed(
        attempt_id=attempt_id, state=AttemptState.SUCCEEDED, exit_code=0, started_at_ms=made_ms + 5,
        finished_at_ms=made_ms + 60_000, output_path=f"/out/jobs/{job}", log_sizes={"stdout": 1_000},
    )  # fmt: skip
    return Attempt(
        id=attempt_id, job_id=job, index=index, number=0, worker_id=worker.id, worker_name=worker.name,
        state=AttemptState.SUCCEEDED, assigned_at_ms=made_ms, reported=True, seen=seen,
        finished_at_ms=made_ms + 60_000, open=False,
    )  # fmt: skip


def _insert(connection: sqlite3.Connection, fleet: Fleet, job: Job, attempts: list[Attempt]) -> None:
    tasks = ((job.id, task.index, str(task.state), journal._pack(task)) for task in job.tasks)
    connection.execute("BEGIN")
    connection.execute(
        "INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", journal._new_job(job, view.job_row(fleet, job))
    )
    connection.executemany(journal._PUT_TASK, tasks)
    connection.executemany(journal._PUT_ATTEMPT, map(journal._attempt, attempts))
    connection.executemany(
        "INSERT INTO events VALUES (?,?,?,?,?,?,?)", map(journal._event, _events(fleet, job, attempts))
    )
    connection.execute("COMMIT")


def _events(fleet: Fleet, job: Job, attempts: list[Attempt]) -> Iterator[EventRow]:
    yield _event(fleet, job.created_at_ms, "ana", "submitted", job.id)
    for attempt in attempts:
        for kind in _EVENTS:
            text = f"{kind} on {attempt.worker_name}"
            yield _event(fleet, job.created_at_ms, attempt.worker_name, kind, job.task_id(attempt.index), text)
    yield _event(fleet, job.finished_at_ms or 0, "coordinator", "finished", job.id, f"job {job.state}")


def _event(fleet: Fleet, at_ms: int, actor: str, kind: str, subject: str, text: str = "") -> EventRow:
    fleet.seq += 1
    return EventRow(seq=fleet.seq, at_ms=at_ms, actor=actor, kind=kind, text=text, subject=subject)
