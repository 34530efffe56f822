"""Where a worker reads inputs and writes outputs."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsconsole_agent.probe import child_call, io_child
from opsconsole_agent.probe.io_path import (
    PROGRAM,
    InputFile,
    InputRefused,
    OutputRefused,
    WorkerIOConfig,
    check,
    inspect_input,
    make_output,
    prepare_output,
    resolve_input,
)
from tests.waiting import until_sync

NOBODY = 65534
Resolve = Callable[[WorkerIOConfig, str], InputFile]
MakeOutput = Callable[[WorkerIOConfig, str], Path]


@pytest.fixture
def config(tmp_path: Path) -> WorkerIOConfig:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "outputs").mkdir()
    return WorkerIOConfig.of(tmp_path / "inputs", tmp_path / "outputs", "vast")


@pytest.fixture
def inputs(config: WorkerIOConfig) -> Path:
    assert config.input_path is not None
    return config.input_path


@pytest.fixture
def outputs(config: WorkerIOConfig) -> Path:
    assert config.output_path is not None
    return config.output_path


@pytest.fixture
def hanging_program(tmp_path: Path) -> Iterator[Path]:
    """Stands in for what touches a hung mount: deaf to all but KILL, and its pipes stay open even after that.

    It hangs, and its copy too, for as long as the test lasts.
    """
    program, marker = tmp_path / "hang.py", tmp_path / "hung"
    program.write_text(
        "import os, signal, time\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)\n"
        "os.fork()\n"
        f"open({str(tmp_path / 'starts')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        f"while os.path.exists({str(marker)!r}): time.sleep(0.02)\n",
        encoding="utf-8",
    )
    marker.touch()
    yield program
    marker.unlink()


@pytest.fixture
def unprivileged_program(tmp_path: Path) -> Path:
    """The real program, run as an ordinary user also where the tests run as root."""
    if os.geteuid() != 0:
        return PROGRAM
    program = tmp_path / "unprivileged.py"
    program.write_text(
        "import collections.abc, contextlib, errno, json, os, stat, sys\n"
        f"source = open({str(PROGRAM)!r}, encoding='utf-8').read()\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "exec(compile(source, 'io_child.py', 'exec'))\n",
        encoding="utf-8",
    )
    return program


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="opsconsole-io-"))
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700)
    shutil.rmtree(folder)


# --- the configuration -----------------------------------------------------------------------------------------


def test_paths_are_advertised_as_strings(config: WorkerIOConfig, tmp_path: Path) -> None:
    assert config.to_properties() == {
        "input": str(tmp_path / "inputs"),
        "output": str(tmp_path / "outputs"),
        "filesystem": "vast",
    }
    assert WorkerIOConfig.of().to_properties() == {"input": None, "output": None, "filesystem": "local"}


def test_paths_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ana")
    config = WorkerIOConfig.of("data", "~/out", "")
    assert (config.input_path, config.output_path) == (tmp_path / "data", Path("/home/ana/out"))
    assert config.filesystem == "local"


def test_the_label_is_that_of_the_shared_filesystem(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"/in": "local", "/out": "lustre"}
    monkeypatch.setattr("opsconsole_agent.probe.io_path.filesystem_label", lambda path: labels[str(path)])
    assert WorkerIOConfig.of("/in", "/out").filesystem == "lustre"
    assert WorkerIOConfig.of("/in", "/out", "fast").filesystem == "fast"


# --- the check -------------------------------------------------------------------------------------------------


def test_good_paths_have_no_problems_and_nothing_is_left_behind(config: WorkerIOConfig, outputs: Path) -> None:
    assert check(config) == []
    assert list(outputs.iterdir()) == []
    assert check(WorkerIOConfig()) == []


def test_missing_paths_and_files_in_their_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    missing = check(WorkerIOConfig(tmp_path / "in", tmp_path / "out"))
    assert missing == [
        f"input path {tmp_path}/in does not exist: create it, or change --input-path",
        f"output path {tmp_path}/out does not exist: create it, or change --output-path",
    ]
    wrong = check(WorkerIOConfig(tmp_path / "file", tmp_path / "file"))
    assert wrong == [
        f"input path {tmp_path}/file is not a folder: name one, or change --input-path",
        f"output path {tmp_path}/file is not a folder: name one, or change --output-path",
    ]
    below = check(WorkerIOConfig(tmp_path / "file" / "x", None))
    assert "does not exist" in below[0]


def test_paths_that_a_user_may_not_use(public_folder: Path, unprivileged_program: Path) -> None:
    for name, mode in (("open", 0o777), ("readonly", 0o555), ("unlistable", 0o333), ("unenterable", 0o666)):
        (public_folder / name).mkdir()
        (public_folder / name).chmod(mode)

    def problems(input_name: str, output_name: str) -> list[str]:
        config = WorkerIOConfig(public_folder / input_name, public_folder / output_name)
        return check(config, program=unprivileged_program)

    assert problems("open", "open") == []
    (problem,) = problems("readonly", "readonly")
    assert problem.startswith(f"output path {public_folder}/readonly can't be written (Permission denied): ")
    assert problem.endswith("let the worker's user write there, or change --output-path")
    assert len(problems("unlistable", "unlistable")) == 1
    assert "can't be read (Permission denied)" in problems("unlistable", "open")[0]
    assert len(problems("unenterable", "unenterable")) == 2


def test_only_a_real_write_finds_a_filesystem_that_takes_none() -> None:
    """/proc tells root that it may be written."""
    (problem,) = check(WorkerIOConfig(None, Path("/proc")))
    assert problem.startswith("output path /proc can't be written")


def test_a_full_disk_is_found_and_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (problem,) = io_child.check_output(str(tmp_path))
    assert "No space left on device" in problem
    assert "make room there" in problem
    assert list(tmp_path.iterdir()) == []


def test_a_filesystem_without_fsync_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unsupported)
    assert io_child.check_output(str(tmp_path)) == []


def test_the_write_is_flushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: found.append(os.fstat(descriptor).st_size))
    assert io_child.check_output(str(tmp_path)) == []
    assert len(found) == 1
    assert found[0] > 0


def test_a_mount_that_hangs_is_given_up_on(config: WorkerIOConfig, hanging_program: Path) -> None:
    begun = time.monotonic()
    problems = check(config, timeout_s=0.5, program=hanging_program)
    assert time.monotonic() - begun < 30  # the program would hang for ever
    assert problems == [
        f"input path {config.input_path} did not answer within 0.5 s (is the mount hung?)",
        f"output path {config.output_path} did not answer within 0.5 s (is the mount hung?)",
    ]


def test_one_path_that_hangs_does_not_hide_the_other(config: WorkerIOConfig, outputs: Path, tmp_path: Path) -> None:
    program = tmp_path / "half.py"
    program.write_text(
        "import runpy, sys, io, time\n"
        "text = sys.stdin.read()\n"
        "time.sleep(120) if 'check_input' in text else None\n"
        "sys.stdin = io.StringIO(text)\n"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n",
        encoding="utf-8",
    )
    shutil.rmtree(outputs)
    problems = check(config, timeout_s=4, program=program)
    assert len(problems) == 2
    assert "is the mount hung?" in problems[0]
    assert "does not exist" in problems[1]


def test_no_second_child_is_started_while_one_hangs_there(
    config: WorkerIOConfig, inputs: Path, hanging_program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A child that can't be killed for now, as one in an uninterruptible wait: here KILL is simply not sent."""
    starts = tmp_path / "starts"
    kills: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "kill", lambda child: kills.append(child.pid))
        with pytest.raises(InputRefused, match="is the mount hung"):
            inspect_input(config, "a", 0.2, program=hanging_program)
        begun = time.monotonic()
        with pytest.raises(InputRefused, match="is the mount hung"):
            inspect_input(config, "b", 60, program=hanging_program)
        assert time.monotonic() - begun < 30  # at once
    until_sync(lambda: starts.exists() and len(starts.read_text().split()) == 2, what="the child and its copy")
    assert len(kills) == 1
    assert str(kills[0]) in starts.read_text(encoding="ascii").split()
    os.kill(kills[0], signal.SIGKILL)
    (inputs / "b").touch()
    until_sync(lambda: not child_call._still_hangs(str(inputs)), what="the child to end")
    assert inspect_input(config, "b").size_bytes == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import sys; sys.exit(7)", "exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
        ("print('nonsense')", "exit code 0"),
        ("syntax error", "exit code 1"),
    ],
)
def test_a_child_that_breaks_is_told(config: WorkerIOConfig, tmp_path: Path, source: str, reason: str) -> None:
    program = tmp_path / "broken.py"
    program.write_text(source, encoding="utf-8")
    problems = check(config, timeout_s=30, program=program)
    assert [reason in problem for problem in problems] == [True, True]
    with pytest.raises(InputRefused, match=reason):
        inspect_input(config, "a", 30, program=program)
    with pytest.raises(OutputRefused, match=reason):
        prepare_output(config, "job", 30, program=program)


