"""Files in the state folder are opened in one place, which neither follows links nor waits (hard use 51).

The kind: whoever shares a folder with us decides what lies under a name. The last test reads the agent's source, so that
no other place opens a file there.
"""

import ast
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.state_file import DAMAGED, DamagedFile

ROOT = Path(__file__).resolve().parents[3]
AGENT = ROOT / "agent" / "opsconsole_agent"
SPARSE_BYTES = 5 << 30


def sparse(path: Path) -> None:
    """Five gigabytes that take no room."""
    path.touch()
    os.truncate(path, SPARSE_BYTES)


def unix_socket(path: Path) -> None:
    """A socket that nobody listens on."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def forbidden(path: Path) -> None:
    """A file that its owner may not open (root may)."""
    path.write_text("x")
    path.chmod(0)


SPOILERS: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "dangling": lambda path: path.symlink_to("/nonexistent/file"),
    "folder": lambda path: path.mkdir(),
    "sparse": sparse,
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 512),
    "socket": unix_socket,
    "missing": lambda _: None,
    "forbidden": forbidden,
}
"""What a task can put in the place of a file."""
ODD = [name for name in SPOILERS if name not in {"missing", "garbage", "sparse", "forbidden"}]


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_named_at_once_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    SPOILERS[kind](path)
    before = path.lstat()
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREAT):
        with pytest.raises(DamagedFile, match=r"is a (fifo|link|folder|socket), not a file"):
            state_file.open_file(str(path), flags)
    with pytest.raises(DamagedFile):
        state_file.read_file(str(path))
    assert path.lstat().st_ino == before.st_ino


@pytest.mark.parametrize("kind", ODD)
def test_work_goes_on_with_a_new_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    SPOILERS[kind](path)
    descriptor, words = state_file.open_or_renew(str(path), os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"ours\n")
    os.close(descriptor)
    assert "it was set aside as" in words
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert path.read_bytes() == b"ours\n"
    (aside,) = tmp_path.glob(f"file{DAMAGED}*")
    assert not stat.S_ISREG(aside.lstat().st_mode)


@pytest.mark.parametrize("kind", SPOILERS)
@pytest.mark.parametrize("name", ["file", "file.new"])
def test_a_file_is_replaced_whatever_stands_there(tmp_path: Path, kind: str, name: str) -> None:
    SPOILERS[kind](tmp_path / name)
    state_file.replace_file(str(tmp_path / "file"), b"whole")
    assert state_file.read_file(str(tmp_path / "file")) == b"whole"


def test_no_more_is_read_than_it_can_hold(tmp_path: Path) -> None:
    sparse(tmp_path / "file")
    with pytest.raises(DamagedFile, match="is larger than 100 bytes"):
        state_file.read_file(str(tmp_path / "file"), 100)
    assert state_file.read_end(str(tmp_path / "file"), 10) == bytes(10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_anothers_file_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 65534, 65534)
    with pytest.raises(DamagedFile, match="belongs to user 65534"):
        state_file.open_file(str(tmp_path / "file"))


def test_a_folder_is_made_whatever_stands_there(tmp_path: Path) -> None:
    for kind in set(SPOILERS) - {"missing", "folder"}:
        path = tmp_path / f"{kind}-folder"
        SPOILERS[kind](path)
        assert "it was set aside as" in state_file.make_folder(str(path))
        assert state_file.make_folder(str(path)) == ""
        assert path.is_dir()


# --- nobody else opens files there -----------------------------------------------------------------------------------

ELSEWHERE = {
    "keeper/state_file.py": "is the place",
    "keeper/launch.py": "a task's stdin, as its user, in a process that becomes the task",
    "probe/io_child.py": "the I/O folders, in a process that can be given up on",
    "probe/file_child.py": "nothing is opened by O_PATH, and that in a process that can be given up on",
    "engine/setup_key.py": "what a setup made: by safe flags, part by part",
    "probe/child_call.py": "a temporary file of its own",
    "dataset/remote.py": "files of other machines, in a process that can be given up on",
    "log/follower.py": "logs, which their tasks own: by its own safe flags, from an offset",
    "probe/cgroup_limit.py": "the system's files alone",
    "probe/gpu.py": "the system's files alone",
    "probe/host.py": "the system's files alone",
    "probe/mount.py": "the system's files alone",
    "engine/port.py": "the system's files alone",
    "probe/process_sample.py": "the system's files alone",
    "keeper/freezer.py": "the system's files alone",
    "keeper/oom.py": "the system's files alone",
}
OPENERS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "touch", "truncate", "mkfifo", "copyfile"}
SYSTEM = ("/proc/", "/sys/", "/dev/null", "/etc/")


def opened(source: str) -> list[str]:
    """Calls that open a file by its path, but for what belongs to the system."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        is_folder = any("O_DIRECTORY" in ast.unparse(argument) for argument in node.args)
        if (
            name not in OPENERS
            or (not node.args + node.keywords and name == "open")
            or is_folder
            or (isinstance(owner, ast.Name) and owner.id == "state_file")
        ):
            continue
        text = ast.unparse(node.args[0] if node.args else node.func).lstrip("bf'\"")
        if not text.startswith(SYSTEM):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_nothing_else_in_the_agent_opens_a_file() -> None:
    strays = {
        str(path.relative_to(AGENT)): calls
        for path in sorted(AGENT.rglob("*.py"))
        if str(path.relative_to(AGENT)) not in ELSEWHERE and (calls := opened(path.read_text()))
    }
    assert not strays, f"use state_file, so that a task can't make the agent hang or stray: {strays}"


def test_the_reader_of_the_source_sees_what_it_looks_for() -> None:
    assert len(opened("import os\nos.open(path, os.O_RDONLY)\nopen(name)\nfile.read_text()\n")) == 3
    assert not opened("os.open(b'/proc/%d/stat' % pid, 0)\nstate_file.open_file(x)\nos.open(f, os.O_DIRECTORY)\n")
