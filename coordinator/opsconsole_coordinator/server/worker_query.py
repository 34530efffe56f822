"""Questions to agents about what can be removed on their hosts; each waits for its answer for a while."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_protocol import link
from opsconsole_protocol.ids import JobId, WorkerId
from opsconsole_protocol.link import LEAVINGS_MAX, Leaving

ANSWER_WAIT_S = 30.0
"""How long an answer is waited for: an agent may have to walk through a large disk."""
REMOVAL_WAIT_S = 300.0


class WorkerLeavings(msgspec.Struct, frozen=True):
    """What one worker has said."""

    worker: Worker
    leavings: Sequence[Leaving]
    troubles: tuple[str, ...] = ()
    more: bool = False


class WorkerQuery:
    """Asks agents. A method returns None where the worker isn't connected or doesn't answer in time."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop

    async def find_leavings(self, worker: Worker, older_than_ms: int) -> WorkerLeavings | None:
        """Ask what ended attempts left on a worker."""
        said = await self._ask(
            worker, lambda number: link.LookForLeavings(check_id=number, older_than_ms=older_than_ms)
        )
        return None if said is None else WorkerLeavings(worker, said.leavings, said.troubles, said.more)

    async def find_outputs(self, worker: Worker, job_ids: Sequence[JobId]) -> WorkerLeavings | None:
        """Ask which of these jobs' output folders a worker has, LEAVINGS_MAX jobs at a time, until LEAVINGS_MAX folders are found."""
        found: list[Leaving] = []
        troubles: dict[str, None] = {}
        for start in range(0, len(job_ids), LEAVINGS_MAX):
            some = tuple(job_ids[start : start + LEAVINGS_MAX])
            said = await self._ask(worker, partial(_look_for_outputs, job_ids=some))
            if said is None or said.keep_attempt_days is None:  # an older agent, which knows nothing of outputs
                return None
            found += [one for one in said.leavings if one.job_id in some]
            troubles.update(dict.fromkeys(said.troubles))
            if said.more or len(found) > LEAVINGS_MAX:
                return WorkerLeavings(worker, found[:LEAVINGS_MAX], tuple(troubles), more=True)
        return WorkerLeavings(worker, found, tuple(troubles))

    async def retention_policies(self, workers: Iterable[Worker]) -> dict[WorkerId, link.Leavings]:
        """Ask workers what they remove by themselves, and when. Returns the answers of those that answer."""
        asked = [worker for worker in workers if worker.id in self._commit_loop.sessions]
        answers = await asyncio.gather(*(self._ask(one, partial(_look_for_outputs, job_ids=())) for one in asked))
        return {one.id: said for one, said in zip(asked, answers, strict=True) if said is not None}

    async def remove(self, found: WorkerLeavings) -> WorkerLeavings | None:
        """Have all that was found removed. Returns what was."""
        names = tuple(one.name for one in found.leavings if not one.job_id)
        outputs = tuple(one.job_id for one in found.leavings if one.job_id)
        said = await self._ask(
            found.worker,
            lambda number: link.RemoveLeavings(check_id=number, names=names, outputs=outputs),
            REMOVAL_WAIT_S,
        )
        return None if said is None else WorkerLeavings(found.worker, said.leavings, said.troubles, said.more)

    async def _ask(
        self, worker: Worker, question: Callable[[int], link.CoordinatorMessage], wait_s: float = ANSWER_WAIT_S
    ) -> link.Leavings | None:
        return await self._commit_loop.questions.ask(worker.id, question, link.Leavings, wait_s)


def _look_for_outputs(number: int, job_ids: tuple[JobId, ...]) -> link.LookForLeavings:
    return link.LookForLeavings(check_id=number, attempts=False, outputs=job_ids)
