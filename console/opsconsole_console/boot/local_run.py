"""A coordinator and a worker for one job: what `opsconsole run` is made of.

Both live in this process on threads of their own, so that a reader who doesn't read our output can't silence them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.boot.run_guard import AGENT_FOLDER, end_job, start_guard
from opsconsole_protocol.error import OpsconsoleError

if TYPE_CHECKING:
    from opsconsole.target import Target
    from opsconsole_agent.runtime import AgentConfig
    from opsconsole_coordinator.runtime import CoordinatorThread

WORKER_NAME = "local"
_GUARD_S = 30.0


class LocalRun:
    """All that one job needs. `start` starts it, `close` takes it down; it doesn't outlive this process."""

    def __init__(
        self,
        job_id: str,
        *,
        grace_ms: int,
        input_path: Path,
        max_concurrent_jobs: int | None,
        stdin: str = os.devnull,
        keeps_outputs: bool = False,
    ) -> None:
        """`keeps_outputs`: the job has an output folder, until `close`."""
        self.job_id = job_id
        self.folder = _new_folder()
        self._input_path = input_path
        self._max_concurrent_jobs = max_concurrent_jobs
        self._stdin = stdin
        self._keeps_outputs = keeps_outputs
        self._guard: subprocess.Popen[bytes] = start_guard(job_id, self.folder, grace_ms)
        self._coordinator: CoordinatorThread | None = None
        self._agent: AgentThread | None = None
        self._lock = threading.Lock()
        """`close` may be called while `start` is at work: on an interruption."""

    def start(self) -> Target:
        """Start both and return where the coordinator is. Blocks. Raises OpsconsoleError."""
        with self._lock:
            return self._start()

    def _start(self) -> Target:
        from opsconsole.resolver import resolve
        from opsconsole_agent.probe.io_path import WorkerIOConfig
        from opsconsole_agent.runtime import AgentConfig
        from opsconsole_coordinator.runtime import CoordinatorConfig, CoordinatorThread

        data_dir = self.folder / "coordinator"
        self._coordinator = CoordinatorThread(CoordinatorConfig(data_dir=data_dir, listen="127.0.0.1:0", name="run"))
        self._coordinator.start()
        target = resolve(None, None, None, data_dir, {})
        self._agent = AgentThread(
            AgentConfig(
                url=target.url,
                certificate_hash=target.certificate_hash,
                token=target.token,
                name=WORKER_NAME,
                state_dir=self.folder / AGENT_FOLDER,
                io=WorkerIOConfig(input_path=self._input_path),
                max_concurrent_jobs=self._max_concurrent_jobs,
                stop_tasks=True,
                stdin=self._stdin,
                own_outputs=self._keeps_outputs,
            )
        )
        self._agent.start()
        return target

    def check(self) -> None:
        """Raise what ended the worker, if it has ended."""
        if self._agent is not None:
            self._agent.check()

    def kill(self) -> None:
        """End the job at once, whatever the coordinator thinks. Blocks."""
        end_job(self.job_id, self.folder, 0.0)

    def close(self) -> None:
        """Take everything down and prove that nothing of the job is left. Blocks."""
        with self._lock:
            try:
                if self._agent is not None:
                    self._agent.stop()
                if self._coordinator is not None:
                    self._coordinator.stop()
            finally:
                if self._guard.stdin is not None:
                    self._guard.stdin.close()
                self._guard.wait(_GUARD_S)


class AgentThread:
    """A worker on a thread with an event loop of its own."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._last_words = ""
        self._ended: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agent", daemon=True)

    def start(self) -> None:
        """Start it."""
        self._thread.start()
        self._ready.wait()

    def check(self) -> None:
        """Raise what ended it, if it has ended."""
        if self._ended.done():
            self._ended.result()
            raise OpsconsoleError(self._last_words or "the worker ended before its job did")

    def stop(self) -> None:
        """End it, and its tasks."""
        if self._loop is not None and self._stop is not None and not self._ended.done():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - it is raised again by `check`, on the thread that asks
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)
        finally:
            self._ready.set()

    async def _main(self) -> None:
        from opsconsole_agent.runtime import Agent

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await Agent(self._config, say=self._remember).run(self._stop)

    def _remember(self, text: str) -> None:
        self._last_words = text


def _new_folder() -> Path:
    """A folder for this run alone. Its path is short: a socket's can't be longer than 107 bytes."""
    import platformdirs

    folder = Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / "run" / secrets.token_hex(4)
    folder.mkdir(mode=0o700, parents=True)
    return folder.resolve()
