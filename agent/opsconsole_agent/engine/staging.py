"""What a process needs before it can start, step by step: folders, files, code and its setup, the environment.

Whatever else is to be there before a start is one more step in `Staging.steps`. What takes no time comes first, so that a
missing input is said before anything is fetched.

Where results go. A worker makes `{output_path}/jobs/{job_id}/` with `models/` and `logs/` for a job
of one task; each task of a job with several has such a folder of its own below it, `task-{index}/`. A retry goes on in
its task's folder and finds what the attempt before it left, a checkpoint for example. Only where an earlier attempt may
still be writing (its worker was given up on, and the disk may be the same) it gets `attempts/{task}.{attempt}.{mark}/`
below that, which takes the task folder's place once its result is accepted: two that live never write to one folder.
A worker without an output path has such folders in its state folder (`own_outputs`).

Folders on a network mount can hang whoever touches them, beyond the reach of signals. They are touched by processes
that can be given up on, which takes tens of milliseconds; local ones directly.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from opsconsole_agent.engine.build import Build, Step, has_build, in_thread
from opsconsole_agent.engine.build_log import BuildLog
from opsconsole_agent.engine.bundle import remove_unchanged
from opsconsole_agent.engine.contents import BundleFolder, Contents, ContentSource
from opsconsole_agent.engine.dataset_step import DatasetLook, Datasets
from opsconsole_agent.engine.engine import StepProgress
from opsconsole_agent.engine.environment import Place, base_environment, task_environment
from opsconsole_agent.engine.own_output import OwnOutputs
from opsconsole_agent.engine.setup import Setup
from opsconsole_agent.engine.setup_cache import SetupCache
from opsconsole_agent.engine.side_process import SideProcesses
from opsconsole_agent.engine.task_user import TaskUser
from opsconsole_agent.keeper_client.message import StartCommand
from opsconsole_agent.probe.folder_check import FolderCheck, expand_home
from opsconsole_agent.probe.io_path import (
    ATTEMPTS_FOLDER,
    COUNTED_ENTRIES_MAX,
    JOB_SUBFOLDERS,
    InputRefused,
    OutputCount,
    WorkerIOConfig,
    count_output,
    count_remote_output,
    find_input_folder,
    inspect_input,
    make_output,
    prepare_output,
    publish_output,
    resolve_input,
)
from opsconsole_agent.probe.mount import LOCAL, filesystem_label
from opsconsole_agent.probe.timed_call import TimedCall
from opsconsole_agent.state import pause_flag
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.dataset import FoundDataset
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.job_content import Bundle
from opsconsole_protocol.link import Launch
from opsconsole_protocol.log import Source

_LABEL_GOOD_FOR_S = 30.0
_LABELS_MAX = 1_000
_COUNTED_AT_ONCE_MAX = 100
_COUNT_AT_ONCE_S = 0.002
_LOOK_S = 5.0


class CheckpointGone(OpsconsoleError):
    """The checkpoint from which an attempt was to go on isn't where it was."""

    code = "checkpoint_gone"


@dataclass(frozen=True, slots=True)
class TaskDefaults:
    """What all attempts of one agent have in common. `environment` is the agent's own; `stdin` is what all read.

    `user`: whom they run as, if not as the agent's own user. `own_outputs`: where results go on a worker without an output
    path; None: nowhere, and there is no OPSCONSOLE_OUTPUT_PATH.
    """

    worker_id: WorkerId
    controller_address: str
    environment: Mapping[str, str]
    io: WorkerIOConfig
    stdin: str = os.devnull
    user: TaskUser | None = None
    own_outputs: OwnOutputs | None = None
    sdk_path: str | None = None
    """The folder with the module by which tasks report."""
    report_api: Callable[[AttemptId], tuple[str, str] | None] = lambda _: None
    """Where an attempt reports by HTTP, with its token; None where that can't be."""

    @property
    def output_io(self) -> WorkerIOConfig:
        """The folders, with the place where results go as the output path."""
        if self.io.output_path is not None or self.own_outputs is None:
            return self.io
        return replace(self.io, output_path=self.own_outputs.path)

    @property
    def base_environment(self) -> dict[str, str]:
        """What all tasks have in their environments."""
        own = self.environment if self.user is None else {**self.environment, **self.user.environment()}
        return base_environment(own)


class Equipment(NamedTuple):
    """What attempts share that need more than folders: the trees of this worker, setups, and programs beside attempts."""

    contents: ContentSource
    setups: SetupCache
    side_processes: SideProcesses
    datasets: DatasetLook


@dataclass(frozen=True, slots=True)
class Prepared:
    """A process that is ready to start. `from_cache`: nothing had to be fetched or set up for it."""

    command: StartCommand
    output_path: str | None
    from_cache: bool = False
    datasets: tuple[FoundDataset, ...] = ()