def test_a_child_that_never_stops_talking_is_given_up_on(config: WorkerIOConfig, tmp_path: Path) -> None:
    program = tmp_path / "flood.py"
    program.write_text("while True: print('x' * 65536)", encoding="utf-8")
    with pytest.raises(InputRefused, match="did not answer"):
        inspect_input(config, "a", 60, program=program)


def test_checks_from_several_threads(config: WorkerIOConfig) -> None:
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(check(config, timeout_s=60))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[]] * 4


# --- input files -----------------------------------------------------------------------------------------------


@pytest.fixture(params=[resolve_input, inspect_input], ids=["here", "in a child"])
def resolve(request: pytest.FixtureRequest) -> Resolve:
    found: Resolve = request.param
    return found


def refused(resolve: Resolve, config: WorkerIOConfig, name: str) -> str:
    with pytest.raises(InputRefused) as caught:
        resolve(config, name)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_file_is_found_with_its_size(resolve: Resolve, config: WorkerIOConfig, inputs: Path) -> None:
    (inputs / "labels v2.slp").write_bytes(b"12345")
    assert resolve(config, "labels v2.slp") == InputFile(inputs / "labels v2.slp", 5)


def test_names_that_people_use(resolve: Resolve, config: WorkerIOConfig, inputs: Path) -> None:
    for name in (".hidden", "-dash", "ünïcödé", "a..b", "...", "new\nline", "x" * 255, "50%"):
        (inputs / name).touch()
        assert resolve(config, name).path == inputs / name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "the file name is empty"),
        (".", "is a folder"),
        ("..", "leads out of the input folder"),
        ("../outputs/x", "leads out of the input folder"),
        ("sub/../../x", "leads out of the input folder"),
        ("..\\x", "leads out of the input folder"),
        ("/etc/passwd", "is below none of this worker's folders"),
        ("sub/file", "contains a folder"),
        ("sub\\file", "contains a folder"),
        ("a\0b", "contains a NUL character"),
        ("x" * 256, "is longer than 255 bytes"),
        ("é" * 128, "is longer than 255 bytes"),
        ("x" * 10_000_000, "is longer than 255 bytes"),
        ("\ud800", "is not valid Unicode"),
    ],
)
def test_names_that_are_refused_before_anything_is_touched(
    resolve: Resolve, config: WorkerIOConfig, inputs: Path, name: str, reason: str
) -> None:
    inputs.rmdir()
    message = refused(resolve, config, name)
    assert reason in message
    assert len(message) < 500


