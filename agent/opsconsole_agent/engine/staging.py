"""What a process needs before it can start, step by step: folders, input files, its job's output folder, its environment.

Whatever else is to be there before a start is one more step in `Staging.steps`.

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

from opsconsole_agent.engine.build import Build, Step, in_thread
from opsconsole_agent.engine.engine import StepProgress
from opsconsole_agent.engine.environment import Place, base_environment, task_environment
from opsconsole_agent.engine.task_user import TaskUser
from opsconsole_agent.keeper_client.message import StartCommand
from opsconsole_agent.probe.folder_check import FolderCheck, expand_home
from opsconsole_agent.probe.io_path import (
    ATTEMPTS_FOLDER,
    JOB_SUBFOLDERS,
    InputRefused,
    WorkerIOConfig,
    find_input_folder,
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
class TaskDefaults:
    """What all attempts of one agent have in common. `environment` is the agent's own; `stdin` is what all read.

    `user`: whom they run as, if not as the agent's own user.
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
    """Prepares attempts. `steps` are taken in order."""

    def __init__(self, defaults: TaskDefaults, state: StateFolder) -> None:
        self._state = state
        self._user_ids = None if defaults.user is None else defaults.user.user.ids
        locality = _Locality()
        self.steps: tuple[Step, ...] = (
            AttemptFolder(state),
            WorkingFolder(defaults, state, locality),
            InputFiles(defaults.io, locality),
            OutputFolder(defaults, locality),
            StartCommandStep(defaults, self),
        )

    def is_quick(self, launch: Launch) -> bool:
        """Whether nothing that could hang has to be touched, so that `stage` never waits."""
        return all(step.is_quick(launch) for step in self.steps)

    async def stage(self, build: Build) -> Prepared:
        """Prepare an attempt; raises OpsconsoleError or OSError with the reason why it can't be started.

        Cancelled, it stops at once, whatever the step under way waits for.
        """
        for step in self.steps:
            build.progress = StepProgress(step.name, 0, 1)
            await step.run(build)
        if build.command is None:
            raise RuntimeError("no step has made the command")
        return Prepared(build.command, build.output_path)

    def log_files(self, attempt_id: AttemptId) -> tuple[str, str]:
        """Where its stdout and stderr go."""
        return self._state.log_file(attempt_id, Source.STDOUT), self._state.log_file(attempt_id, Source.STDERR)

    def publish(self, output_path: str) -> None:
        """Put an accepted result into its task's folder, if it isn't there. Call it from a thread; raises OutputRefused."""
        if Path(output_path).parent.name == ATTEMPTS_FOLDER:
            publish_output(output_path, user=self._user_ids)


class AttemptFolder:
    """The attempt's own folder on this worker."""

    name = "folder"

    def __init__(self, state: StateFolder) -> None:
        self._state = state

    def is_quick(self, _launch: Launch) -> bool:
        """Always: the state folder is on a local disk."""
        return True

    async def run(self, build: Build) -> None:
        """Make the folder; raises OSError."""
        self._state.make(build.attempt_id)


class WorkingFolder:
    """Where the process is to run."""

    name = "working folder"

    def __init__(self, defaults: TaskDefaults, state: StateFolder, locality: "_Locality") -> None:
        self._home = None if defaults.user is None else defaults.user.home
        self._state = state
        self._locality = locality
        self._folders = FolderCheck()

    def is_quick(self, launch: Launch) -> bool:
        """Unless the job names a folder that isn't on a local disk."""
        return launch.workdir is None or self._locality.is_local(expand_home(launch.workdir, self._home))

    async def run(self, build: Build) -> None:
        """See that it is there; raises InvalidRequest, or Unavailable where that can't be told."""
        launch = build.launch
        if launch.workdir is None:
            build.workdir = self._state.work(build.attempt_id)
            return
        path = build.workdir = expand_home(launch.workdir, self._home)
        is_quick = build.is_quick or self.is_quick(launch)
        try:
            exists = _is_folder(path) if is_quick else await in_thread(self._folders.exists, path)
        except TimeoutError:
            raise Unavailable(f"the working folder {path} doesn't answer: is the mount hung?") from None
        if not exists:
            raise InvalidRequest(f"the working folder {path} is not on this worker: make it, or change --workdir")


