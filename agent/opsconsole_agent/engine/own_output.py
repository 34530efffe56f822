"""Results in the agent's own state folder, where the worker has no output path: `STATE_DIR/outputs/jobs/{job_id}/…`.

A task that wrote nothing leaves its folder for a task to come, in `STATE_DIR/outputs/spare/`: on some filesystems making one
takes longer than all else that a small task needs.
"""

# Paths are strings here, as in the state folder: pathlib would take a tenth of a small task's time.
# ruff: noqa: PTH104, PTH106, PTH208

import contextlib
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from opsconsole_agent.keeper import state_file
from opsconsole_agent.probe.io_path import JOB_SUBFOLDERS
from opsconsole_protocol.ids import check_job_id

_SPARE = "spare"
_SPARE_MAX = 64
_AS_MADE = stat.S_IFDIR | 0o700
_PASSABLE = 0o711

_log = logging.getLogger(__name__)


class OwnOutputs:
    """All of one agent."""

    def __init__(self, folder: Path, *, shared: bool) -> None:
        """Make the folder; another user may pass through if it is `shared`. Raises OSError."""
        self._folder = str(folder)
        self._spare: list[str] = []
        self._made = 0
        _make(self._folder)
        if shared:
            folder.chmod(_PASSABLE)
        self._remove_spare()

    @property
    def path(self) -> Path:
        """The folder, which takes the place of an output path."""
        return Path(self._folder)

    def make(self, job_id: str, own: str, subfolders: Iterable[str]) -> Path:
        """Make a job's folder with its subfolders, as far as they aren't there yet, and return it.

        `own`: where below it the task writes. What a task has put in the place of our folders is set aside. Raises
        InvalidRequest and OSError.
        """
        job = f"{self._folder}/jobs/{check_job_id(job_id)}"
        if "/" not in own and self._use_spare(f"{job}/{own}" if own else job):
            return Path(job)
        for folder in (self._folder, f"{self._folder}/jobs", job, *(f"{job}/{below}" for below in subfolders)):
            _make(folder)
        return Path(job)

    def _use_spare(self, folder: str) -> bool:
        """Have a spare folder in this place, where nothing is yet and there is a spare one."""
        if not self._spare:
            return False
        try:
            os.rename(self._spare[-1], folder)
        except FileNotFoundError:
            return False  # the first task of its job: the folder above isn't there
        except OSError:
            return False  # what an earlier attempt wrote is there
        self._spare.pop()
        return True

    def reclaim(self, output_path: str) -> bool:
        """Nobody is left to write into this folder: have it for a task to come if nothing was written. Return whether that is so."""
        if len(self._spare) >= _SPARE_MAX or not output_path.startswith(f"{self._folder}/jobs/"):
            return False
        try:
            if not _is_as_made(output_path):
                return False
            spare = f"{self._folder}/{_SPARE}/{self._made}"
            try:
                os.rename(output_path, spare)
            except FileNotFoundError:
                _make(f"{self._folder}/{_SPARE}")
                os.rename(output_path, spare)
        except OSError:
            return False
        self._made += 1
        self._spare.append(spare)
        return True

    def _remove_spare(self) -> None:
        """Those of an agent before; nobody knows what was done to them since."""
        with contextlib.suppress(OSError):
            for name in os.listdir(f"{self._folder}/{_SPARE}"):
                folder = f"{self._folder}/{_SPARE}/{name}"
                for below in (*(f"{folder}/{one}" for one in JOB_SUBFOLDERS), folder):
                    os.rmdir(below)


def _is_as_made(folder: str) -> bool:
    if set(os.listdir(folder)) != set(JOB_SUBFOLDERS) or os.lstat(folder).st_mode != _AS_MADE:
        return False
    inner = [f"{folder}/{name}" for name in JOB_SUBFOLDERS]
    return all(os.lstat(one).st_mode == _AS_MADE and not os.listdir(one) for one in inner)


def _make(folder: str) -> None:
    if words := state_file.make_folder(folder):
        _log.error("%s", words)
