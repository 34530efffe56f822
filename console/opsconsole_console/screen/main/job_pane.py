"""Pane 2: the jobs."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from textual import on

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole.job_page import next_page
from opsconsole_console.model.coverage import ALL, NOTHING_YET, Coverage, Extent
from opsconsole_console.model.model import Model
from opsconsole_console.screen.main.job_column import DEFAULT_SORT, HOTKEYS, WIDE_FROM, job_columns
from opsconsole_console.screen.part import job_cell
from opsconsole_console.screen.part.job_action import JobActions
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.screen.part.wide_row_table import BelowTable, WideRowTable
from opsconsole_console.service.older_jobs import OlderJobs
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import JobList, JobRow, ListJobs, job_filter
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.filter import Filter

_FOUND_MAX = 5_000
"""How many older jobs that match are shown at most."""
PAUSE_S = 0.3
"""How long after the last key older jobs are looked through."""
_AGAIN_S = 2.0
_NEAR_END_ROWS = 20
_PAGE_JOBS = 500
_OFFERED_FOR = 100
"""How many of the marked jobs the footer looks at, which it does with each key."""


class JobPane(TablePane[JobRow], JobActions):
    """Every unfinished job and the newest finished ones; older ones are fetched as the cursor comes near the end."""

    nothing = "No jobs yet\n\nn makes one;  opsconsole submit does the same from a shell"
    BINDINGS = sort_bindings("jobs", HOTKEYS)

    def __init__(self, model: Model, source: FleetSource) -> None:
        self._model = model
        self._source = source
        self._older_jobs = OlderJobs(source, model)
        self._is_searched = False
        self._matched = 0
        """How many of all jobs the coordinator found to match, as far as it has looked."""
        super().__init__(number=2, title="Jobs", id="jobs")

    def make_table(self) -> WideRowTable[str, JobRow]:
        table: WideRowTable[str, JobRow] = WideRowTable(
            self.columns(80),
            wide_cell=lambda job: job_cell.remark(job, self._model.clock()),
            wide_from=lambda _job: WIDE_FROM,
            id="job-table",
        )
        table.sort_by(DEFAULT_SORT, reverse=False)
        return table

    def columns(self, width: int) -> Sequence[Column[JobRow]]:
        return job_columns(self._model, width)

    def properties(self, row: JobRow) -> Mapping[str, Any]:
        return job_filter.properties(row, self._model.clock())

    def haystack(self, row: JobRow) -> str:
        return job_filter.haystack(row)

    def read_filter(self, text: str, *, inverted: bool) -> Filter:
        return job_filter.parse(text, inverted=inverted)

    @property
    def fields(self) -> Sequence[str]:
        return sorted(job_filter.FIELDS)

    def selected_jobs(self) -> Sequence[JobRow]:
        return self._jobs(self.table.marked)

    def offered_jobs(self) -> Sequence[JobRow]:
        return self._jobs(self.table.some_marked(_OFFERED_FOR))

    def _jobs(self, marked: Sequence[str]) -> Sequence[JobRow]:
        ids = marked or ([self.table.cursor_id] if self.table.cursor_id is not None else [])
        return [row for row in map(self._model.job, ids) if row is not None]

    def unmark_jobs(self, job_ids: Collection[str]) -> None:
        self.table.unmark(job_ids)

    def let_job_go(self) -> None:
        self.table.let_go()

    def apply(self, change: Change) -> None:
        """Show what changed."""
        if change.reset:
            self.fit_columns(anew=True)
            self.table.set_rows(self._model.jobs())
        else:
            self._update_rows(change)
        if self.table.cursor_id in change.jobs:
            self.refresh_bindings()
        self._update_coverage()
        self.subject = self._missing_text()
        if not self.filter.empty:
            self.show_state()

    def show_job(self, job_id: str) -> bool:
        """Put the cursor on a job. Return False where it isn't shown."""
        shell(self).repaint()
        return self.table.move_to(job_id)

    @on(LiveTable.RowHighlighted)
    def _mark_seen(self, event: LiveTable.RowHighlighted) -> None:
        self.refresh_bindings()
        if event.row_id is not None and event.left is not None:
            self._model.mark_seen(event.row_id)

    def _update_rows(self, change: Change) -> None:
        self.table.upsert({job_id: row for job_id in change.jobs if (row := self._model.job(job_id)) is not None})
        self.table.discard(change.jobs_removed)
        self.table.apply_pending()

    # -- how much is here -----------------------------------------------------------------------------------------

    def set_filter(self, text: str, *, inverted: bool | None = None) -> None:
        super().set_filter(text, inverted=inverted)
        self._is_searched = False
        self._matched = 0
        self._model.forget_found(self.table.marked)
        self._update_coverage()
        self.subject = self._missing_text()
        if self._model.jobs_missing and self.is_mounted:
            run_exclusive(self, self._search_older, "search")

    def _update_coverage(self) -> None:
        model = self._model
        if not model.is_known:
            self.set_coverage(NOTHING_YET)
        elif not model.jobs_missing or (not self.filter.empty and self._is_all_found):
            self.set_coverage(ALL)
        elif self.filter.empty or not self._is_searched:
            self.set_coverage(Coverage(Extent.PART, looking=not self.filter.empty))
        else:
            note = f"the newest {self._shown_max:,} of {self._matched:,} that match are shown"
            self.set_coverage(Coverage(Extent.PART, note=note))

    @property
    def _shown_max(self) -> int:
        """How many of those that match are shown at least, if there are as many: all that live are here, and so many of the others."""
        return max(_FOUND_MAX, self.table.shown)

    @property
    def _is_all_found(self) -> bool:
        return self._is_searched and self._matched <= self._shown_max

    def count_text(self) -> str:
        total = max(self._model.fleet.jobs_total, self.table.total)
        matched = max(self._matched, self.table.shown)
        return f"searching… {matched:,} match" if self.coverage.looking else f"{matched:,} of {total:,}"

    async def _search_older(self) -> None:
        """Have the coordinator look through all jobs for what the filter wants: only the newest are here.

        What is more than can be shown is counted.
        """
        await asyncio.sleep(PAUSE_S)
        if self.filter.empty:
            return
        request = ListJobs(filter=self.filter.text, inverted=self.filter.inverted, limit=_PAGE_JOBS)
        more = True
        while more:
            if self._matched >= _FOUND_MAX:
                request = replace(request, count_only=True)
            try:
                answer = await ask(self._source, request, JobList)
            except Unavailable:
                await asyncio.sleep(_AGAIN_S)
                continue
            self._model.add_found(answer.jobs)
            self._matched += len(answer.jobs) + answer.matched
            more, request = answer.more, next_page(request, answer)
            self.show_state()
        self._is_searched = True
        self._update_coverage()
        self.subject = self._missing_text()

    def _missing_text(self) -> str:
        missing = self._model.jobs_missing
        if not self.filter.empty:
            return self.coverage.note
        return f"{missing:,} older below" if missing and self.table.total else ""

    @on(LiveTable.RowHighlighted)
    def _fetch_near_end(self) -> None:
        table = self.table
        if not isinstance(table, BelowTable):
            return
        is_whole = self.filter.empty and table.sorted_by == DEFAULT_SORT
        if is_whole and self._model.jobs_missing and table.rows_below < _NEAR_END_ROWS:
            self._fetch_older()

    def _fetch_older(self) -> None:
        if not self._older_jobs.is_fetching:
            shell(self).look_up(self._older_jobs.fetch_page)
