"""What screens need of the app around them. The app is a `Shell`; screens know this, and never the app."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from opsconsole_console.model.model import Model
from opsconsole_console.service.operations import Operations, OperatorDialog
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import JobRow


class Shell(OperatorDialog, Protocol):
    """The fleet, what can be done with it, and the ways to other screens."""

    source: FleetSource
    model: Model
    operations: Operations

    @property
    def read_only(self) -> bool:
        """Whether this console may only look."""

    def do(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something in the background; what can go wrong is said in a toast."""

    def look_up(self, work: Callable[[], Awaitable[None]]) -> None:
        """Fetch something in the background; while the coordinator isn't reached, nothing is said about it."""

    def copy(self, text: str, what: str, *, secret: bool = False) -> None:
        """Put text where it can be pasted from, and say so; it is shown too unless it is a secret."""

    def repaint(self) -> None:
        """Show what changed since the last time, on every screen that shows the fleet."""

    def fetch_older_jobs(self) -> None:
        """Fetch the next page of jobs that aren't here yet."""

    def submitted(self, jobs: Sequence[JobRow]) -> None:
        """Say what was submitted, and show it."""

    # -- the ways to other screens ------------------------------------------------------------------------------------

    def open_job(self, job_id: str) -> None:
        """One job."""

    def open_worker(self, worker_id: str) -> None:
        """One worker."""

    def open_why(self, job_id: str) -> None:
        """Why a job stands where it stands, or how it came to its end."""

    def open_spec(self, job_id: str) -> None:
        """A job's whole spec."""

    def open_properties(self, worker_id: str) -> None:
        """All that a worker says about itself."""

    def open_invite(self) -> None:
        """The dialog that invites a host or a person."""

    def open_again(self, job_id: str) -> None:
        """The dialog for a new job, filled in from an old one."""

    def open_logs(self, job_id: str, task_index: int | None = None, attempt: int | None = None) -> None:
        """A log pane on the first screen."""

    def open_worker_logs(self, worker_name: str) -> None:
        """Log panes on what runs on a worker."""

    def with_job(self, text: str, way: Callable[[str], object]) -> None:
        """Go a way with the job that an id, its beginning or a name means."""
