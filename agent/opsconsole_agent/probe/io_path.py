"""A worker's folders: their check at start, the look-up of input files, and jobs' output folders."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from opsconsole_agent.probe import io_child
from opsconsole_agent.probe.child_call import ChildCall
from opsconsole_agent.probe.mount import LOCAL, filesystem_label
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.mount import Mount, mounts_of, place_input

PROGRAM = Path(io_child.__file__)
JOB_SUBFOLDERS = ("models", "logs")
ATTEMPTS_FOLDER = "attempts"
"""The folder below a task's one for attempts that weren't allowed to write into the task's."""

MEASURE_S = 20.0
"""How long to measure the output folders of many jobs; those that aren't reached in time aren't named."""
REMOVE_S = 200.0
"""How long to remove the output folders of many jobs; those that aren't reached in time stay."""

COUNT_S = 5.0
"""How long to count what an attempt has left in its output folder."""
COUNTED_ENTRIES_MAX = 200_000
"""How many files and folders are counted there."""

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class InputRefused(InvalidRequest):
    """Raised for a file that can't be a job's input on this worker; `message` is the reason, in one line."""


class OutputRefused(InvalidRequest):
    """Raised for a job's output folder that can't be made; `message` is the reason, in one line."""


@dataclass(frozen=True)
class WorkerIOConfig:
    """A worker's I/O paths, absolute, None where not configured; and the label of the filesystem that they are on.

    `mounts` are its other folders; `every_mount` has all of them.
    """

    input_path: Path | None = None
    output_path: Path | None = None
    filesystem: str = LOCAL
    mounts: tuple[Mount, ...] = ()

    @classmethod
    def of(
        cls,
        input_path: str | Path | None = None,
        output_path: str | Path | None = None,
        filesystem: str | None = None,
        mounts: tuple[Mount, ...] = (),
    ) -> "WorkerIOConfig":
        """Make one from flags or a file: paths are made absolute, a missing label is read from the mount table."""
        paths = [None if not path else Path(path).expanduser().absolute() for path in (input_path, output_path)]
        labels = [filesystem_label(path) for path in paths if path is not None]
        # Where inputs and outputs are on different filesystems, people want to know the shared one.
        found = next((label for label in labels if label != LOCAL), LOCAL)
        return cls(paths[0], paths[1], filesystem or found, mounts)

    def to_properties(self) -> dict[str, str | None]:
        """`{input, output, filesystem}`, as advertised in `properties.io_paths`."""
        return {
            "input": None if self.input_path is None else str(self.input_path),
            "output": None if self.output_path is None else str(self.output_path),
            "filesystem": self.filesystem,
        }

    @property
    def every_mount(self) -> tuple[Mount, ...]:
        """All folders that files may be looked at in: the input path, the output path, the mounts."""
        return (*mounts_of({"io_paths": self.to_properties()}), *self.mounts)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A regular, readable file under the input path."""

    path: Path
    size_bytes: int
    changed_ns: int = field(default=0, compare=False)
    """When it was last written to, by the clock of the host that stores it."""


def check(config: WorkerIOConfig, timeout_s: float = 5.0, *, program: Path = PROGRAM) -> list[str]:
    """Return the problems with the paths, one line each. Takes about 30 ms, and at most `timeout_s` where a mount hangs.

    A file is written to the output path and to writable mounts. All are checked at once, each in a process of its own.
    """
    deadline = time.monotonic() + timeout_s
    started = [
        (f"{kind} path {path}", ChildCall(program, [f"check_{kind}", str(path)], hangs_on=str(path)))
        for kind, path in (("input", config.input_path), ("output", config.output_path))
        if path is not None
    ]
    for mount in config.mounts:
        request = ["check_mount", mount.path, mount.label, mount.writable]
        started.append((f"mount {mount.label} {mount.path}", ChildCall(program, request, hangs_on=mount.path)))
    problems: list[str] = []
    for what, call in started:
        try:
            problems += call.result(deadline)["answer"]
        except TimeoutError:
            problems.append(f"{what} {_timeout_text(timeout_s)}")
        except OSError as error:
            problems.append(f"{what} could not be checked: {error}")
    return problems


def resolve_input(config: WorkerIOConfig, filename: str) -> InputFile:
    """Find the input file that is meant by a name, `LABEL:path` or a whole path. Raises InputRefused.

    May hang with the mount, unlike `inspect_input`.
    """
    folder, below = find_input_folder(config, filename)
    try:
        path, size_bytes, changed_ns = io_child.find_file(folder, below)
    except io_child.Refused as refusal:
        raise InputRefused(str(refusal)) from refusal
    return InputFile(Path(path), size_bytes, changed_ns)


def inspect_input(
    config: WorkerIOConfig, filename: str, timeout_s: float = 5.0, *, program: Path = PROGRAM
) -> InputFile:
    """Find the input file as `resolve_input` does, in a process of its own, within `timeout_s`. Raises InputRefused."""
    folder, below = find_input_folder(config, filename)
    with _refusing(InputRefused, f"the input folder {folder}", "could not be searched", timeout_s):
        path, size_bytes, changed_ns = _call(program, ["find_file", folder, below], folder, timeout_s)
    return InputFile(Path(path), int(size_bytes), int(changed_ns))


def inspect_dataset(config: WorkerIOConfig, name: str, timeout_s: float = 5.0) -> tuple[InputFile, bool]:
    """Find a dataset as `inspect_input` finds a file; and whether it is or has Parquet or Arrow. Raises InputRefused.

    Of a folder size and time of change are 0.
    """
    folder, below = find_input_folder(config, name)
    with _refusing(InputRefused, f"the input folder {folder}", "could not be searched", timeout_s):
        path, size_bytes, changed_ns, has_arrow = _call(PROGRAM, ["find_dataset", folder, below], folder, timeout_s)
    return InputFile(Path(path), int(size_bytes), int(changed_ns)), bool(has_arrow)


def find_input_folder(config: WorkerIOConfig, filename: str) -> tuple[str, str]:
    """Return the folder that an input is in and its path below that, without touching either. Raises InputRefused."""
    try:
        mount, below = place_input(config.every_mount, filename)
    except InvalidRequest as error:
        raise InputRefused(error.message) from None
    return mount.path, below


def make_output(config: WorkerIOConfig, job_id: str, subfolders: Sequence[str] = JOB_SUBFOLDERS) -> Path:
    """Make `{output_path}/jobs/{job_id}` with `subfolders`, as far as it isn't there yet. Raises OutputRefused.

    Never leaves the output path through a link. Takes 0.1 ms, but may hang with the mount, unlike `prepare_output`.
    """
    folder = _output_folder(config, job_id)
    try:
        return Path(io_child.make_output(folder, job_id, subfolders))
    except io_child.Refused as refusal:
        raise OutputRefused(str(refusal)) from refusal


def prepare_output(
    config: WorkerIOConfig,
    job_id: str,
    timeout_s: float = 5.0,
    *,
    subfolders: Sequence[str] = JOB_SUBFOLDERS,
    user: io_child.UserIds | None = None,
    program: Path = PROGRAM,
) -> Path:
    """Make a job's output folder as `make_output` does, in a process of its own, within `timeout_s`.

    The job's folder is made to belong to `user`. Raises OutputRefused.
    """
    folder = _output_folder(config, job_id)
    with _refusing(OutputRefused, f"the output folder {folder}", "could not be written", timeout_s):
        return Path(_call(program, ["make_output", folder, job_id, list(subfolders), user], folder, timeout_s))


def publish_output(
    own: str, timeout_s: float = 60.0, *, user: io_child.UserIds | None = None, program: Path = PROGRAM
) -> None:
    """Move the results in an attempt's own folder to its task's folder, in a process of its own, within `timeout_s`.

    What was there is moved into `attempts/`; the own folder becomes a link to the task's. Raises OutputRefused.
    """
    try:
        _call(program, ["publish", own, user], own, timeout_s)
    except io_child.Refused as refusal:
        raise OutputRefused(str(refusal)) from refusal
    except (TimeoutError, OSError) as error:
        raise OutputRefused(f"the results in {own} could not be moved to the task's folder: {error}") from error


@dataclass(frozen=True, slots=True)
class FoundOutput:
    """A job's output folder as it is now. `file` is its `device:inode`."""

    job_id: str
    path: str
    size_bytes: int
    changed_ns: int
    file: str