class Staging:
    """Prepares attempts. `steps` are taken in order. Without `equipment` nothing is fetched, and no setup is run."""

    def __init__(self, defaults: TaskDefaults, state: StateFolder, equipment: Equipment | None = None) -> None:
        self.state = self._state = state
        self._equipment = equipment
        self._own_outputs = defaults.own_outputs if defaults.user is None else None
        self._user_ids = None if defaults.user is None else defaults.user.user.ids
        self._locality = _Locality()
        command = StartCommandStep(defaults, self)
        user = None if defaults.user is None else defaults.user.user
        steps: list[Step] = [
            AttemptFolder(state),
            WorkingFolder(defaults, state, self._locality),
            InputFiles(defaults.io, state, self._locality),
            OutputFolder(defaults, self._locality),
            OwnCheckpoint(self._locality),
        ]
        if equipment is not None:
            search_path = defaults.base_environment.get("PATH", os.defpath)
            steps += [
                Contents(equipment.contents, state),
                Datasets(equipment.datasets, defaults.io),
                BundleFolder(state, user),
                Setup(equipment.setups, equipment.side_processes, search_path, command.environment, user),
            ]
        self.steps: tuple[Step, ...] = (*steps, command)

    def is_quick(self, launch: Launch) -> bool:
        """Whether nothing that could hang has to be touched, so that `stage` never waits."""
        return all(step.is_quick(launch) for step in self.steps)

    async def stage(self, build: Build) -> Prepared:
        """Prepare an attempt; raises OpsconsoleError or OSError with the reason why it can't be started.

        Cancelled, it stops at once, whatever the step under way waits for.
        """
        if not all(step.is_quick(build.launch) for step in self.steps):
            build.log = BuildLog(self.build_log(build.attempt_id))
        for step in self.steps:
            build.progress = StepProgress(step.name, 0, 1)
            await step.run(build)
        if build.command is None:
            raise RuntimeError("no step has made the command")
        found = tuple(one.found for one in build.datasets)
        return Prepared(build.command, build.output_path, build.from_cache and has_build(build.launch), found)

    def is_local(self, path: str) -> bool:
        """Whether a folder is on a local disk, so that looking at it doesn't hang."""
        return self._locality.is_local(path)

    def log_files(self, attempt_id: AttemptId) -> tuple[str, str]:
        """Where its stdout and stderr go."""
        return self._state.log_file(attempt_id, Source.STDOUT), self._state.log_file(attempt_id, Source.STDERR)

    def build_log(self, attempt_id: AttemptId) -> str:
        """Where goes what its preparation has to say."""
        return self._state.log_file(attempt_id, Source.BUILD)

    def report_file(self, attempt_id: AttemptId) -> str:
        """Where it may say something of itself."""
        return self._state.log_file(attempt_id, Source.REPORT)

    def count_at_once(self, output_path: str | None) -> tuple[bool, OutputCount | None]:
        """Whether it takes no time to say what lies in an output folder, and what that is."""
        if output_path is None:
            return True, None
        if not self.is_local(output_path):
            return False, None
        counted = count_output(output_path, _COUNTED_AT_ONCE_MAX, _COUNT_AT_ONCE_S)
        return counted is not None, counted

    def reclaim(self, output_path: str | None) -> bool:
        """Whether an ended attempt of which nothing lives has written nothing there; then the folder is used again."""
        return output_path is not None and self._own_outputs is not None and self._own_outputs.reclaim(output_path)

    async def count(self, output_path: str | None) -> OutputCount | None:
        """What lies in an output folder, None where that isn't known."""
        if output_path is None:
            return None
        if self.is_local(output_path):
            return await asyncio.to_thread(count_output, output_path, COUNTED_ENTRIES_MAX)
        return await asyncio.to_thread(count_remote_output, output_path)

    async def remove_bundle(self, attempt_id: AttemptId, bundle: Bundle) -> None:
        """Of an attempt's copy of its code leave what it has changed."""
        if self._equipment is not None:
            manifest = await self._equipment.contents.manifest(bundle.content_id)
            if manifest is not None:
                await asyncio.to_thread(remove_unchanged, manifest, Path(self._state.work(attempt_id)))

    def release(self, attempt_id: AttemptId, bundle: Bundle | None) -> Coroutine[Any, Any, None]:
        """The attempt needs its files, its code and its setup no more. Its working folder may be another's by the time this is awaited."""
        return self._release(attempt_id, None if self._state.is_spare(attempt_id) else bundle)

    async def _release(self, attempt_id: AttemptId, bundle: Bundle | None) -> None:
        if self._equipment is not None:
            if bundle is not None and await asyncio.to_thread(os.path.lexists, self._state.work(attempt_id)):
                await self.remove_bundle(attempt_id, bundle)
                await asyncio.to_thread(self._state.remove_empty, attempt_id)
            await asyncio.to_thread(self._equipment.contents.release, attempt_id)
            await asyncio.to_thread(self._equipment.setups.release, attempt_id)

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

    def __init__(self, io: WorkerIOConfig, state: StateFolder, locality: "_Locality") -> None:
        self._io = io
        self._state = state
        self._locality = locality

    def is_quick(self, launch: Launch) -> bool:
        """Without inputs, or where all of them are on local disks."""
        try:
            folders = {find_input_folder(self._io, name)[0] for name in launch.inputs}
        except InputRefused:
            return True  # nothing is touched
        return all(self._locality.is_local(folder) for folder in folders)

    async def run(self, build: Build) -> None:
        """Find every file; raises InputRefused or OSError."""
        names, is_quick = build.launch.inputs, build.is_quick or self.is_quick(build.launch)
        found: list[str] = []
        for name in names:
            build.progress = StepProgress(self.name, len(found), len(names))
            file = resolve_input(self._io, name) if is_quick else await in_thread(inspect_input, self._io, name)
            found.append(str(file.path))
        build.inputs = tuple(found)
        if found:
            self._state.name_inputs(build.attempt_id, [(os.path.basename(path), path) for path in found])  # noqa: PTH119


