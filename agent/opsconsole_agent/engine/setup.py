"""The step that runs a job's setup, once a worker for all tasks with the same one, and gives the others what it made."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from opsconsole_agent.engine.build import Build, in_thread
from opsconsole_agent.engine.bundle import has_changed
from opsconsole_agent.engine.engine import StepProgress
from opsconsole_agent.engine.setup_cache import MadeSetup, SetupCache, SetupRecord
from opsconsole_agent.engine.setup_key import Binding, binding, holds_code, python_of, setup_key
from opsconsole_agent.engine.side_process import SideProcesses
from opsconsole_agent.failure.last_lines import LAST_BYTES_MAX, Printed, Tail, last_lines, secret_variables
from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper_client.message import AttemptExited, StartCommand, User
from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.link import Launch

if TYPE_CHECKING:
    from opsconsole_agent.failure.explanation import Failure

_SHELL = """
if command -v python3 >/dev/null 2>&1; then
    python3 -m venv "$OPSCONSOLE_SETUP_PATH" || echo "opsconsole: python3 makes no virtual environment here" >&2
fi
exec /bin/sh -c "$1"
"""
"""A virtual environment first, so that `pip install` finds one and leaves the worker's own Python alone."""
_ONLY_HERE = {"PIP_REQUIRE_VIRTUALENV": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_NO_EDITABLE": "1"}

_log = logging.getLogger(__name__)


class SetupFailed(OpsconsoleError):
    """A setup ended badly; the message says how, `hint` what to do."""

    code = "setup_failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass
class _Turn:
    """Whoever holds the lock may build; `users` counts who holds it or waits for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Setup:
    """Runs `launch.setup` in the folder of the bundle, or finds what it made before."""

    name = "setup"

    def __init__(
        self,
        cache: SetupCache,
        side_processes: SideProcesses,
        search_path: str,
        environment: Callable[[Build, str | None], dict[str, str]],
        user: User | None = None,
    ) -> None:
        """`search_path`: PATH of tasks that don't set it. `environment`: what an attempt's task would have, with this setup.

        `user`: whom it runs as, if not as we do.
        """
        self._cache = cache
        self._side_processes = side_processes
        self._search_path = search_path
        self._environment = environment
        self._user = user
        self._turns: dict[str, _Turn] = {}

    def is_quick(self, launch: Launch) -> bool:
        """Without a setup."""
        return not launch.setup

    async def run(self, build: Build) -> None:
        """Have its environment made or found; raises SetupFailed, OpsconsoleError or OSError."""
        launch = build.launch
        if not launch.setup:
            return
        python = await in_thread(python_of, launch.environment.get("PATH") or self._search_path)
        entries = () if build.bundle is None else build.bundle.manifest.entries
        key = setup_key(launch.setup, entries, python, -1 if self._user is None else self._user.uid)
        content_id = None if launch.bundle is None else launch.bundle.content_id
        build.progress = StepProgress("setup, which another task runs", 0, 1)
        async with self._turn(key):
            build.progress = StepProgress(self.name, 0, 1)
            made = await in_thread(self._cache.find, key, content_id, build.attempt_id)
            if made is None:
                made = await self._make(build, key)
            else:
                self._tell(build, f"the setup was run here before: {made.environment} is used again")
                if made.record.has_bundle:
                    await self._copy_as_user(build, made.bundle, Path(build.workdir), "what it changed in the code")
        build.setup_path = str(made.environment)

    @contextlib.asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]

    # --- making one ------------------------------------------------------------------------------------------------

    async def _make(self, build: Build, key: str) -> MadeSetup:
        build.from_cache = False
        record = SetupRecord(key=key, line=build.launch.setup)
        made = await in_thread(self._cache.begin, build.attempt_id, record)
        self._tell(build, f"the setup runs: {build.launch.setup}")
        try:
            await self._run(build, made)
            return await self._keep(build, made, record)
        except asyncio.CancelledError:
            raise  # it goes once nothing of it lives
        except BaseException:
            await in_thread(self._cache.discard, made)
            raise

    async def _run(self, build: Build, made: MadeSetup) -> None:
        own = build.launch.environment
        extra = {name: value for name, value in _ONLY_HERE.items() if name not in own}
        environment = {**self._environment(build, str(made.environment)), **extra}
        argv = ["/bin/sh", "-c", _SHELL, "sh", build.launch.setup]
        begun = await in_thread(_size, self._log_path(build))
        exited = await self._side_process(build, made, argv, environment)
        if exited.exit_code != 0 or exited.error:
            failure = await in_thread(
                _failure, exited, self._log_path(build), begun, secret_variables(environment, own)
            )
            raise SetupFailed(failure.words, failure.hint)

    async def _keep(self, build: Build, made: MadeSetup, record: SetupRecord) -> MadeSetup:
        """Find out what it is good for, and keep it for that."""
        bound = await in_thread(binding, made.environment, build.workdir)
        tree, workdir = build.bundle, Path(build.workdir)
        is_changed = tree is not None and await in_thread(has_changed, tree.manifest, workdir, holds_code)
        if bound is Binding.FOLDER:
            self._tell(
                build,
                "what the setup made is for this attempt alone, as it leads to its working folder (an editable install): "
                "the next task runs it again",
            )
            return made
        if is_changed:
            await self._copy_as_user(build, workdir, made.bundle, "what it changed in the code", made)
        if bound is Binding.CODE or is_changed:
            content_id = "" if build.launch.bundle is None else build.launch.bundle.content_id
            record = msgspec.structs.replace(record, content_id=content_id, has_bundle=is_changed)
            self._tell(build, "what the setup made is kept for tasks with the same code, as it holds some of it")
        return await in_thread(self._cache.keep, made, record)

    async def _copy_as_user(
        self, build: Build, source: Path, destination: Path, what: str, made: MadeSetup | None = None
    ) -> None:
        """Copy what lies in a folder into another one, as the user who owns both."""
        argv = ["cp", "-a", "--", f"{source}/.", str(destination)]
        begun = await in_thread(_size, self._log_path(build))
        exited = await self._side_process(build, made, argv, self._environment(build, None))
        if exited.exit_code != 0 or exited.error:
            failure = await in_thread(_failure, exited, self._log_path(build), begun, {})
            raise SetupFailed(f"{what} can't be copied: {failure.words}", failure.hint)

    async def _side_process(
        self, build: Build, made: MadeSetup | None, argv: list[str], environment: Mapping[str, str]
    ) -> AttemptExited:
        path = self._log_path(build)
        command = StartCommand(
            attempt_id=build.attempt_id, argv=argv, cwd=build.workdir, env=dict(environment), stdout=path, stderr=path,
            user=self._user,
        )  # fmt: skip
        when_gone = None if made is None else partial(self._discard_later, made)
        return await self._side_processes.run(command, when_gone)

    def _discard_later(self, made: MadeSetup) -> None:
        asyncio.get_running_loop().run_in_executor(None, self._cache.discard, made)

    @staticmethod
    def _log_path(build: Build) -> str:
        return os.devnull if build.log is None else build.log.path

    @staticmethod
    def _tell(build: Build, text: str) -> None:
        if build.log is not None:
            build.log.say(text)


def _size(log: str) -> int:
    try:
        return os.stat(log).st_size  # noqa: PTH116
    except OSError:
        return 0


def _failure(exited: AttemptExited, log: str, begun: int, secrets: Mapping[str, str]) -> "Failure":
    """How it ended, with what its last lines say, or else the last one. What it wrote is behind the first `begun` bytes of the log."""
    from opsconsole_agent.failure.explanation import WORDS_CHARACTERS_MAX, Failure, explain, signal_words

    where = "(its log has the source `build`)"
    if exited.error:
        return Failure(f"the setup failed, {exited.error} {where}")
    if exited.signal is not None:
        how = "out of memory" if exited.oom_kill else f"killed by {signal_words(exited.signal)}"
    else:
        how = f"exit code {exited.exit_code}"
    try:
        written = min(LAST_BYTES_MAX, _size(log) - begun)
        tail = Tail(state_file.read_end(log, written)) if written > 0 else Tail()
    except OSError:
        tail = Tail()
    status = exited.exit_code if exited.signal is None else 128 + exited.signal
    found = explain(Printed(stdout=tail, secrets=secrets), status or 0)
    lines = last_lines(tail, secrets)
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    said = found.words if found is not None else cut(last, WORDS_CHARACTERS_MAX)
    words = f": {said}" if said else ", and it printed nothing"
    return Failure(f"the setup failed, {how}{words} {where}", "" if found is None else found.hint)
