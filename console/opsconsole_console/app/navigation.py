"""Going from screen to screen: what keys, the command line and the palette open."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from textual.app import App

from opsconsole.job_page import next_page
from opsconsole_console import format as fmt
from opsconsole_console.model import command as commands
from opsconsole_console.model.command import Command, Names
from opsconsole_console.model.model import Model
from opsconsole_console.screen.main.main_screen import MainScreen
from opsconsole_console.service.log_feeder import LogTarget
from opsconsole_console.service.operations import Operations, Severity
from opsconsole_console.service.source import FleetSource, ask
from opsconsole_protocol.api import DetailAnswer, JobList, JobRow, ListJobs, ShowJob
from opsconsole_protocol.error import InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.state import TaskState

_PAGE_JOBS = 500
_SAME_NAME_MAX = 10
_JOBS_COMPLETED = 2_000
_LOGS_OPENED_MAX = 4


class Navigation(App[int]):
    """The app's ways. Screens are imported when they are first opened."""

    source: FleetSource
    model: Model
    operations: Operations
    main: MainScreen
    _fetching_older = False
    _older_page = ListJobs(limit=_PAGE_JOBS)

    @property
    def read_only(self) -> bool:
        """Whether this console may only look."""
        raise NotImplementedError

    def say(self, text: str, severity: Severity = "information") -> None:
        """Show a toast."""
        raise NotImplementedError

    def do(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something in the background."""
        raise NotImplementedError

    def look_up(self, work: Callable[[], Awaitable[None]]) -> None:
        """Fetch something that nobody asked for by a key."""
        raise NotImplementedError

    def set_theme(self, name: str) -> None:
        """Change the colours."""
        raise NotImplementedError

    # -- screens --------------------------------------------------------------------------------------------------

    def open_job(self, job_id: str) -> None:
        """One job."""
        from opsconsole_console.screen.job.job_screen import JobScreen

        self.push_screen(JobScreen(self.model, self.source, job_id))

    def action_failure(self, step: int) -> None:
        """Go to the next job that failed unseen, or back: on the first screen with the cursor, else to its own screen."""
        from opsconsole_console.screen.job.job_screen import JobScreen

        job_id = self.model.failures.step(step)
        if job_id is None:
            self.say("nothing failed unseen" if step > 0 else "this is the first failure gone to")
            return
        self.model.look(job_id)
        if self.screen is not self.main:
            self.switch_screen(JobScreen(self.model, self.source, job_id))
        elif self.main.job_pane.show_job(job_id):
            self.main.show_table(self.main.job_pane)
        else:
            self.open_job(job_id)  # a filter hides it, or it is among the older ones

    def action_failures_seen(self) -> None:
        number = self.model.look_at_all()
        self.say(f"{fmt.plural(number, 'failure')} seen" if number else "nothing failed unseen")

    def open_worker(self, worker_id: str) -> None:
        """One worker."""
        from opsconsole_console.screen.worker.worker_screen import WorkerScreen

        self.push_screen(WorkerScreen(self.model, self.source, worker_id))

    def open_why(self, job_id: str) -> None:
        """Why a job stands where it stands, or how it came to its end."""
        from opsconsole_console.screen.ended.ended_screen import EndedScreen
        from opsconsole_console.screen.why.why_screen import WhyScreen

        job = self.model.job(job_id)
        has_failed = job is not None and job.finished_at_ms is not None and job.state != TaskState.SUCCEEDED
        self.push_screen((EndedScreen if has_failed else WhyScreen)(self.model, self.source, job_id))

    def open_spec(self, job_id: str) -> None:
        """A job's whole spec."""
        from opsconsole_console.screen.text.text_screen import spec_screen

        async def show() -> None:
            detail = (await ask(self.source, ShowJob(id=job_id, tasks_limit=0, events_limit=0), DetailAnswer)).detail
            self.push_screen(spec_screen(detail))

        self.do(show)

    def open_properties(self, worker_id: str) -> None:
        """All that a worker says about itself."""
        from opsconsole_console.screen.text.text_screen import properties_screen

        worker = self.model.fleet.workers.get(worker_id)
        if worker is not None:
            self.push_screen(properties_screen(worker))

    def open_events(self, filter_text: str = "") -> None:
        """Who did what, when and why."""
        from opsconsole_console.screen.event.event_screen import EventScreen

        self.push_screen(EventScreen(self.model, self.source, filter_text))

    def open_invite(self) -> None:
        """Somebody new: a host, or a person."""
        from opsconsole_console.screen.invite.invite_screen import InviteScreen

        self.push_screen(InviteScreen(self.model, self.source))

    def open_people(self) -> None:
        """Who may do what."""
        from opsconsole_console.screen.people.people_screen import PeopleScreen

        self.push_screen(PeopleScreen(self.model, self.source))

    def open_again(self, job_id: str) -> None:
        """The new-job dialog, filled in from a job."""

        async def show() -> None:
            detail = (await ask(self.source, ShowJob(id=job_id, tasks_limit=0, events_limit=0), DetailAnswer)).detail
            from opsconsole_console.model.draft import from_spec
            from opsconsole_console.screen.new_job.new_job_screen import NewJobScreen

            self.push_screen(NewJobScreen(self.model, self.source, from_spec(detail.spec)))

        self.do(show)

    def action_new_job(self) -> None:
        from opsconsole_console.screen.new_job.new_job_screen import NewJobScreen

        if self.read_only:
            self.say("this console is read-only: it can't make jobs", "warning")
            return
        self.push_screen(NewJobScreen(self.model, self.source))

    def submitted(self, jobs: Sequence[JobRow]) -> None:
        """Say what was submitted, and show it."""
        for job in jobs:
            self.say(f"submitted {job.name} ({job.id}) to project {job.project}")
            self.call_later(self.main.job_pane.show_job, job.id)

    def action_help(self) -> None:
        from opsconsole_console.screen.help.help_screen import HelpScreen, keys_of
        from opsconsole_console.screen.part.log_pane import LogPane
        from opsconsole_console.screen.part.table_pane import TablePane
        from opsconsole_console.widget.log_view import LogView
        from opsconsole_console.widget.pane import Pane

        also = (LogPane, LogView) if self.screen is self.main else ()
        fields = {
            pane.title: pane.fields for pane in self.screen.query(Pane) if isinstance(pane, TablePane) and pane.fields
        }
        self.push_screen(HelpScreen(keys_of(self.screen, also), fields))

    def open_logs(self, job_id: str, task_index: int | None = None, attempt: int | None = None) -> None:
        """A log pane on the first screen."""
        job = self.model.job(job_id)
        name = job_id if job is None else job.name
        tasks = 1 if job is None else job.num_tasks
        while self.screen is not self.main:
            self.pop_screen()
        self.main.log_deck.open(LogTarget(job_id, name, tasks, task_index, attempt))

    def open_worker_logs(self, worker_name: str) -> None:
        """Log panes on what runs on a worker."""
        from opsconsole_console.screen.worker.worker_task import tasks_on

        async def show() -> None:
            tasks = list((await tasks_on(self.source, self.model, worker_name)).values())
            if not tasks:
                self.say(f"nothing runs on {worker_name}", "warning")
            for task in tasks[:_LOGS_OPENED_MAX]:
                self.open_logs(task.job.id, task.index)

        self.do(show)

    # -- the command line -------------------------------------------------------------------------------------------

    def action_command_line(self) -> None:
        from opsconsole_console.screen.command.command_screen import CommandScreen

        self.push_screen(CommandScreen(self.names(), read_only=self.read_only), self.run_line)

    def run_line(self, line: str | None) -> None:
        """Do what was typed on the command line."""
        if not line or not line.strip(" :"):
            return
        try:
            self.run_command(commands.parse(line, read_only=self.read_only))
        except OpsconsoleError as error:
            self.say(error.message, "warning")

    def names(self) -> Names:
        """What the command line can complete."""
        jobs, fleet = self.model.newest_jobs(_JOBS_COMPLETED), self.model.fleet
        return Names(
            jobs=[(self.model.short_ids.show(job.id), f"{job.name}  {job.state}") for job in jobs],
            workers=[(worker.name, worker.connection) for worker in fleet.workers.values()],
            themes=sorted(self.available_themes),
            projects=sorted(fleet.projects.keys() | {job.project for job in jobs}),
            values={
                "state": sorted({job.state for job in jobs}),
                "project": sorted({job.project for job in jobs}),
                "worker": sorted(worker.name for worker in fleet.workers.values()),
                "submitted_by": sorted({job.submitted_by for job in jobs}),
                "status": ("available", "busy", "reserved", "maintenance"),
                "connection": ("connected", "silent", "lost"),
                "tags": sorted({tag for worker in fleet.workers.values() for tag in worker.tags}),
            },
        )

    def run_command(self, command: Command) -> None:
        """Do what was typed. Raises OpsconsoleError where it names nothing."""
        name, argument = command.kind.name, command.argument
        match command.kind.argument:
            case "job":
                self._run_on_job(name, argument)
            case "worker":
                self._run_on_worker(name, argument)
            case "filter" if name == "events":
                self.open_events(argument)
            case "filter":
                self._show_filtered(name, argument)
            case "project":
                self._show_filtered("jobs", f"project={argument}")
            case "theme":
                self.set_theme(argument)
            case _:
                self._run_plain(name)

    def _run_plain(self, name: str) -> None:
        match name:
            case "new":
                self.action_new_job()
            case "help":
                self.action_help()
            case "invite":
                self.open_invite()
            case "people":
                self.open_people()
            case "quit":
                self.call_later(self.run_action, "app.quit")

    def _run_on_job(self, name: str, text: str) -> None:
        ways = {"logs": self.open_logs, "show": self.open_job, "why": self.open_why, "describe": self.open_spec,
                "again": self.open_again}  # fmt: skip
        self.with_job(text, ways.get(name) or partial(self._act_on_job, name))

    def _act_on_job(self, verb: str, job_id: str) -> None:
        job = self.model.job(job_id)
        if job is not None:
            self.do(partial(self.operations.act, verb, [job]))

    def with_job(self, text: str, way: Callable[[str], object]) -> None:
        """Go a way with the job that an id, its beginning or a name means; one that isn't here is asked for.

        Raises InvalidRequest where it could be several.
        """
        job = self._one_job(text)
        if job is not None:
            way(job.id)
            return

        async def go() -> None:
            way((await self._ask_for_job(text)).id)

        self.do(go)

    async def _ask_for_job(self, text: str) -> JobRow:
        try:
            request = ShowJob(id=text, tasks_limit=0, events_limit=0)
            job = (await ask(self.source, request, DetailAnswer)).detail.job
        except (NotFound, InvalidRequest):
            named = f'name="{text}"' if '"' not in text else ""
            request_all, found = ListJobs(filter=named, limit=_SAME_NAME_MAX), list[JobRow]()
            more = bool(named)
            while more and len(found) < _SAME_NAME_MAX:
                answer = await ask(self.source, request_all, JobList)
                found += [job for job in answer.jobs if job.name == text]
                more, request_all = answer.more, next_page(request_all, answer)
            if not found:
                raise NotFound(f"there is no job {text!r}") from None
            if len(found) > 1:
                raise _ambiguous(text, len(found)) from None
            job = found[0]
        self.model.add_older([job])
        return job

    def _run_on_worker(self, name: str, text: str) -> None:
        worker = self.model.worker_named(text)
        if worker is None:
            raise NotFound(f"there is no worker {text!r}")
        if name == "worker":
            self.open_worker(worker.id)
        else:
            self.do(partial(self.operations.drain, worker, name))

    def _show_filtered(self, table: str, text: str) -> None:
        while self.screen is not self.main:
            self.pop_screen()
        pane = self.main.worker_pane if table == "workers" else self.main.job_pane
        pane.set_filter(text, inverted=False)
        self.main.show_table(pane)

    def _one_job(self, text: str) -> JobRow | None:
        found = self.model.jobs_named(text)
        if len(found) > 1:
            raise _ambiguous(text, len(found))
        return found[0] if found else None

    # -- pages ----------------------------------------------------------------------------------------------------

    def fetch_older_jobs(self) -> None:
        """Fetch the next page of jobs that aren't here yet, one page at a time."""
        if self._fetching_older or self.model.all_fetched:
            return
        self._fetching_older = True
        self.look_up(self._fetch_older)

    async def _fetch_older(self) -> None:
        try:
            while not self.model.all_fetched:
                answer = await ask(self.source, self._older_page, JobList)
                self._older_page = next_page(self._older_page, answer)
                self.model.all_fetched = not answer.more
                if self.model.add_older(answer.jobs):
                    return
        finally:
            self._fetching_older = False


def _ambiguous(text: str, number: int) -> InvalidRequest:
    return InvalidRequest(f"{text!r} could be any of {number} jobs: type more of the id")