class OutputFolder:
    """Where the attempt's results go, if the worker has a place for them."""

    name = "output folder"

    def __init__(self, defaults: TaskDefaults, locality: "_Locality") -> None:
        self._io = defaults.output_io
        self._own = defaults.own_outputs
        self._user_ids = None if defaults.user is None else defaults.user.user.ids
        self._locality = locality

    def is_quick(self, _launch: Launch) -> bool:
        """Unless it isn't on a local disk, or another user's: then a child becomes that user to make it."""
        path = self._io.output_path
        return path is None or (self._user_ids is None and self._locality.is_local(str(path)))

    async def run(self, build: Build) -> None:
        """Make the folder; raises OutputRefused or OSError."""
        if self._io.output_path is None:
            return
        job_id, own = build.launch.job_id, _output_folder(build.attempt_id, build.launch)
        parts = own.split("/") if own else []
        above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        subfolders = [*above, *("/".join((*parts, name)) for name in JOB_SUBFOLDERS)]
        if self._own is not None and self._user_ids is None:
            folder = self._own.make(job_id, own, subfolders)
        elif build.is_quick or self.is_quick(build.launch):
            folder = make_output(self._io, job_id, subfolders=subfolders)
        else:
            folder = await in_thread(prepare_output, self._io, job_id, subfolders=subfolders, user=self._user_ids)
        build.output_path = str(folder / own) if own else str(folder)


class OwnCheckpoint:
    """The checkpoint from which it goes on, where that is to be on this worker."""

    name = "checkpoint"

    def __init__(self, locality: "_Locality") -> None:
        self._locality = locality

    def is_quick(self, launch: Launch) -> bool:
        """Unless it isn't on a local disk."""
        resume = launch.resume
        return resume is None or resume.content_id is not None or self._locality.is_local(resume.path)

    async def run(self, build: Build) -> None:
        """See that it is there; raises CheckpointGone, or Unavailable where that can't be told."""
        resume = build.launch.resume
        if resume is None or resume.content_id is not None:
            return
        look = partial(os.path.exists, resume.path)
        is_quick = build.is_quick or self.is_quick(build.launch)
        try:
            is_there = look() if is_quick else await in_thread(TimedCall(look, _LOOK_S).call)
        except TimeoutError:
            raise Unavailable(f"the checkpoint {resume.path} doesn't answer: is the mount hung?") from None
        if not is_there:
            raise CheckpointGone(f"the checkpoint {resume.path} is not on this worker any more")
        build.resume_path = resume.path


class StartCommandStep:
    """What the keeper is told to start, of all that the steps before have found."""

    name = "command"

    def __init__(self, defaults: TaskDefaults, staging: Staging) -> None:
        self._defaults = defaults
        self._staging = staging
        self._base = defaults.base_environment

    def is_quick(self, _launch: Launch) -> bool:
        """Always: nothing is touched."""
        return True

    def environment(self, build: Build, setup_path: str | None) -> dict[str, str]:
        """The whole environment of what runs for this attempt."""
        defaults = self._defaults
        input_path = defaults.io.input_path
        place = Place(
            defaults.worker_id,
            defaults.controller_address,
            output_path=build.output_path,
            input_path=None if input_path is None else str(input_path),
            inputs=build.inputs,
            datasets=build.datasets,
            bundle_path=build.bundle_path,
            setup_path=setup_path,
            ports=build.ports,
            report_path=self._staging.report_file(build.attempt_id),
            pause_path=pause_flag.path_in(self._staging.state.folder(build.attempt_id)),
            resume_path=build.resume_path,
            api=defaults.report_api(build.attempt_id),
            sdk_path=defaults.sdk_path,
        )
        return task_environment(self._base, build.attempt_id, build.launch, place)

    async def run(self, build: Build) -> None:
        """Put the command together."""
        defaults = self._defaults
        stdout, stderr = self._staging.log_files(build.attempt_id)
        build.command = StartCommand(
            attempt_id=build.attempt_id,
            argv=list(build.launch.command),
            cwd=build.workdir,
            env=self.environment(build, build.setup_path),
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