class InputFiles:
    """The job's inputs, in the worker's input folder and its mounts."""

    name = "inputs"

    def __init__(self, io: WorkerIOConfig, locality: "_Locality") -> None:
        self._io = io
        self._locality = locality

    def is_quick(self, launch: Launch) -> bool:
        """Without inputs, or where all of them are on local disks."""
        try:
            folders = {find_input_folder(self._io, name)[0] for name in launch.inputs}
        except InputRefused:
            return True  # nothing is touched
        return all(self._locality.is_local(folder) for folder in folders)

    async def run(self, build: Build) -> None:
        """Find every file; raises InputRefused."""
        names, is_quick = build.launch.inputs, build.is_quick or self.is_quick(build.launch)
        found: list[str] = []
        for name in names:
            build.progress = StepProgress(self.name, len(found), len(names))
            file = resolve_input(self._io, name) if is_quick else await in_thread(inspect_input, self._io, name)
            found.append(str(file.path))
        build.inputs = tuple(found)


class OutputFolder:
    """Where the attempt's results go, if the worker has a place for them."""

    name = "output folder"

    def __init__(self, defaults: TaskDefaults, locality: "_Locality") -> None:
        self._io = defaults.io
        self._user_ids = None if defaults.user is None else defaults.user.user.ids
        self._locality = locality

    def is_quick(self, _launch: Launch) -> bool:
        """Unless it isn't on a local disk, or another user's: then a child becomes that user to make it."""
        path = self._io.output_path
        return path is None or (self._user_ids is None and self._locality.is_local(str(path)))

    async def run(self, build: Build) -> None:
        """Make the folder; raises OutputRefused."""
        if self._io.output_path is None:
            return
        job_id, own = build.launch.job_id, _output_folder(build.attempt_id, build.launch)
        parts = own.split("/") if own else []
        above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        subfolders = [*above, *("/".join((*parts, name)) for name in JOB_SUBFOLDERS)]
        if build.is_quick or self.is_quick(build.launch):
            folder = make_output(self._io, job_id, subfolders=subfolders)
        else:
            folder = await in_thread(prepare_output, self._io, job_id, subfolders=subfolders, user=self._user_ids)
        build.output_path = str(folder / own) if own else str(folder)


class StartCommandStep:
    """What the keeper is told to start, of all that the steps before have found."""

    name = "command"

    def __init__(self, defaults: TaskDefaults, staging: Staging) -> None:
        self._defaults = defaults
        self._staging = staging
        user = defaults.user
        own = defaults.environment if user is None else {**defaults.environment, **user.environment()}
        self._environment = base_environment(own)

    def is_quick(self, _launch: Launch) -> bool:
        """Always: nothing is touched."""
        return True

    async def run(self, build: Build) -> None:
        """Put the command together."""
        defaults = self._defaults
        input_path = defaults.io.input_path
        place = Place(
            defaults.worker_id,
            defaults.controller_address,
            output_path=build.output_path,
            input_path=None if input_path is None else str(input_path),
            input_files=build.inputs,
            ports=build.ports,
        )
        stdout, stderr = self._staging.log_files(build.attempt_id)
        build.command = StartCommand(
            attempt_id=build.attempt_id,
            argv=list(build.launch.command),
            cwd=build.workdir,
            env=task_environment(self._environment, build.attempt_id, build.launch, place),
            stdout=stdout,
            stderr=stderr,
            stdin=defaults.stdin,
            user=None if defaults.user is None else defaults.user.user,
        )


class _Locality:
    """Which folders are on local disks, remembered for a while."""

    def __init__(self) -> None:
        self._labels: dict[str, tuple[float, bool]] = {}

    def is_local(self, path: str) -> bool:
        now_s = time.monotonic()
        known = self._labels.get(path)
        if known is None or known[0] < now_s:
            if len(self._labels) > _LABELS_MAX:
                self._labels.clear()
            known = (now_s + _LABEL_GOOD_FOR_S, filesystem_label(Path(path)) == LOCAL)
            self._labels[path] = known
        return known[1]


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def _output_folder(attempt_id: AttemptId, launch: Launch) -> str:
    """Where it writes, below the job's folder."""
    task = "" if launch.num_tasks == 1 else f"task-{launch.task_index}"
    if launch.attempt == 0 or launch.follows:
        return task
    # Its number in the job, and the mark that makes it unique, even after a restored backup.
    own = f"{ATTEMPTS_FOLDER}/{attempt_id.removeprefix(f'{launch.job_id}.')}"
    return f"{task}/{own}" if task else own
