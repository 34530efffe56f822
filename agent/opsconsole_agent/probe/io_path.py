"""Where a worker reads inputs and writes outputs: checked at start, asked for files, given folders for jobs."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsconsole_agent.keeper_client.message import User
from opsconsole_agent.probe import io_child
from opsconsole_agent.probe.child_call import Errand
from opsconsole_agent.probe.mount import LOCAL, filesystem_label
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.input_name import check_input_name

PROGRAM = Path(io_child.__file__)
JOB_SUBFOLDERS = ("models", "logs")
ATTEMPTS_FOLDER = "attempts"
"""Below a task's folder: of attempts that couldn't write into it."""

MEASURE_S = 20.0
"""For the output folders of many jobs; what isn't reached in time isn't named."""
REMOVE_S = 200.0
"""After that none is begun any more."""

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class InputRefused(InvalidRequest):
    """A file that this worker can't offer as a job's input; `message` is the reason, in one line."""


class OutputRefused(InvalidRequest):
    """A job's output folder that can't be made; `message` is the reason, in one line."""


@dataclass(frozen=True)
class WorkerIOConfig:
    """A worker's I/O paths, absolute, and the label of the filesystem that they are on. None: not configured."""

    input_path: Path | None = None
    output_path: Path | None = None
    filesystem: str = LOCAL

    @classmethod
    def of(
        cls,
        input_path: str | Path | None = None,
        output_path: str | Path | None = None,
        filesystem: str | None = None,
    ) -> "WorkerIOConfig":
        """From flags or file: relative paths are made absolute, a missing label is read from the mount table."""
        paths = [None if not path else Path(path).expanduser().absolute() for path in (input_path, output_path)]
        labels = [filesystem_label(path) for path in paths if path is not None]
        # With inputs and outputs on different filesystems, the shared one is what people ask about.
        found = next((label for label in labels if label != LOCAL), LOCAL)
        return cls(paths[0], paths[1], filesystem or found)

    def to_properties(self) -> dict[str, str | None]:
        """`{input, output, filesystem}`, as advertised in `properties.io_paths`."""
        return {
            "input": None if self.input_path is None else str(self.input_path),
            "output": None if self.output_path is None else str(self.output_path),
            "filesystem": self.filesystem,
        }


@dataclass(frozen=True, slots=True)
class InputFile:
    """A regular file that can be read, under the input path."""

    path: Path
    size_bytes: int
    changed_ns: int = field(default=0, compare=False)
    """When it was last written to, by the clock of whoever keeps it."""


def check(config: WorkerIOConfig, timeout_s: float = 5.0, *, program: Path = PROGRAM) -> list[str]:
    """Return the problems with the paths, one line each; none: all is well. Takes some 30 ms, `timeout_s` at the most.

    The output path is tried with a real write. Both are tried at once, each in a process of its own, which is given up
    on when the mount hangs.
    """
    deadline = time.monotonic() + timeout_s
    started = [
        (kind, path, Errand(program, [f"check_{kind}", str(path)], hangs_on=str(path)))
        for kind, path in (("input", config.input_path), ("output", config.output_path))
        if path is not None
    ]
    problems: list[str] = []
    for kind, path, errand in started:
        try:
            problems += errand.answer(deadline)["answer"]
        except TimeoutError:
            problems.append(f"{kind} path {path} {_late(timeout_s)}")
        except OSError as error:
            problems.append(f"{kind} path {path} could not be checked: {error}")
    return problems


def resolve_input(config: WorkerIOConfig, filename: str) -> InputFile:
    """Find the input file of that name or raise InputRefused. Touches the mount itself: prefer `inspect_input`."""
    folder = _input_folder(config, filename)
    try:
        path, size_bytes, changed_ns = io_child.find_file(folder, filename)
    except io_child.Refused as refusal:
        raise InputRefused(str(refusal)) from refusal
    return InputFile(Path(path), size_bytes, changed_ns)


def inspect_input(
    config: WorkerIOConfig, filename: str, timeout_s: float = 5.0, *, program: Path = PROGRAM
) -> InputFile:
    """The same in a process that is given up on after `timeout_s`, when the mount hangs."""
    folder = _input_folder(config, filename)
    with _refusing(InputRefused, f"the input folder {folder}", "could not be searched", timeout_s):
        path, size_bytes, changed_ns = _ask(program, ["find_file", folder, filename], folder, timeout_s)
    return InputFile(Path(path), int(size_bytes), int(changed_ns))


