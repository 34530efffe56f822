"""Results in the agent's own state folder, where the worker has no output path: `STATE_DIR/outputs/jobs/{job_id}/…`."""

import logging
from collections.abc import Iterable
from pathlib import Path

from opsconsole_agent.keeper import state_file
from opsconsole_protocol.ids import check_job_id

_PASSABLE = 0o711

_log = logging.getLogger(__name__)


def make_outputs_folder(outputs: Path, *, shared: bool) -> None:
    """Make the folder of all, through which another user may pass if it is `shared`. Raises OSError."""
    _make(outputs)
    if shared:
        outputs.chmod(_PASSABLE)


def make_own_output(outputs: Path, job_id: str, subfolders: Iterable[str]) -> Path:
    """Make a job's folder with its subfolders, as far as they aren't there yet, and return it.

    What a task has put in the place of one of them is set aside. Raises InvalidRequest and OSError.
    """
    job = outputs / "jobs" / check_job_id(job_id)
    for folder in (outputs, outputs / "jobs", job, *(job / below for below in subfolders)):
        _make(folder)
    return job


def _make(folder: Path) -> None:
    if words := state_file.make_folder(str(folder)):
        _log.error("%s", words)
