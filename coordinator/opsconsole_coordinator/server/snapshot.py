"""What a console begins with: all workers, all live jobs, and the newest ended jobs. It is made once for all who ask at once."""

import sqlite3
from typing import NamedTuple

from msgspec import Raw

from opsconsole_coordinator.server import preencoded
from opsconsole_coordinator.server.broadcaster import UPDATE_ROWS_MAX
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.worker_row_cache import WorkerRowCache
from opsconsole_coordinator.store import query
from opsconsole_protocol import api

EVENTS_AT_START = 200


class _Found(NamedTuple):
    live: list[query.EncodedRow]
    ended: list[query.EncodedRow]
    events: list[api.EventRow]
    seq: int
    projects: tuple[api.ProjectRow, ...]


async def build(
    commit_loop: CommitLoop, worker_row_cache: WorkerRowCache, finished_limit: int
) -> tuple[api.AnyAnswer, list[Raw]]:
    """What is committed and what is shown beyond it, and updates with the live jobs that don't fit the first frame.

    All of it is encoded.
    """

    def read(connection: sqlite3.Connection) -> _Found:
        return _Found(
            live=query.encoded_live_rows(connection),
            ended=query.encoded_job_rows(connection, ended_only=True, limit=finished_limit),
            events=query.events(connection, limit=EVENTS_AT_START),
            seq=int(query.meta(connection, "seq", "0")),
            projects=query.project_rows(connection),
        )

    return await commit_loop.database.share(
        ("snapshot", finished_limit), read, lambda found: _put_together(commit_loop, worker_row_cache, found)
    )


def _put_together(
    commit_loop: CommitLoop, worker_row_cache: WorkerRowCache, found: _Found
) -> tuple[api.AnyAnswer, list[Raw]]:
    live = preencoded.job_rows(found.live, commit_loop.shown)
    snapshot = api.Snapshot(
        seq=found.seq,
        coordinator=commit_loop.name,
        workers=preencoded.rows(worker_row_cache.rows(), api.WorkerRow),
        jobs=(*live[:UPDATE_ROWS_MAX], *preencoded.job_rows(found.ended, {})),
        events=tuple(reversed(found.events)),
        jobs_total=sum(sum(row.job_counts.values()) for row in found.projects),
        projects=found.projects,
    )
    pieces = (live[place : place + UPDATE_ROWS_MAX] for place in range(UPDATE_ROWS_MAX, len(live), UPDATE_ROWS_MAX))
    rest = [api.Update(seq=found.seq, jobs=piece) for piece in pieces]
    return preencoded.answer(api.SnapshotAnswer(snapshot=snapshot)), [preencoded.encode(update) for update in rest]