def measure_outputs(
    config: WorkerIOConfig, job_ids: Sequence[str], *, budget_s: float = MEASURE_S, program: Path = PROGRAM
) -> tuple[list[FoundOutput], bool]:
    """Return the output folders that these jobs have, and whether `budget_s` was too short for all. Raises OutputRefused."""
    answer = _call_for_jobs("measure_outputs", config, job_ids, budget_s, budget_s + 5, program)
    folder = config.output_path
    found = [FoundOutput(name, f"{folder}/jobs/{name}", *rest) for name, *rest in answer["found"]]
    return found, answer["more"]


def remove_outputs(
    config: WorkerIOConfig, job_ids: Sequence[str], *, budget_s: float = REMOVE_S, program: Path = PROGRAM
) -> tuple[frozenset[str], list[str], bool]:
    """Remove these jobs' output folders. Raises OutputRefused.

    Return the ids of those that were removed, in words why others couldn't be, and whether `budget_s` was too short.
    """
    answer = _call_for_jobs("remove_outputs", config, job_ids, budget_s, budget_s + 80, program)
    return frozenset(answer["removed"]), answer["troubles"], answer["more"]


class OutputCount(NamedTuple):
    """What lies in an output folder."""

    files: int
    size_bytes: int


NOTHING_WRITTEN = OutputCount(0, 0)


