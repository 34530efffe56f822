"""Finding the job that somebody means by what was typed: an id, the beginning of one, or a name."""

from opsconsole.ask import ask
from opsconsole.job_page import next_page
from opsconsole_console.model.model import Model
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import DetailAnswer, JobList, JobRow, ListJobs, ShowJob
from opsconsole_protocol.error import InvalidRequest, NotFound

_SAME_NAME_MAX = 10


class JobLookup:
    """Looks among the jobs at hand first, and then asks the coordinator."""

    def __init__(self, source: FleetSource, model: Model) -> None:
        self._source = source
        self._model = model

    def at_hand(self, text: str) -> JobRow | None:
        """The one job at hand that is meant, or None where none is. Raises InvalidRequest where it could be several."""
        found = self._model.jobs_named(text)
        if len(found) > 1:
            raise _ambiguous(text, len(found))
        return found[0] if found else None

    async def fetch(self, text: str) -> JobRow:
        """Ask for a job that isn't at hand; it is afterwards. Raises OpsconsoleError: NotFound, or as `at_hand`."""
        try:
            request = ShowJob(id=text, tasks_limit=0, events_limit=0)
            job = (await ask(self._source, request, DetailAnswer)).detail.job
        except (NotFound, InvalidRequest):
            job = await self._fetch_named(text)
        self._model.add_older([job])
        return job

    async def _fetch_named(self, name: str) -> JobRow:
        found = list[JobRow]()
        request = ListJobs(filter=f'name="{name}"', limit=_SAME_NAME_MAX)
        more = '"' not in name
        while more and len(found) < _SAME_NAME_MAX:
            answer = await ask(self._source, request, JobList)
            found += [job for job in answer.jobs if job.name == name]
            more, request = answer.more, next_page(request, answer)
        if not found:
            raise NotFound(f"there is no job {name!r}")
        if len(found) > 1:
            raise _ambiguous(name, len(found))
        return found[0]


def _ambiguous(text: str, number: int) -> InvalidRequest:
    return InvalidRequest(f"{text!r} could be any of {number} jobs: type more of the id")
