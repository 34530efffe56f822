"""Does what is typed on the command line. What the palette offers is lines too."""

from collections.abc import Callable
from functools import partial

from textual.app import App

from opsconsole_console.app.navigation import Navigation
from opsconsole_console.model import command as commands
from opsconsole_console.model.command import Command, Names
from opsconsole_console.service import saved_filter
from opsconsole_console.service.shell import Shell
from opsconsole_protocol.error import NotFound, OpsconsoleError
from opsconsole_protocol.host.private_file import PrivateFileError
from opsconsole_protocol.state import WorkerConnection, WorkerStatus

_JOBS_COMPLETED = 2_000


class CommandLine:
    """Runs lines. `set_theme` changes the colours."""

    def __init__(self, app: App[int], shell: Shell, navigation: Navigation, set_theme: Callable[[str], None]) -> None:
        self._app = app
        self._shell = shell
        self._navigation = navigation
        self._set_theme = set_theme

    def open(self) -> None:
        """Open the screen in which a line is typed, and run what comes of it."""
        from opsconsole_console.screen.command.command_screen import CommandScreen

        self._app.push_screen(CommandScreen(self.names(), read_only=self._shell.read_only), self.run)

    def run(self, line: str | None) -> None:
        """Do what a line says, if it says anything; what is wrong with it is said in a toast."""
        if not line or not line.strip(" :"):
            return
        try:
            self._run(commands.parse(line, read_only=self._shell.read_only))
        except OpsconsoleError as error:
            self._shell.say(error.message, "warning")

    def names(self) -> Names:
        """The names that arguments can be completed to at the moment."""
        model, fleet = self._shell.model, self._shell.model.fleet
        jobs = model.newest_jobs(_JOBS_COMPLETED)
        return Names(
            jobs=[(model.short_ids.show(job.id), f"{job.name}  {job.state}") for job in jobs],
            workers=[(worker.name, worker.connection) for worker in fleet.workers.values()],
            themes=sorted(self._app.available_themes),
            saved=_saved(),
            projects=sorted(fleet.projects.keys() | {job.project for job in jobs}),
            values={
                "state": sorted({job.state for job in jobs}),
                "project": sorted({job.project for job in jobs}),
                "worker": sorted(worker.name for worker in fleet.workers.values()),
                "submitted_by": sorted({job.submitted_by for job in jobs}),
                "status": tuple(WorkerStatus),
                "connection": tuple(WorkerConnection),
                "tags": sorted({tag for worker in fleet.workers.values() for tag in worker.tags}),
            },
        )

    def _run(self, command: Command) -> None:
        """Raises OpsconsoleError where the command names nothing."""
        kind, argument = command.kind, command.argument
        match kind.argument:
            case "job":
                self._navigation.with_job(argument, partial(self._run_on_job, kind))
            case "jobs":
                self._navigation.with_jobs(argument, lambda ids: self._navigation.open(kind.route, " ".join(ids)))
            case "worker":
                self._run_on_worker(kind, argument)
            case _ if kind.route:
                self._navigation.open(kind.route, argument)
            case "saved":
                self._use_saved(argument)
            case "filter":
                self._navigation.show_filtered(kind.name, argument)
            case "project":
                self._navigation.show_filtered("jobs", f"project={argument}")
            case "theme":
                self._set_theme(argument)
            case _:
                self._app.call_later(self._app.run_action, f"app.{kind.name}")

    def _use_saved(self, argument: str) -> None:
        """`NAME`, `save NAME` or `remove NAME`; nothing says which there are."""
        action, _, name = argument.partition(" ")
        name = name.strip()
        if action in {"save", "remove"} and name:
            if action == "save":
                self._navigation.save_filter(name)
            else:
                saved_filter.remove(name)
            self._shell.say(f"{name} is {action}d" if action == "remove" else f"saved: :filter {name} brings it back")
        elif argument:
            found = saved_filter.load(argument)
            self._navigation.show_filtered("jobs", found.text, inverted=found.inverted)
        else:
            words = "\n".join(f"{name}: {one.label}" for name, one in saved_filter.load_all().items())
            self._shell.say(words or "no filter is saved: filter the jobs with /, then :filter save NAME")

    def _run_on_job(self, kind: commands.CommandKind, job_id: str) -> None:
        if kind.route:
            self._navigation.open(kind.route, job_id)
        elif kind.name == "logs":
            self._navigation.open_logs(job_id)
        elif (job := self._shell.model.job(job_id)) is not None:
            self._shell.do(partial(self._shell.operations.act, kind.name, [job]))

    def _run_on_worker(self, kind: commands.CommandKind, text: str) -> None:
        worker = self._shell.model.worker_named(text)
        if worker is None:
            raise NotFound(f"there is no worker {text!r}")
        if kind.route:
            self._navigation.open(kind.route, worker.id)
        else:
            self._shell.do(partial(self._shell.operations.drain, worker, kind.name))


def _saved() -> list[tuple[str, str]]:
    try:
        return [(name, one.label) for name, one in saved_filter.load_all().items()]
    except PrivateFileError:
        return []  # said when one is used