def count_output(path: str, entries_max: int, budget_s: float = COUNT_S) -> OutputCount | None:
    """What lies in a local output folder; None where it is too much to be counted. Blocks."""
    counted = io_child.count_files(path, entries_max, budget_s)
    return None if counted is None else OutputCount(*counted)


def count_remote_output(path: str, budget_s: float = COUNT_S, *, program: Path = PROGRAM) -> OutputCount | None:
    """The same, in a process of its own that can be given up on."""
    try:
        counted = _call(program, ["count_files", path, COUNTED_ENTRIES_MAX, budget_s], path, budget_s + 1)
    except (TimeoutError, OSError, io_child.Refused):
        return None
    return None if counted is None else OutputCount(*counted)


def _call_for_jobs(
    function: str, config: WorkerIOConfig, job_ids: Sequence[str], budget_s: float, timeout_s: float, program: Path
) -> Any:
    for job_id in job_ids:
        _output_folder(config, job_id)  # refuses a name that leads elsewhere
    folder = str(config.output_path)
    with _refusing(OutputRefused, f"the output folder {folder}", "could not be looked through", timeout_s):
        return _call(program, [function, folder, list(job_ids), budget_s], folder, timeout_s)


@contextmanager
def _refusing(
    refused: type[InputRefused | OutputRefused], folder: str, failed: str, timeout_s: float
) -> Iterator[None]:
    """Raise `refused`, with words for it, for whatever goes wrong in a child's call about a folder."""
    try:
        yield
    except io_child.Refused as refusal:
        raise refused(str(refusal)) from refusal
    except TimeoutError as error:
        raise refused(f"{folder} {_timeout_text(timeout_s)}") from error
    except OSError as error:
        raise refused(f"{folder} {failed}: {error}") from error


def _call(program: Path, request: Sequence[object], folder: str, timeout_s: float) -> Any:
    deadline = time.monotonic() + timeout_s
    result = ChildCall(program, request, hangs_on=folder).result(deadline)
    if "refused" in result:
        raise io_child.Refused(result["refused"])
    return result["answer"]


def _timeout_text(timeout_s: float) -> str:
    return f"did not answer within {timeout_s:g} s (is the mount hung?)"


def _output_folder(config: WorkerIOConfig, job_id: str) -> str:
    if config.output_path is None:
        raise OutputRefused("this worker has no output path: give its agent one with --output-path")
    if _JOB_ID.fullmatch(job_id) is None:
        raise OutputRefused(f"{job_id[:80]!r} can't name a job's output folder")
    return str(config.output_path)
