"""Finding the job that somebody means by what was typed: an id, the beginning of one, or a name."""

import re

from opsconsole.ask import ask
from opsconsole.job_page import next_page
from opsconsole_console.model.model import Model
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import DetailAnswer, JobList, JobRow, ListJobs, ShowJob, job_filter
from opsconsole_protocol.error import InvalidRequest, NotFound

_SAME_NAME_MAX = 10
_FILTERED_MAX = 100
_OPERATOR = re.compile(r"[=~<>!]")
"""What makes words a filter; no id and hardly a name has one of them."""


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

    async def find_all(self, text: str) -> list[str]:
        """Ids of the jobs, or tasks (`JOB/task-N`), that words mean: each an id or a name, or all together a filter (`project=pose`).

        Raises OpsconsoleError as `fetch`, and where nothing or too much matches a filter.
        """
        if _OPERATOR.search(text) is not None:
            return [job.id for job in await self._fetch_filtered(text)]
        if (job := self.at_hand(text)) is not None:  # a name may have spaces
            return [job.id]
        found = []
        for word in text.split():
            name, slash, task = word.partition("/")
            job = self.at_hand(name) or await self.fetch(name)
            found.append(f"{job.id}{slash}{task}")
        return list(dict.fromkeys(found))

    async def _fetch_filtered(self, text: str) -> list[JobRow]:
        """The jobs at hand, and those on further pages of the coordinator's."""
        by, haystack = job_filter.properties_by(self._model.clock), job_filter.haystack
        keeps = job_filter.parse(text).predicate(by, haystack)
        found = {row.id: row for row in self._model.jobs().values() if keeps is None or keeps(row)}
        request, more = ListJobs(filter=text, limit=_FILTERED_MAX), True
        while more and len(found) <= _FILTERED_MAX:
            answer = await ask(self._source, request, JobList)
            self._model.add_older(answer.jobs)
            found |= {row.id: row for row in answer.jobs}
            more, request = answer.more, next_page(request, answer)
        if not found:
            raise NotFound(f"no job matches {text}")
        if len(found) > _FILTERED_MAX:
            raise InvalidRequest(f"more than {_FILTERED_MAX} jobs match {text}: narrow it down")
        return sorted(found.values(), key=lambda row: (-row.created_at_ms, row.id))

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
