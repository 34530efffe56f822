"""Fetching the jobs that a coordinator doesn't push: those that ended longer ago, newest first, page by page."""

from opsconsole.ask import ask
from opsconsole.job_page import next_page
from opsconsole_console.model.model import Model
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import JobList, ListJobs

_PAGE_JOBS = 500


class OlderJobs:
    """`fetch_page` puts one page more into the model."""

    def __init__(self, source: FleetSource, model: Model) -> None:
        self._source = source
        self._model = model
        self._next_page = ListJobs(limit=_PAGE_JOBS)
        self.is_fetching = False

    async def fetch_page(self) -> None:
        """Fetch the next page that has jobs which aren't here yet; nothing while one is fetched. Raises OpsconsoleError."""
        if self.is_fetching:
            return
        self.is_fetching = True
        try:
            while not self._model.all_fetched:
                answer = await ask(self._source, self._next_page, JobList)
                self._next_page = next_page(self._next_page, answer)
                self._model.all_fetched = not answer.more
                if self._model.add_older(answer.jobs):
                    return
        finally:
            self.is_fetching = False
