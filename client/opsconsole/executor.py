"""Functions as jobs behind the interface of `concurrent.futures`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from msgspec.structs import replace

from opsconsole.client import new_job_id
from opsconsole.function import PYTHON, Call, PythonFunction
from opsconsole.sync_client import SyncClient
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec

P = ParamSpec("P")
T = TypeVar("T")


class Executor(concurrent.futures.Executor):
    """Calls functions in jobs of a client's coordinator: `submit` makes a job of each call, `map` one with a task for each value.

    `job`, `uploads`, `bundle` and `trust_pickle`: as for `Client.map`. What the jobs bring along is as it was when the first of
    them was submitted. Futures raise what `Client.result` raises; one that is cancelled ends its job, also one that runs.
    """

    def __init__(
        self,
        client: SyncClient,
        *,
        job: JobSpec = PYTHON,
        uploads: str | Path | Sequence[str | Path] = (),
        bundle: str | Path | None = None,
        trust_pickle: bool = False,
    ) -> None:
        self._client = client
        self._job = job
        self._uploads: str | Path | Sequence[str | Path] = uploads
        self._bundle = bundle
        self._trust_pickle = trust_pickle
        self._lock = threading.Lock()
        self._packing = asyncio.Lock()
        self._is_shut_down = False
        self._futures: set[concurrent.futures.Future[Any]] = set()
        self._calls: set[asyncio.Task[Any]] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[T]:
        """Call a function in a job of its own. Raises InvalidRequest for one that no task can import, or for arguments that can't be sent."""
        function = PythonFunction(fn, [Call(args, kwargs)], job=self._job)
        with self._lock:
            self._check_open()
            future: concurrent.futures.Future[T] = self._client.start(self._called(function))
            self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **_: Any,
    ) -> Iterator[T]:
        """Call a function with each of these values, in one job, which is submitted at once, and return what comes of it, in order.

        The job is cancelled when its results aren't asked for to the end, or one call fails. `chunksize` changes nothing: each
        value is a task. Raises TimeoutError where `timeout` seconds from now aren't enough, and what `Client.results` raises.
        """
        del chunksize
        calls = [Call(arguments) for arguments in zip(*iterables, strict=False)]
        with self._lock:
            self._check_open()
        if not calls:
            return iter(())
        job_id = self._client.run(self._submitted(PythonFunction(fn, calls, job=self._job), new_job_id()))
        deadline = None if timeout is None else time.monotonic() + timeout
        return self._results(job_id, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `cancel_futures` end those that are under way. `wait`: until all have ended. The client stays open."""
        with self._lock:
            self._is_shut_down = True
            futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            concurrent.futures.wait(futures)
            with contextlib.suppress(Unavailable):  # a client that is closed has ended them
                self._client.run(self._ended())

    def _check_open(self) -> None:
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _results(self, job_id: JobId, deadline: float | None) -> Iterator[T]:
        left_s = None if deadline is None else deadline - time.monotonic()
        try:
            yield from self._client.results(job_id, trust_pickle=self._trust_pickle, timeout_s=left_s, cancels=True)
        except Unavailable as error:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(error.message) from error
            raise

    async def _called(self, function: PythonFunction) -> Any:
        task = asyncio.current_task()
        if task is not None:
            self._calls.add(task)
        job_id = new_job_id()
        client = self._client.client
        try:
            await self._submitted(function, job_id)
            return await client.result(job_id, trust_pickle=self._trust_pickle)
        except asyncio.CancelledError:
            with contextlib.suppress(OpsconsoleError):  # it may not have been submitted yet
                await client.cancel(job_id, reason="its future was cancelled")
            raise
        finally:
            if task is not None:
                self._calls.discard(task)

    async def _submitted(self, function: PythonFunction, job_id: JobId) -> JobId:
        """Submit a job. What jobs bring along is looked at and sent with the first."""
        client = self._client.client
        async with self._packing:
            brings = bool(self._uploads) or self._bundle is not None
            if brings:
                await client.submit(function, job_id, uploads=self._uploads, bundle=self._bundle)
                spec = (await client.show(job_id, tasks_limit=0, events_limit=0)).spec
                self._job = replace(self._job, uploads=spec.uploads, bundle=spec.bundle)
                self._uploads, self._bundle = (), None
                return job_id
            function.job = self._job
        await client.submit(function, job_id)
        return job_id

    async def _ended(self) -> None:
        await asyncio.gather(*self._calls, return_exceptions=True)
