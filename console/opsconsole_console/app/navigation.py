"""Opens the screens that keys, the command line and the palette ask for."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from textual.app import App

from opsconsole_console import format as fmt
from opsconsole_console.app.route import ROUTES, Made
from opsconsole_console.model.log_target import LogTarget
from opsconsole_console.screen.main.main_screen import MainScreen
from opsconsole_console.service import saved_filter
from opsconsole_console.service.job_lookup import JobLookup
from opsconsole_console.service.shell import Shell
from opsconsole_protocol.api import JobRow

_LOGS_OPENED_MAX = 4


class Navigation:
    """The `Navigator` of a console whose first screen is `main`."""

    def __init__(self, app: App[int], shell: Shell, main: MainScreen) -> None:
        self._app = app
        self._shell = shell
        self._main = main
        self._job_lookup = JobLookup(shell.source, shell.model)

    # -- screens by name ----------------------------------------------------------------------------------------------

    def open(self, route: str, subject: str = "", *, instead: bool = False) -> None:
        """Open a screen by its name in `ROUTES`, over the one on top or instead of it."""
        made = ROUTES[route](self._shell, subject)
        if isinstance(made, Awaitable):
            self._shell.do(partial(self._show_when_made, made, instead=instead))
        else:
            self._show_screen(made, instead=instead)

    async def _show_when_made(self, made: Awaitable[Made], *, instead: bool) -> None:
        self._show_screen(await made, instead=instead)

    def _show_screen(self, screen: Made, *, instead: bool) -> None:
        if screen is not None:
            (self._app.switch_screen if instead else self._app.push_screen)(screen)

    def open_found_job(self, route: str, text: str) -> None:
        """Open a screen on the job that `text` means."""
        self.with_job(text, lambda job_id: self.open(route, job_id))

    def with_job(self, text: str, use: Callable[[str], object]) -> None:
        """Give `use` the id of the job that `text` means; one that isn't at hand is asked for in the background.

        Raises InvalidRequest where it could be several.
        """
        job = self._job_lookup.at_hand(text)
        if job is not None:
            use(job.id)
            return

        async def use_fetched() -> None:
            use((await self._job_lookup.fetch(text)).id)

        self._shell.do(use_fetched)

    def with_jobs(self, text: str, use: Callable[[list[str]], object]) -> None:
        """Give `use` the ids of the jobs and tasks that `text` means, see `JobLookup.find_all`; looked for in the background."""

        async def use_found() -> None:
            use(await self._job_lookup.find_all(text))

        self._shell.do(use_found)

    def choose_input(self, worker_id: str, use: Callable[[str], object]) -> None:
        """Browse a worker's mounts for a file; `use` is given its name as an input, once one is chosen."""
        from opsconsole_console.model.file_spot import FileSpot
        from opsconsole_console.screen.file.file_screen import FileScreen

        worker = self._shell.model.fleet.workers.get(worker_id)
        if worker is not None:
            spot = FileSpot(worker=worker.name)
            self._app.push_screen(FileScreen(self._shell.model, self._shell.source, spot, use))

    # -- the first screen ---------------------------------------------------------------------------------------------

    def open_logs(self, job_id: str, task_index: int | None = None, attempt: int | None = None) -> None:
        """Open a log pane on the first screen."""
        job = self._shell.model.job(job_id)
        name = job_id if job is None else job.name
        tasks = 1 if job is None else job.num_tasks
        self._back_to_main()
        self._main.log_grid.open(LogTarget(job_id, name, tasks, task_index, attempt))

    def open_worker_logs(self, worker_name: str) -> None:
        """Open log panes on what runs on a worker."""
        from opsconsole_console.service.worker_task import tasks_on

        async def open_each() -> None:
            tasks = list((await tasks_on(self._shell.source, self._shell.model, worker_name)).values())
            if not tasks:
                self._shell.say(f"nothing runs on {worker_name}", "warning")
            for task in tasks[:_LOGS_OPENED_MAX]:
                self.open_logs(task.job.id, task.index)

        self._shell.do(open_each)

    def show_submitted(self, jobs: Sequence[JobRow]) -> None:
        """Say what was submitted, and put the cursor on it."""
        for job in jobs:
            self._shell.say(f"submitted {job.name} ({job.id}) to project {job.project}")
            self._app.call_later(self._main.job_pane.show_job, job.id)

    def save_filter(self, name: str) -> None:
        """Keep the jobs' filter by a name. Raises OpsconsoleError."""
        shown = self._main.job_pane.filter
        saved_filter.save(name, shown.text, inverted=shown.inverted)

    def show_filtered(self, table: str, text: str, *, inverted: bool = False) -> None:
        """Filter the `workers` or the `jobs`. Raises InvalidRequest where the filter can't be read."""
        self._back_to_main()
        pane = self._main.worker_pane if table == "workers" else self._main.job_pane
        pane.set_filter(text, inverted=inverted)
        self._main.show_table(pane)

    def _back_to_main(self) -> None:
        while self._app.screen is not self._main:
            self._app.pop_screen()

    # -- failures -----------------------------------------------------------------------------------------------------

    def step_failure(self, step: int) -> None:
        """Go to the next job that failed unseen, or back: on the first screen with the cursor, else on its own screen."""
        model = self._shell.model
        job_id = model.failures.step(step)
        if job_id is None:
            self._shell.say("nothing failed unseen" if step > 0 else "this is the first failure gone to")
            return
        model.mark_seen(job_id)
        if self._app.screen is not self._main:
            self.open("job", job_id, instead=True)
        elif self._main.job_pane.show_job(job_id):
            self._main.show_table(self._main.job_pane)
        else:
            self.open("job", job_id)  # a filter hides it, or it is among the older ones

    def mark_failures_seen(self) -> None:
        """Count every failure as seen, and say how many were new."""
        number = self._shell.model.mark_all_seen()
        self._shell.say(f"{fmt.plural(number, 'failure')} seen" if number else "nothing failed unseen")

    # -- help ---------------------------------------------------------------------------------------------------------

    def open_help(self) -> None:
        """Open the help: all keys of the screen on top, and what its tables can be filtered by."""
        from opsconsole_console.screen.help.help_screen import HelpScreen, keys_of
        from opsconsole_console.screen.part.log_pane import LogPane
        from opsconsole_console.screen.part.table_pane import TablePane
        from opsconsole_console.widget.log_view import LogView
        from opsconsole_console.widget.pane import Pane

        screen = self._app.screen
        also = (LogPane, LogView) if screen is self._main else ()
        fields = {pane.title: pane.fields for pane in screen.query(Pane) if isinstance(pane, TablePane) and pane.fields}
        self._app.push_screen(HelpScreen(keys_of(screen, also), fields))
