"""This process as a worker: an agent in it runs one project's jobs until it is told to leave, or nothing waits any more."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opsconsole.target import Target
from opsconsole_protocol.bound import NAME_CHARACTERS_MAX, PROJECT_CHARACTERS_MAX, cut
from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.name import check_name, check_worker_name

_AGENT = "opsconsole_agent"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Departure:
    """When this process is to leave: once asked it finishes its task, twice it goes at once, and the task goes on without it.

    Made on the loop of the worker; `ask` may be called on any thread.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.leave, self.stop = asyncio.Event(), asyncio.Event()

    def ask(self) -> None:
        """Leave; or, asked again, stop."""
        self._loop.call_soon_threadsafe(self._ask)

    def _ask(self) -> None:
        (self.stop if self.leave.is_set() else self.leave).set()


async def work(
    target: Target,
    project: str,
    departure: Departure,
    *,
    poll_interval: float,
    run_forever: bool,
    name: str | None,
    max_concurrent_jobs: int,
    state_dir: Path | None,
    tell: Callable[[str], None],
) -> None:
    """See `Client.work`."""
    check_name(project, "a project's name")
    if not poll_interval > 0:
        raise InvalidRequest(f"poll_interval is {poll_interval:g}: give seconds, more than 0")
    if max_concurrent_jobs < 1:
        raise InvalidRequest(f"max_concurrent_jobs is {max_concurrent_jobs}: give at least 1")
    if importlib.util.find_spec(_AGENT) is None:
        raise NotFound("the agent isn't installed here: install the whole of opsconsole to work with this process")
    runtime: Any = importlib.import_module(f"{_AGENT}.runtime")  # the client knows no agent but by this name
    called = check_worker_name(name or _default_name(project))
    config = runtime.AgentConfig(
        url=target.url,
        certificate_hash=target.certificate_hash,
        token=target.token,
        name=called,
        state_dir=state_dir or _state_dir(called),
        max_concurrent_jobs=max_concurrent_jobs,
        project=project,
        exit_when_empty_s=None if run_forever else poll_interval,
        remember=False,
    )
    await runtime.Agent(config, say=tell).run(departure.stop, departure.leave)


@contextlib.contextmanager
def signals(ask: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM `ask` to leave as long as this lasts, where this is the main thread: elsewhere Python hears of none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: ask()) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _default_name(project: str) -> str:
    return cut(
        f"{socket.gethostname()[: NAME_CHARACTERS_MAX - PROJECT_CHARACTERS_MAX - 1]}-{project}", NAME_CHARACTERS_MAX
    )


def _state_dir(name: str) -> Path:
    import platformdirs

    folder = "agent-" + re.sub(r"[^\w.-]+", "_", name)
    return Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / folder