def make_output(config: WorkerIOConfig, job_id: str, subfolders: Sequence[str] = JOB_SUBFOLDERS) -> Path:
    """Make `{output_path}/jobs/{job_id}` with `models` and `logs`, or raise OutputRefused. Doing it again is fine.

    Never leaves the output path through a link. Takes 0.1 ms, but touches the mount itself: see `prepare_output`.
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
    user: User | None = None,
    program: Path = PROGRAM,
) -> Path:
    """The same in a process that is given up on after `timeout_s`, when the mount hangs. The job's folder is `user`'s."""
    folder = _output_folder(config, job_id)
    with _refusing(OutputRefused, f"the output folder {folder}", "could not be written", timeout_s):
        return Path(_ask(program, ["make_output", folder, job_id, list(subfolders), _ids(user)], folder, timeout_s))


def publish_output(own: str, timeout_s: float = 60.0, *, user: User | None = None, program: Path = PROGRAM) -> None:
    """Have the results of an attempt's own folder take the place of those in its task's folder; raises OutputRefused.

    In a process that is given up on after `timeout_s`. What was there is kept in `attempts/`; the own folder becomes a
    link to the task's.
    """
    try:
        _ask(program, ["publish", own, _ids(user)], own, timeout_s)
    except io_child.Refused as refusal:
        raise OutputRefused(str(refusal)) from refusal
    except (TimeoutError, OSError) as error:
        raise OutputRefused(f"the results in {own} could not be moved to the task's folder: {error}") from error


@dataclass(frozen=True, slots=True)
class FoundOutput:
    """A job's output folder, as it is now. `file`: its device and inode."""

    job_id: str
    path: str
    size_bytes: int
    changed_ns: int
    file: str


def measure_outputs(
    config: WorkerIOConfig, job_ids: Sequence[str], *, budget_s: float = MEASURE_S, program: Path = PROGRAM
) -> tuple[list[FoundOutput], bool]:
    """Which of these jobs have an output folder, how large, and whether time was too short for all; OutputRefused."""
    answer = _ask_outputs("measure_outputs", config, job_ids, budget_s, budget_s + 5, program)
    folder = config.output_path
    found = [FoundOutput(name, f"{folder}/jobs/{name}", *rest) for name, *rest in answer["found"]]
    return found, answer["more"]


def remove_outputs(
    config: WorkerIOConfig, job_ids: Sequence[str], *, budget_s: float = REMOVE_S, program: Path = PROGRAM
) -> tuple[frozenset[str], list[str], bool]:
    """Remove these jobs' output folders: which have gone, what couldn't in words, and whether time was too short."""
    answer = _ask_outputs("remove_outputs", config, job_ids, budget_s, budget_s + 80, program)
    return frozenset(answer["removed"]), answer["troubles"], answer["more"]


def _ask_outputs(
    question: str, config: WorkerIOConfig, job_ids: Sequence[str], budget_s: float, timeout_s: float, program: Path
) -> Any:
    for job_id in job_ids:
        _output_folder(config, job_id)  # a name that leads elsewhere is refused
    folder = str(config.output_path)
    with _refusing(OutputRefused, f"the output folder {folder}", "could not be looked through", timeout_s):
        return _ask(program, [question, folder, list(job_ids), budget_s], folder, timeout_s)


@contextmanager
def _refusing(
    refused: type[InputRefused | OutputRefused], folder: str, failed: str, timeout_s: float
) -> Iterator[None]:
    """What goes wrong while a child is asked about a folder, as one kind of refusal, in words."""
    try:
        yield
    except io_child.Refused as refusal:
        raise refused(str(refusal)) from refusal
    except TimeoutError as error:
        raise refused(f"{folder} {_late(timeout_s)}") from error
    except OSError as error:
        raise refused(f"{folder} {failed}: {error}") from error


def _ask(program: Path, question: Sequence[object], folder: str, timeout_s: float) -> Any:
    deadline = time.monotonic() + timeout_s
    answer = Errand(program, question, hangs_on=folder).answer(deadline)
    if "refused" in answer:
        raise io_child.Refused(answer["refused"])
    return answer["answer"]


def _ids(user: User | None) -> list[object] | None:
    return None if user is None else [user.uid, user.gid, user.groups]


def _late(timeout_s: float) -> str:
    return f"did not answer within {timeout_s:g} s (is the mount hung?)"


def _input_folder(config: WorkerIOConfig, filename: str) -> str:
    """The input folder, once the name has passed all that can be told from the name alone."""
    if config.input_path is None:
        raise InputRefused("this worker has no input path: give its agent one with --input-path")
    try:
        check_input_name(filename, str(config.input_path))
    except InvalidRequest as error:
        raise InputRefused(error.message) from None
    return str(config.input_path)


def _output_folder(config: WorkerIOConfig, job_id: str) -> str:
    if config.output_path is None:
        raise OutputRefused("this worker has no output path: give its agent one with --output-path")
    if _JOB_ID.fullmatch(job_id) is None:
        raise OutputRefused(f"{job_id[:80]!r} can't name a job's output folder")
    return str(config.output_path)
