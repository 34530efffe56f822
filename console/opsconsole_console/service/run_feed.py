"""The runs of jobs, or single ones, as they go on: all of them once, and then the pages on which some still run."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from opsconsole.ask import Requester, ask
from opsconsole_console.model.comparison import Run, runs_of
from opsconsole_protocol.api import MetricsAnswer, ReadMetrics

RUNS_MAX = 10_000
"""More than that aren't looked at."""
PAGE_RUNS = 500


@dataclass(slots=True)
class _Page:
    """Runs that are asked for together; `wanted` has their indices where not all are looked at."""

    job_id: str
    first: int
    limit: int
    wanted: frozenset[int] | None = None
    runs: Mapping[str, Run] = field(default_factory=dict)
    is_known: bool = False

    @property
    def running(self) -> int:
        """How many of them aren't over."""
        return sum(not run.is_over for run in self.runs.values())


class RunFeed:
    """Of `ids`, jobs (`JOB`) and tasks (`JOB/task-N`), in this order. Not to be read twice at a time."""

    def __init__(self, source: Requester, ids: Sequence[str]) -> None:
        self._source = source
        self._pages = list(_pages(ids))
        self.is_cut = False
        """There are more runs than are looked at."""

    @property
    def runs(self) -> dict[str, Run]:
        """What was answered last, by id."""
        return {run_id: run for page in self._pages for run_id, run in page.runs.items()}

    async def read(self, unfinished: Mapping[str, int] | None = None) -> AsyncIterator[dict[str, Run]]:
        """Ask for what may have changed, page by page, and yield the runs that did. Raises OpsconsoleError.

        `unfinished`: how many tasks of each job aren't over, as far as that is known. Where those are more than they were, somebody has
        retried some, and all pages of the job are asked for.
        """
        retried = self._retried(unfinished or {})
        place = 0
        while place < len(self._pages):
            page = self._pages[place]
            if not page.is_known or page.running or page.job_id in retried:
                before = page.runs
                await self._read_page(page, is_last=self._is_last(place))
                if changed := {run_id: run for run_id, run in page.runs.items() if before.get(run_id) != run}:
                    yield changed
            place += 1

    def _retried(self, unfinished: Mapping[str, int]) -> set[str]:
        running: dict[str, int] = {}
        for page in self._pages:
            if page.wanted is None:
                running[page.job_id] = running.get(page.job_id, 0) + page.running
        return {page.job_id for page in self._pages if unfinished.get(page.job_id, 0) > running.get(page.job_id, 0)}

    def _is_last(self, place: int) -> bool:
        after = self._pages[place + 1 : place + 2]
        return not after or after[0].job_id != self._pages[place].job_id

    async def _read_page(self, page: _Page, *, is_last: bool) -> None:
        request = ReadMetrics(id=page.job_id, tasks_from=page.first, tasks_limit=page.limit)
        answer = await ask(self._source, request, MetricsAnswer)
        wanted = None if page.wanted is None else {f"{page.job_id}/task-{index}" for index in page.wanted}
        page.runs = runs_of(run for run in answer.runs if wanted is None or run.task_id in wanted)
        page.is_known = True
        if answer.more and answer.runs and is_last and page.wanted is None:
            if sum(one.limit for one in self._pages) >= RUNS_MAX:
                self.is_cut = True
            else:
                after = self._pages.index(page) + 1
                self._pages.insert(after, _Page(page.job_id, page.first + len(answer.runs), PAGE_RUNS))


def _pages(ids: Iterable[str]) -> Iterable[_Page]:
    """The first page of each job; of tasks as few pages as have all of them."""
    jobs: dict[str, set[int] | None] = {}
    for one in ids:
        job_id, _, task = one.partition("/")
        index = task.rpartition("-")[2]
        known = jobs.setdefault(job_id, set())
        if not index.isdecimal():
            jobs[job_id] = None
        elif known is not None:
            known.add(int(index))
    for job_id, indices in jobs.items():
        if indices is None:
            yield _Page(job_id, 0, PAGE_RUNS)
            continue
        left = sorted(indices)
        while left:
            here = [index for index in left if index < left[0] + PAGE_RUNS]
            yield _Page(job_id, here[0], here[-1] - here[0] + 1, frozenset(here))
            left = left[len(here) :]
