"""Jobs are submitted: all that takes long is done first, while others have their turn. Then all come in at once, or none."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.reactor import Prepared
from opsconsole_coordinator.giving_way import giving_way
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.job_lookup import (
    find_results,
    load_job,
    load_templates,
    release_job,
    resolve,
    with_whole_ids,
)
from opsconsole_coordinator.store import query, waiting
from opsconsole_protocol import api
from opsconsole_protocol.dependency import Dependency
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.state import TaskState, is_task_finished


@contextlib.asynccontextmanager
async def submitted(
    commit_loop: CommitLoop, submissions: Sequence[api.Submission], actor: str
) -> AsyncIterator[list[Job]]:
    """Add jobs: these are committed, and in memory as long as the context is open, those included that came in before.

    Raises InvalidRequest, NotFound, Ambiguous, Conflict, LimitExceeded or Unavailable. Whoever is cancelled has added all or none.
    """
    submission = _Submission(commit_loop, submissions)
    try:
        jobs = await submission.add(actor)
        await commit_loop.committed()
        if any(job.terms.spec.takes for job in jobs):
            await find_results(commit_loop, [job.id for job in jobs])
        yield jobs
    finally:
        submission.release()


class _Submission:
    """What is known of jobs that are about to come in, until nothing of it is out of date."""

    def __init__(self, commit_loop: CommitLoop, submitted: Sequence[api.Submission]) -> None:
        self._commit_loop = commit_loop
        self._batch = {one.job_id for one in submitted}
        self._submissions = list(submitted)
        self._dependencies: set[Dependency] = set()
        """What they wait for of jobs that aren't among them."""
        self._stored: dict[str, TaskState] = {}
        """How these jobs, and those that come in again, stand in the store."""
        self._prepared: list[Prepared | None] = [None] * len(submitted)
        self._known: set[int] = set()
        """Which of them were prepared as jobs that are there already."""
        self._loaded: list[JobId] = []
        """Those that came in before and have ended: they are in memory meanwhile."""

    async def add(self, actor: str) -> list[Job]:
        """Add the jobs. Raises as `submitted` does, and adds nothing."""
        commit_loop = self._commit_loop
        await self._find_whole_ids()
        with commit_loop.note_leaving(self._batch) as left:
            await self._look_up(self._batch, self._dependencies)
            while not await self._is_up_to_date(left):
                pass
            # From here on nobody else has a turn.
            prepared = [one for one in self._prepared if one is not None]
            self._submissions, self._prepared = [], []
            return commit_loop.reactor.on_submit(prepared, self._stored, actor, commit_loop.clock.now_ms())

    def release(self) -> None:
        """Let those leave memory that were loaded."""
        for job_id in self._loaded:
            release_job(self._commit_loop, job_id)

    async def _find_whole_ids(self) -> None:
        if not any(one.spec.names_jobs for one in self._submissions):
            return
        wanted: dict[JobId, None] = {}
        async for one in giving_way(self._submissions):
            if one.spec.names_jobs:
                wanted |= dict.fromkeys(JobId(other) for other in one.spec.comes_after)
        outside = [other for other in wanted if other not in self._batch]
        resolved = {other: (await resolve(self._commit_loop, other))[0] for other in outside}
        async for place, one in giving_way(enumerate(self._submissions)):
            if one.spec.names_jobs:
                spec = with_whole_ids(one.spec, resolved)
                self._submissions[place] = api.Submission(one.job_id, spec)
                self._dependencies.update(other for other in spec.dependencies if other.job not in self._batch)

    async def _look_up(self, job_ids: set[JobId], dependencies: set[Dependency]) -> None:
        database = self._commit_loop.database
        self._stored |= await database.read(lambda connection: waiting.standings(connection, dependencies))
        found = await database.read(lambda connection: query.states(connection, list(job_ids)))
        self._stored.update({str(job_id): state for job_id, state in found.items()})

    async def _is_up_to_date(self, left: set[JobId]) -> bool:
        """Do the next of what is still to be done; True where that is nothing. Whatever changed meanwhile is done again."""
        commit_loop, stored = self._commit_loop, self._stored
        live = commit_loop.fleet.jobs
        if left:  # the same have come in meanwhile, and have ended
            ended = set(left)
            left.clear()
            await self._look_up(ended, set())
            return False
        gone = {one for one in self._dependencies if _was_live(stored, one.job) and one.job not in live}
        if gone:  # they have ended since they were looked up
            await self._look_up(set(), gone)
            return False
        missing = next((one for one in self._batch if one in stored and one not in live), None)
        if missing is not None:
            self._loaded.append(missing)
            job = await load_job(commit_loop, missing)
            await load_templates(commit_loop, [job.terms.spec])
            return False
        places = [
            place for place, one in enumerate(self._submissions)
            if self._prepared[place] is None or (one.job_id in live and place not in self._known)
        ]  # fmt: skip
        if places:
            await self._prepare(places)
        return not places

    async def _prepare(self, places: Sequence[int]) -> None:
        """Look at some by themselves, or as what is there under their ids says."""
        commit_loop = self._commit_loop
        some = [self._submissions[place] for place in places]
        live = commit_loop.fleet.jobs
        known = [live[one.job_id].terms.spec for one in some if one.job_id in live]
        await load_templates(commit_loop, [*(one.spec for one in some), *known])
        async for place in giving_way(places):
            one = self._submissions[place]
            if one.job_id in commit_loop.fleet.jobs:
                self._known.add(place)
            [self._prepared[place]] = commit_loop.reactor.prepare([one])


def _was_live(stored: dict[str, TaskState], job_id: str) -> bool:
    """Whether the job was live when its state was looked up."""
    return job_id in stored and not is_task_finished(stored[job_id])
