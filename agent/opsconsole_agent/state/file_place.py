"""Which folder of this worker is meant by the root of a path: a mount, or one of a job's folders."""

import re

from opsconsole_agent.probe.file_look import FilePlace
from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state.content_folder import CONTENT_FOLDER
from opsconsole_agent.state.state_folder import (
    INPUTS_FOLDER,
    OUTPUTS_FOLDER,
    WORK_FOLDER,
    StateFolder,
    check_attempt_id,
)
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.mount import find_mount
from opsconsole_protocol.stream.message import FileRoot, RootKind

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class FilePlaces:
    """Finds the folders. Nothing on disk is touched."""

    def __init__(self, state: StateFolder, io: WorkerIOConfig) -> None:
        self._state = state
        self._io = io

    def find(self, root: FileRoot) -> FilePlace:
        """The folder that is meant. Raises InvalidRequest, NotFound, or Conflict where it isn't here (any more)."""
        if root.kind is RootKind.MOUNT:
            return self._mount(root.mount)
        if _JOB_ID.fullmatch(root.job_id) is None:
            raise InvalidRequest(f"{root.job_id[:80]!r} can't name a job's folder")
        if root.kind is RootKind.OUTPUT:
            return self._output(root)
        attempt_id = check_attempt_id(root.attempt_id)
        if root.kind is RootKind.WORK:
            return FilePlace(self._state.attempts_folder, (attempt_id, WORK_FOLDER))
        contents = str(self._state.path.absolute() / CONTENT_FOLDER)  # where the links to inputs lead
        return FilePlace(self._state.attempts_folder, (attempt_id, INPUTS_FOLDER), also=contents)

    def _mount(self, label: str) -> FilePlace:
        mounts = self._io.every_mount
        mount = find_mount(mounts, label)
        if mount is None:
            known = ", ".join(one.label for one in mounts) or "none"
            raise NotFound(f"this worker has no mount {label[:80]!r}; it has {known}")
        return FilePlace(mount.path, writable=mount.writable)

    def _output(self, root: FileRoot) -> FilePlace:
        """Where the job writes, as the worker itself said it once. Anything that isn't below our own folders is refused."""
        own = str(self._state.path / OUTPUTS_FOLDER)
        bases = [own] if self._io.output_path is None else [str(self._io.output_path), own]
        for base in bases:
            job_folder = f"{base.rstrip('/')}/jobs/{root.job_id}"
            if not root.output_path or root.output_path == job_folder:
                return FilePlace(base, ("jobs", root.job_id))
            start = root.output_path.removeprefix(f"{job_folder}/")
            if start != root.output_path and ".." not in start.split("/"):
                return FilePlace(base, ("jobs", root.job_id), start)
        raise Conflict(f"{root.output_path} is not below this worker's output path, {bases[0]}: it was changed since")