def test_a_file_that_is_not_there(resolve: Resolve, config: WorkerIOConfig, inputs: Path) -> None:
    assert refused(resolve, config, "a.csv") == f"not found in {inputs}: place it there first"


def test_what_is_no_regular_file(resolve: Resolve, config: WorkerIOConfig, inputs: Path) -> None:
    (inputs / "folder").mkdir()
    os.mkfifo(inputs / "fifo")
    assert "is a folder, not a file" in refused(resolve, config, "folder")
    assert "is not a regular file" in refused(resolve, config, "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(inputs, os.O_PATH)
        listener.bind(f"/proc/self/fd/{place}/socket")  # the folder's own path may be too long for a socket's
        os.close(place)
        assert "is not a regular file" in refused(resolve, config, "socket")


def test_links_inside_are_followed_and_those_that_escape_refused(
    resolve: Resolve, config: WorkerIOConfig, inputs: Path, tmp_path: Path
) -> None:
    (inputs / "deep").mkdir()
    (inputs / "deep" / "file").write_bytes(b"123")
    (inputs / "inside").symlink_to("deep/file")
    assert resolve(config, "inside") == InputFile(inputs / "deep" / "file", 3)
    (tmp_path / "inputs-secret").touch()  # shares the folder's name as a prefix
    for number, target in enumerate(
        [f"{tmp_path}/inputs-secret", f"{tmp_path}/not-there", "/etc/passwd", "../inputs-secret", ".."]
    ):
        (inputs / f"escape{number}").symlink_to(target)
        message = refused(resolve, config, f"escape{number}")
        assert "is a link that leads out of the input folder" in message
        assert "secret" not in message
    (inputs / "hop").symlink_to("escape0")
    assert "leads out" in refused(resolve, config, "hop")


def test_links_to_nowhere_and_in_a_circle(resolve: Resolve, config: WorkerIOConfig, inputs: Path) -> None:
    (inputs / "dangling").symlink_to("gone")
    (inputs / "round").symlink_to("round")
    assert "is a link to a file that does not exist" in refused(resolve, config, "dangling")
    assert "is not a regular file" in refused(resolve, config, "round")


def test_an_input_path_that_is_itself_a_link(resolve: Resolve, inputs: Path, tmp_path: Path) -> None:
    (inputs / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to(inputs)
    assert resolve(WorkerIOConfig(tmp_path / "link"), "file") == InputFile(tmp_path / "link" / "file", 3)


def test_without_input_path_or_with_one_that_is_gone(resolve: Resolve, config: WorkerIOConfig, inputs: Path) -> None:
    assert "no input path" in refused(resolve, WorkerIOConfig(), "a")
    inputs.rmdir()
    assert f"the input folder {inputs} can't be reached" in refused(resolve, config, "a")


def test_a_file_that_the_worker_may_not_read(public_folder: Path, unprivileged_program: Path) -> None:
    (public_folder / "secret").write_bytes(b"1")
    (public_folder / "secret").chmod(0o000)
    with pytest.raises(InputRefused, match=r"can't be read by the worker \(Permission denied\)"):
        inspect_input(WorkerIOConfig(public_folder), "secret", program=unprivileged_program)


def test_a_file_on_a_mount_that_hangs(config: WorkerIOConfig, inputs: Path, hanging_program: Path) -> None:
    with pytest.raises(InputRefused) as caught:
        inspect_input(config, "a", 0.5, program=hanging_program)
    assert caught.value.message == f"the input folder {inputs} did not answer within 0.5 s (is the mount hung?)"


# --- output folders --------------------------------------------------------------------------------------------


@pytest.fixture(params=[make_output, prepare_output], ids=["here", "in a child"])
def make(request: pytest.FixtureRequest) -> MakeOutput:
    found: MakeOutput = request.param
    return found


def test_a_job_gets_its_folders_and_may_ask_twice(make: MakeOutput, config: WorkerIOConfig, outputs: Path) -> None:
    path = make(config, "0a1b2c3d4e")
    assert path == outputs / "jobs" / "0a1b2c3d4e"
    assert sorted(entry.name for entry in path.iterdir()) == ["logs", "models"]
    (path / "models" / "best.ckpt").touch()
    assert make(config, "0a1b2c3d4e") == path
    assert (path / "models" / "best.ckpt").exists()
    assert make(config, "1111111111") == outputs / "jobs" / "1111111111"


def test_other_subfolders(config: WorkerIOConfig) -> None:
    assert [entry.name for entry in make_output(config, "job", ["plots"]).iterdir()] == ["plots"]


@pytest.mark.parametrize("job_id", ["", ".", "..", "../x", "a/b", "/abs", "a\0b", "-x", "x" * 101, "a b", "x\n"])
def test_job_ids_that_name_no_folder(make: MakeOutput, config: WorkerIOConfig, outputs: Path, job_id: str) -> None:
    with pytest.raises(OutputRefused, match="can't name"):
        make(config, job_id)
    assert list(outputs.iterdir()) == []


@pytest.mark.parametrize("place", ["jobs", "jobs/job", "jobs/job/models"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
def test_nothing_is_made_through_a_link(
    make: MakeOutput, config: WorkerIOConfig, outputs: Path, tmp_path: Path, place: str, kind: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (outputs / place).parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        (outputs / place).touch()
    else:
        (outputs / place).symlink_to(elsewhere)
    if kind == "link":
        elsewhere.mkdir()
    with pytest.raises(OutputRefused, match="is a link or a file where a folder of the job belongs") as caught:
        make(config, "job")
    assert str(outputs / place) in caught.value.message
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_without_output_path_or_with_one_that_is_gone(make: MakeOutput, config: WorkerIOConfig, outputs: Path) -> None:
    with pytest.raises(OutputRefused, match="no output path"):
        make(WorkerIOConfig(), "job")
    outputs.rmdir()
    with pytest.raises(OutputRefused, match="can't be reached"):
        make(config, "job")


def test_an_output_path_that_may_not_be_written(public_folder: Path, unprivileged_program: Path) -> None:
    (public_folder / "readonly").mkdir()
    (public_folder / "readonly").chmod(0o555)
    with pytest.raises(OutputRefused, match=r"jobs can't be made \(Permission denied\)"):
        prepare_output(WorkerIOConfig(None, public_folder / "readonly"), "job", program=unprivileged_program)


def test_output_on_a_mount_that_hangs(config: WorkerIOConfig, hanging_program: Path) -> None:
    with pytest.raises(OutputRefused, match=r"did not answer within 0\.5 s \(is the mount hung\?\)"):
        prepare_output(config, "job", 0.5, program=hanging_program)


def test_no_descriptor_is_left_open(config: WorkerIOConfig, inputs: Path) -> None:
    (inputs / "file").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        make_output(config, "job")
        prepare_output(config, "job")
        resolve_input(config, "file")
        inspect_input(config, "file")
        check(config)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
