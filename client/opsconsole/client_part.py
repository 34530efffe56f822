"""What the parts of a client need of the whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole.ask import AnswerT, ask
from opsconsole_protocol import api
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec

if TYPE_CHECKING:
    from opsconsole.function import PythonFunction
    from opsconsole_protocol.host.stream.coordinator_dial import Home


class ClientPart(ABC):
    """A part of a client: it adds requests of one kind, and leaves to the client what all of them need."""

    @abstractmethod
    async def request(self, request: api.AnyRequest) -> api.AnyAnswer:
        """The answer to a request, of whatever kind. Raises OpsconsoleError."""

    async def _ask(self, request: api.AnyRequest, kind: type[AnswerT]) -> AnswerT:
        return await ask(self, request, kind)

    @abstractmethod
    async def home(self) -> Home:
        """Where the coordinator is."""

    @abstractmethod
    async def store_id(self) -> str:
        """Which coordinator it is."""

    @abstractmethod
    async def submit(
        self,
        specs: JobSpec | PythonFunction | Iterable[JobSpec | PythonFunction],
        job_ids: JobId | Sequence[JobId] | None = None,
        *,
        uploads: str | Path | Sequence[str | Path] = (),
        bundle: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> list[api.JobRow]:
        """Submit jobs."""

    @abstractmethod
    async def show(
        self, id: str, tasks_from: int = 0, tasks_limit: int = 100_000, events_limit: int = 1000  # noqa: A002
    ) -> api.JobDetail:  # fmt: skip
        """A job, its tasks and its events."""

    @abstractmethod
    async def cancel(self, *ids: str, reason: str = "") -> list[tuple[str, str]]:
        """End jobs."""
