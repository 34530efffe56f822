"""The jobs that a job waits for and those that wait for it, near ones first."""

import sqlite3
from collections.abc import Iterable, Mapping

from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.job_lookup import resolve
from opsconsole_coordinator.store import query, waiting
from opsconsole_protocol.api import GraphAnswer, GraphRow, JobRow, NeedRow
from opsconsole_protocol.dependency import Dependency
from opsconsole_protocol.ids import JobId

GRAPH_JOBS_MAX = 500


async def graph_of(commit_loop: CommitLoop, text: str) -> GraphAnswer:
    """The jobs before and after one, with itself. Raises as `resolve` does, and NotFound where it was just removed."""
    job_id, _ = await resolve(commit_loop, text)
    search = waiting.DependentSearch(job_id, GRAPH_JOBS_MAX)
    while await commit_loop.database.read(search.step):
        pass
    after = _live_after(commit_loop, job_id)
    for other, dependents in search.dependents.items():
        after.setdefault(other, set()).update(dependents)
    near, rows = await commit_loop.database.read(lambda connection: _read(connection, job_id, after))
    kept = {one: near[one] for one in rows}
    jobs = tuple(
        GraphRow(
            job=commit_loop.shown.get(one, rows[one]),
            needs=tuple(
                NeedRow(id=need.job, end=need.end, part="*" if need.each else "" if need.task_index is None else str(need.task_index))
                for need in kept[one]
                if need.job in kept
            ),
        )
        for one in _in_order(kept)
    )  # fmt: skip
    return GraphAnswer(id=job_id, jobs=jobs, more=len(near) > len(kept))


_Needs = dict[JobId, tuple[Dependency, ...]]


def _live_after(commit_loop: CommitLoop, job_id: JobId) -> dict[JobId, set[JobId]]:
    """The jobs in memory after a job and after these, as they are noted."""
    found: dict[JobId, set[JobId]] = {}
    left = [job_id]
    while left and len(found) <= GRAPH_JOBS_MAX:
        one = left.pop(0)
        if one not in found:
            found[one] = set(commit_loop.fleet.dependents.get(one, ()))
            left += sorted(found[one])
    return found


def _read(
    connection: sqlite3.Connection, job_id: JobId, after: Mapping[JobId, set[JobId]]
) -> tuple[_Needs, dict[JobId, JobRow]]:
    found: _Needs = {}
    for is_up in (True, False):
        left = [job_id]
        seen: set[JobId] = set()
        while left and len(found) <= GRAPH_JOBS_MAX:
            needs = waiting.dependencies(connection, left)
            found |= needs
            seen.update(left)
            others: Iterable[JobId] = (
                (JobId(one.job) for some in needs.values() for one in some) if is_up else (two for one in left for two in sorted(after.get(one, ())))
            )  # fmt: skip
            left = [one for one in dict.fromkeys(others) if one not in seen]
    near = list(found)[:GRAPH_JOBS_MAX]
    rows = {one: row for one in waiting.as_submitted(connection, near) if (row := query.job_row(connection, one))}
    return found, rows


def _in_order(needs: _Needs) -> list[JobId]:
    """Each after those that it waits for."""
    done: dict[JobId, None] = {}
    left = list(needs)
    while left:
        ready = [one for one in left if all(need.job in done or need.job not in needs for need in needs[one])]
        done |= dict.fromkeys(ready)
        left = [one for one in left if one not in done]
    return list(done)
