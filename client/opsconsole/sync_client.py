"""The client without `await`: it runs on an event loop and a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from opsconsole.client import Client
from opsconsole.mirror import Plain, PlainContext, PlainIterator
from opsconsole_protocol.error import Unavailable

_CLOSE_S = 5.0
"""For how long calls that wait are given to notice that the client is closed: the longest pause between two tries is shorter."""

T = TypeVar("T")


class SyncClient:
    """A `Client` whose calls block; several threads may use it at once. See there for what each takes, returns and raises.

    Functions that a call is given are called on another thread. `run` runs a coroutine of one's own on the client's loop.
    """

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        self.client = client
        self._loop = loop
        self._thread = thread
        self._closing = threading.Lock()
        self._is_closed = False

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        token: str | None = None,
        certificate_hash: str | None = None,
        data_dir: str | Path | None = None,
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
        future = self.start(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine of `self.client` on its loop, without waiting for it. Cancelling the future cancels the coroutine.

        Raises Unavailable once the client is closed.
        """
        with self._closing:
            if not self._is_closed:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise Unavailable("this client is closed: connect again")

    def close(self) -> None:
        """Close the connection and end the thread. Calls that other threads wait for fail with Unavailable."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        try:
            closing.result()
        finally:
            _end(self._loop, self._thread)

    async def _close(self) -> None:
        try:
            await self.client.close()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                _, late = await asyncio.wait(others, timeout=_CLOSE_S)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def work(
        self,
        project: str,
        *,
        poll_interval: float = 1.0,
        run_forever: bool = True,
        name: str | None = None,
        max_concurrent_jobs: int = 1,
        state_dir: Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """As `Client.work`: the signals come to the thread that calls this."""
        from opsconsole.work import Departure, signals

        async def made() -> Departure:
            return Departure()

        departure = self.run(made())
        with signals(departure.ask):
            self.run(
                self.client.work(
                    project, poll_interval=poll_interval, run_forever=run_forever, name=name,
                    max_concurrent_jobs=max_concurrent_jobs, state_dir=state_dir, tell=tell, departure=departure,
                )
            )  # fmt: skip

    # --- the calls of `Client` ---------------------------------------------------------------------------------

    act = Plain(Client.act)
    add_tasks = Plain(Client.add_tasks)
    backup = Plain(Client.backup)
    cancel = Plain(Client.cancel)
    candidates = Plain(Client.candidates)
    clean = Plain(Client.clean)
    clear = Plain(Client.clear)
    clone = Plain(Client.clone)
    confirm_restore = Plain(Client.confirm_restore)
    dataset = Plain(Client.dataset)
    events = Plain(Client.events)
    exec = Plain(Client.exec)
    free_offer = Plain(Client.free_offer)
    get = Plain(Client.get)
    graph = Plain(Client.graph)
    health = Plain(Client.health)
    hold = Plain(Client.hold)
    home = Plain(Client.home)
    invitations = Plain(Client.invitations)
    invite = Plain(Client.invite)
    jobs = Plain(Client.jobs)
    ls = Plain(Client.ls)
    metrics = Plain(Client.metrics)
    move = Plain(Client.move)
    pause = Plain(Client.pause)
    people = Plain(Client.people)
    pop = Plain(Client.pop)
    projects = Plain(Client.projects)
    put = Plain(Client.put)
    read_log = Plain(Client.read_log)
    release = Plain(Client.release)
    remove = Plain(Client.remove)
    remove_template = Plain(Client.remove_template)
    rename_person = Plain(Client.rename_person)
    request = Plain(Client.request)
    result = Plain(Client.result)
    resume = Plain(Client.resume)
    retry = Plain(Client.retry)
    revoke_all_workers = Plain(Client.revoke_all_workers)
    revoke_invitations = Plain(Client.revoke_invitations)
    revoke_people = Plain(Client.revoke_people)
    set_max_parallel = Plain(Client.set_max_parallel)
    set_priority = Plain(Client.set_priority)
    set_person = Plain(Client.set_person)
    reserve = Plain(Client.reserve)
    reserve_offer = Plain(Client.reserve_offer)
    reservations = Plain(Client.reservations)
    cancel_reservation = Plain(Client.cancel_reservation)
    set_project = Plain(Client.set_project)
    set_template = Plain(Client.set_template)
    set_worker = Plain(Client.set_worker)
    show = Plain(Client.show)
    store_id = Plain(Client.store_id)
    submit = Plain(Client.submit)
    submit_now = Plain(Client.submit_now)
    submit_pipeline = Plain(Client.submit_pipeline)
    submit_template = Plain(Client.submit_template)
    sweep = Plain(Client.sweep)
    sync_templates = Plain(Client.sync_templates)
    template = Plain(Client.template)
    template_from_job = Plain(Client.template_from_job)
    template_history = Plain(Client.template_history)
    templates = Plain(Client.templates)
    usage = Plain(Client.usage)
    wait = Plain(Client.wait)
    wait_for_success = Plain(Client.wait_for_success)
    why = Plain(Client.why)
    workers = Plain(Client.workers)

    forward = PlainContext(Client.forward)

    follow_log = PlainIterator(Client.follow_log)
    iter_jobs = PlainIterator(Client.iter_jobs)
    map = PlainIterator(Client.map)
    results = PlainIterator(Client.results)


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
