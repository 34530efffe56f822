"""What a process needs before it can start: folders, its job's output folder, its input files, its environment.

Where results go. A worker with an output path makes `{output_path}/jobs/{job_id}/` with `models/` and `logs/` for a job
of one task; each task of a job with several has such a folder of its own below it, `task-{index}/`. A retry goes on in
its task's folder and finds what the attempt before it left, a checkpoint for example. Only where an earlier attempt may
still be writing (its worker was given up on, and the disk may be the same) it gets `attempts/{task}.{attempt}.{mark}/`
below that, which takes the task folder's place once its result is accepted: two that live never write to one folder.
Without an output path there is no OPSCONSOLE_OUTPUT_PATH.

Folders on a network mount can hang whoever touches them, beyond the reach of signals. They are touched by processes
that can be given up on, which takes tens of milliseconds; local ones directly.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opsconsole_agent.engine.environment import Place, base_environment, task_environment
from opsconsole_agent.engine.task_user import TaskUser
from opsconsole_agent.keeper_client.message import StartCommand
from opsconsole_agent.probe.folder_check import FolderCheck, expand_home
from opsconsole_agent.probe.io_path import (
    ATTEMPTS_FOLDER,
    JOB_SUBFOLDERS,
    WorkerIOConfig,
    inspect_input,
    make_output,
    prepare_output,
    publish_output,
    resolve_input,
)
from opsconsole_agent.probe.mount import LOCAL, filesystem_label
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.error import InvalidRequest, Unavailable
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.link import Launch
from opsconsole_protocol.log import Source

_LABEL_GOOD_FOR_S = 30.0
_LABELS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Home:
    """What all attempts of one agent have in common. `environment` is the agent's own; `stdin` is what all read.
    `user`: whom they run as, if not as we do.
    """

    worker_id: WorkerId
    controller_address: str
    environment: Mapping[str, str]
    io: WorkerIOConfig
    stdin: str = os.devnull
    user: TaskUser | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A process that is ready to start."""

    command: StartCommand
    output_path: str | None


class Staging:
    """See the module."""

    def __init__(self, home: Home, state: StateFolder) -> None:
        self._home = home
        self._state = state
        self._user = None if home.user is None else home.user.user
        self._user_ids = None if self._user is None else self._user.ids
        own = home.environment if home.user is None else {**home.environment, **home.user.environment()}
        self._environment = base_environment(own)
        self._labels: dict[str, tuple[float, bool]] = {}
        self._folders = FolderCheck()

    def is_quick(self, launch: Launch) -> bool:
        """Whether nothing that could hang has to be touched, so that `stage` may be called from a loop."""
        paths = [] if launch.workdir is None else [self._expand_home(launch.workdir)]
        if self._home.io.output_path is not None:
            if self._user is not None:
                return False  # a process of its own becomes that user to make the folders
            paths.append(str(self._home.io.output_path))
        if launch.inputs and self._home.io.input_path is not None:
            paths.append(str(self._home.io.input_path))
        return all(self._is_local(path) for path in paths)

    def log_files(self, attempt_id: AttemptId) -> tuple[str, str]:
        """Where its stdout and stderr go."""
        return self._state.log_file(attempt_id, Source.STDOUT), self._state.log_file(attempt_id, Source.STDERR)

    def stage(self, attempt_id: AttemptId, launch: Launch, ports: Mapping[str, int], *, quick: bool) -> Prepared:
        """Prepare an attempt; raises OpsconsoleError or OSError with the reason why it can't be started.

        Unless `quick`, call it from a thread: it may take as long as a mount takes.
        """
        self._state.make(attempt_id)
        workdir = self._state.work(attempt_id)
        if launch.workdir is not None:
            workdir = self._expand_home(launch.workdir)
            self._check_workdir(workdir, quick=quick)
        io = self._home.io
        inputs = tuple(
            str((resolve_input(io, name) if quick else inspect_input(io, name)).path) for name in launch.inputs
        )
        output_path = self._make_output(attempt_id, launch, quick=quick)
        place = Place(
            self._home.worker_id,
            self._home.controller_address,
            output_path=output_path,
            input_path=None if io.input_path is None else str(io.input_path),
            input_files=inputs,
            ports=ports,
        )
        stdout, stderr = self.log_files(attempt_id)
        command = StartCommand(
            attempt_id=attempt_id,
            argv=list(launch.command),
            cwd=workdir,
            env=task_environment(self._environment, attempt_id, launch, place),
            stdout=stdout,
            stderr=stderr,
            stdin=self._home.stdin,
            user=self._user,
        )
        return Prepared(command, output_path)

    def _make_output(self, attempt_id: AttemptId, launch: Launch, *, quick: bool) -> str | None:
        if self._home.io.output_path is None:
            return None
        own = _output_folder(attempt_id, launch)
        parts = own.split("/") if own else []
        above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        subfolders = [*above, *("/".join((*parts, name)) for name in JOB_SUBFOLDERS)]
        job_folder = (
            make_output(self._home.io, launch.job_id, subfolders=subfolders)
            if quick
            else prepare_output(self._home.io, launch.job_id, subfolders=subfolders, user=self._user_ids)
        )
        return str(job_folder / own) if own else str(job_folder)

    def publish(self, output_path: str) -> None:
        """Put an accepted result into its task's folder, if it isn't there. Call it from a thread; raises OutputRefused."""
        if Path(output_path).parent.name == ATTEMPTS_FOLDER:
            publish_output(output_path, user=self._user_ids)

    def _expand_home(self, path: str) -> str:
        return expand_home(path, None if self._home.user is None else self._home.user.home)

    def _check_workdir(self, workdir: str, *, quick: bool) -> None:
        try:
            exists = os.path.isdir(workdir) if quick else self._folders.exists(workdir)  # noqa: PTH112
        except TimeoutError:
            raise Unavailable(f"the working folder {workdir} doesn't answer: is the mount hung?") from None
        if not exists:
            raise InvalidRequest(f"the working folder {workdir} is not on this worker: make it, or change --workdir")

    def _is_local(self, path: str) -> bool:
        now_s = time.monotonic()
        known = self._labels.get(path)
        if known is None or known[0] < now_s:
            if len(self._labels) > _LABELS_MAX:
                self._labels.clear()
            known = (now_s + _LABEL_GOOD_FOR_S, filesystem_label(Path(path)) == LOCAL)
            self._labels[path] = known
        return known[1]


def _output_folder(attempt_id: AttemptId, launch: Launch) -> str:
    """Where it writes, below the job's folder."""
    task = "" if launch.num_tasks == 1 else f"task-{launch.task_index}"
    if launch.attempt == 0 or launch.follows:
        return task
    # Its number in the job, and the mark that makes it unique, even after a restored backup.
    own = f"{ATTEMPTS_FOLDER}/{attempt_id.removeprefix(f'{launch.job_id}.')}"
    return f"{task}/{own}" if task else own
