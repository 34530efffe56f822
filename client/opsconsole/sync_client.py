"""The client without `await`: it runs on an event loop and a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from opsconsole.client import Client
from opsconsole.transfer.row import TransferRow
from opsconsole_protocol import api
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.log import LogLine, LogQuery
from opsconsole_protocol.spec import JobSpec, PauseBy

T = TypeVar("T")


class SyncClient:
    """A `Client` whose calls block; several threads may use it at once.

    What isn't a method here is reached through `run`: `client.run(client.client.health())`.
    """

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        self.client = client
        self._loop = loop
        self._thread = thread

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        token: str | None = None,
        certificate_hash: str | None = None,
        data_dir: Path | None = None,
        *,
        retry_for_s: float = 0.0,
    ) -> Self:
        """As `Client.connect`."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="opsconsole client", daemon=True)
        thread.start()
        opening = Client.connect(url, token, certificate_hash, data_dir, retry_for_s=retry_for_s)
        try:
            client = asyncio.run_coroutine_threadsafe(opening, loop).result()
        except BaseException:
            _end(loop, thread)
            raise
        return cls(client, loop, thread)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of `self.client` to its end, and return what it returns. Raises what it raises."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close the connection and end the thread."""
        if self._thread.is_alive():
            self.run(self.client.close())
            _end(self._loop, self._thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self,
        specs: JobSpec | Iterable[JobSpec],
        job_ids: JobId | Sequence[JobId] | None = None,
        *,
        uploads: str | Path | Sequence[str | Path] = (),
        bundle: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> list[api.JobRow]:
        """As `Client.submit`; `tell` is called on another thread."""
        return self.run(self.client.submit(specs, job_ids, uploads=uploads, bundle=bundle, tell=tell))

    def put(
        self,
        files: str | Path | Sequence[str | Path],
        worker: str,
        folder: str = "",
        *,
        replace: bool = False,
        via: str = "auto",
    ) -> TransferRow:
        """As `Client.put`."""
        return self.run(self.client.put(files, worker, folder, replace=replace, via=via))

    def metrics(
        self,
        id: str,  # noqa: A002
        names: Sequence[str] = (),
        *,
        points_max: int = 1_000,
        gpus: bool = False,
    ) -> list[api.RunRow]:
        """What the tasks of a job have reported: see `Client.metrics`."""
        return self.run(self.client.metrics(id, names, points_max=points_max, gpus=gpus))

    def get(
        self,
        job: str,
        patterns: str | Sequence[str] = (),
        to: str | Path = ".",
        *,
        replace: bool = False,
        via: str = "auto",
    ) -> list[Path]:
        """As `Client.get`."""
        return self.run(self.client.get(job, patterns, to, replace=replace, via=via))

    def submit_now(self, spec: JobSpec, job_id: JobId | None = None) -> api.JobRow:
        """As `Client.submit_now`."""
        return self.run(self.client.submit_now(spec, job_id))

    def wait(self, *ids: str, timeout_s: float | None = None) -> list[api.JobRow]:
        """As `Client.wait`."""
        return self.run(self.client.wait(*ids, timeout_s=timeout_s))

    def wait_for_success(self, *ids: str, timeout_s: float | None = None) -> list[api.JobRow]:
        """As `Client.wait_for_success`."""
        return self.run(self.client.wait_for_success(*ids, timeout_s=timeout_s))

    def show(self, id: str) -> api.JobDetail:  # noqa: A002
        """As `Client.show`."""
        return self.run(self.client.show(id))

    def jobs(self, filter: str = "", project: str = "", limit: int = 100) -> list[api.JobRow]:  # noqa: A002
        """As `Client.jobs`."""
        return self.run(self.client.jobs(filter, project, limit))

    def workers(self, filter: str = "") -> list[api.WorkerRow]:  # noqa: A002
        """As `Client.workers`."""
        return self.run(self.client.workers(filter))

    def act(self, verb: str, ids: Sequence[str], reason: str = "", by: PauseBy | None = None) -> list[tuple[str, str]]:
        """As `Client.act`."""
        return self.run(self.client.act(verb, ids, reason, by))

    def follow_log(
        self,
        id: str,  # noqa: A002
        query: LogQuery | None = None,
        *,
        task_index: int | None = None,
        attempt: int | None = None,
    ) -> Iterator[LogLine]:
        """As `Client.follow_log`."""
        lines = self.client.follow_log(id, query, task_index=task_index, attempt=attempt)
        try:
            while (line := self.run(anext(lines, None))) is not None:
                yield line
        finally:
            self.run(lines.aclose())


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
