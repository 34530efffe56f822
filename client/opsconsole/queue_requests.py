"""The queue: lists of jobs, the order of those that wait, and taking them off."""

from collections.abc import AsyncIterator

import msgspec

from opsconsole.client_part import ClientPart
from opsconsole.job_page import next_page
from opsconsole.queue_moves import moves_of
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest


class QueueRequests(ClientPart):
    """A part of a client: its lists of jobs, and what it does to those that wait."""

    async def jobs(
        self, filter: str = "", project: str = "", limit: int = 100, *, inverted: bool = False,  # noqa: A002
        sort: str = "", ascending: bool = False,
    ) -> list[api.JobRow]:  # fmt: skip
        """The newest jobs that match a filter line (`opsconsole_protocol.filter`), newest first; `inverted`: those that don't.

        `sort`: in the order of a field (`job_filter.SORTS`) from the greatest, or `ascending` from the least.
        """
        rows = self.iter_jobs(filter, project, limit, inverted=inverted, sort=sort, ascending=ascending)
        return [row async for row in rows]

    async def iter_jobs(
        self, filter: str = "", project: str = "", limit: int = 100, *, inverted: bool = False,  # noqa: A002
        sort: str = "", ascending: bool = False,
    ) -> AsyncIterator[api.JobRow]:  # fmt: skip
        """The jobs that `jobs` returns, one by one: the next page is fetched when it is needed."""
        if limit < 0:
            raise InvalidRequest(f"limit is {limit}: give how many jobs, 0 or more")
        left = limit
        asked = api.ListJobs(filter=filter, project=project, inverted=inverted, sort=sort, ascending=ascending)
        while left > 0:
            asked = msgspec.structs.replace(asked, limit=min(left, api.PAGE_MAX))
            page = await self._ask(asked, api.JobList)
            for row in page.jobs:
                yield row
            left -= len(page.jobs)
            if not page.more:
                return
            asked = next_page(asked, page)

    async def set_priority(self, id: str, priority: int, *, relative: bool = False) -> str:  # noqa: A002
        """Change a waiting job's priority or, with `relative`, add to it. Returns in one line what happened."""
        return (await self._ask(api.SetPriority(id=id, priority=priority, relative=relative), api.Done)).text

    async def move(self, *ids: str, before: str = "", after: str = "", to: str = "") -> str:
        """Move waiting jobs before or after another one, or `to` first, last, earlier or later; return in one line what happened.

        Several stand together then, in the order in which they are named; where one can't be moved, those before it are. Only jobs of one person, project and priority have an order of their own: for others Conflict says what decides.
        """
        given = [
            (where, other)
            for where, other in (("before", before), ("after", after), (to, ""))
            if where and (other or where == to)
        ]
        if len(given) != 1:
            raise InvalidRequest("say where to move it: before or after a job, or to first, last, earlier or later")
        if not ids:
            raise InvalidRequest("no job is named: say which to move")
        where, other = given[0]
        said = [(await self._ask(one, api.Done)).text for one in moves_of(ids, where, other)]
        return said[0] if len(said) == 1 else f"{len(said)} jobs together, one of them {said[0]}"

    async def pop(self, project: str = "", index: int = 0, *, hold: bool = False) -> api.Popped:
        """Take a waiting job off the queue of a project (of all, where it is empty): the next one, or that at `index` as of a list.

        It is cancelled, or with `hold` held; its spec comes with the answer. Nobody else gets the same job. Raises NotFound where
        none waits. A call whose answer was lost isn't tried again: the job that it took is cancelled, `taken off the queue`.
        """
        return await self._ask(api.PopJob(project=project, index=index, hold=hold), api.Popped)

    async def clear(self, project: str, *, dry_run: bool = False) -> list[str]:
        """Cancel all jobs of a project of which nothing has started, and return their ids; with `dry_run` only that."""
        found: list[str] = []
        while True:
            answer = await self._ask(api.ClearQueue(project=project, dry_run=dry_run), api.Cleared)
            found[:0] = answer.ids
            if dry_run or not answer.more:
                return found

    async def set_max_parallel(self, id: str, max_parallel: int | None) -> str:  # noqa: A002
        """Change how many tasks of a job may run at a time, None: any number; return in one line what happened. Raises Conflict."""
        return (await self._ask(api.SetParallel(id=id, max_parallel=max_parallel), api.Done)).text
