"""What screens need of the app around them. The app is a `Shell`; screens know this, and never the app."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from opsconsole_console.model.model import Model
from opsconsole_console.service.operations import Operations, OperatorDialog
from opsconsole_console.service.source import FleetSource
from opsconsole_console.service.transfers import Transfers
from opsconsole_protocol.api import JobRow


class Navigator(Protocol):
    """The ways from screen to screen."""

    def open(self, route: str, subject: str = "") -> None:
        """Open a screen by its name in the app's table of routes; `subject` is an id, or what the route says."""

    def open_found_job(self, route: str, text: str) -> None:
        """Open a screen on the job that an id, its beginning or a name means; one that isn't here is asked for."""

    def open_logs(self, job_id: str, task_index: int | None = None, attempt: int | None = None) -> None:
        """Open a log pane on the first screen."""

    def open_worker_logs(self, worker_name: str) -> None:
        """Open log panes on what runs on a worker."""

    def choose_input(self, worker_id: str, use: Callable[[str], object]) -> None:
        """Browse a worker's mounts for a file; `use` is given its name as an input, once one is chosen."""

    def show_submitted(self, jobs: Sequence[JobRow]) -> None:
        """Say what was submitted, and put the cursor on it."""


class Shell(OperatorDialog, Protocol):
    """The fleet, what can be done with it, and the ways to other screens."""

    source: FleetSource
    model: Model
    operations: Operations
    transfers: Transfers

    @property
    def navigation(self) -> Navigator:
        """The ways to other screens."""

    @property
    def read_only(self) -> bool:
        """Whether this console may only look."""

    def do(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something in the background; an OpsconsoleError is said in a toast."""

    def look_up(self, work: Callable[[], Awaitable[None]]) -> None:
        """Fetch something that no key asked for: as `do`, but nothing is said while the coordinator isn't reached."""

    def open_shell(self, task: str) -> None:
        """Hand the terminal over to a shell in a running task, until that is left."""

    def copy(self, text: str, what: str, *, secret: bool = False) -> None:
        """Put text where it can be pasted from, and say so by the name `what`; a secret isn't shown."""

    def repaint(self) -> None:
        """Show what changed since the last time, on every screen that shows the fleet."""
