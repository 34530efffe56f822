"""Which files are code: what git says, or an ignore file; how large it may be."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from opsconsole.transfer import results_here
from opsconsole.transfer.code_files import check_size, code_files
from opsconsole_protocol.error import Conflict, LimitExceeded, NotFound
from opsconsole_protocol.host.content.arriving import INCOMING_PREFIX


def git(folder: Path, *words: str) -> str:
    """A git that knows nobody."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always")
    done = subprocess.run(("git", *identity, *words), cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = fill(tmp_path / "code", "train.py", "lib/net.py", "gone.py")
    (folder / ".gitignore").write_text("runs/\n*.pyc\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def names(folder: Path) -> set[str]:
    return {os.fsdecode(path) for path in code_files(folder).paths}


def test_tracked_and_untracked_files_are_code_and_ignored_and_deleted_ones_arent(repository: Path) -> None:
    found = code_files(repository)
    assert (found.commit, found.dirty) == (git(repository, "rev-parse", "HEAD"), False)
    fill(repository, "new file.py", "runs/1/log", "lib/net.pyc")
    (repository / "gone.py").unlink()
    (repository / "link").symlink_to("train.py")
    assert names(repository) == {".gitignore", "train.py", "lib/net.py", "new file.py", "link"}
    assert code_files(repository).dirty


def test_a_folder_of_a_repository_counts_from_itself(repository: Path) -> None:
    fill(repository, "train.py").joinpath("train.py").write_text("changed")
    found = code_files(repository / "lib")
    assert (found.paths, found.dirty) == ((b"net.py",), False)


def test_submodules_files_are_code(repository: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "other", "part.py", "junk.o")
    (other / ".gitignore").write_text("*.o\n")
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-qm", "other")
    git(repository, "submodule", "add", "-q", str(other), "vendor/other")
    fill(repository, "vendor/other/more.py", "vendor/other/more.o")
    assert {name for name in names(repository) if name.startswith("vendor")} == {
        "vendor/other/.gitignore", "vendor/other/part.py", "vendor/other/more.py"
    }  # fmt: skip


def test_names_of_any_bytes_are_kept(repository: Path) -> None:
    odd = b"a\nb \xff'\"\\"
    (repository / os.fsdecode(odd)).write_text("x")
    assert odd in code_files(repository).paths


def test_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    folder = fill(tmp_path / "new", "a.py")
    git(folder, "init", "-q")
    assert code_files(folder) == ((b"a.py",), "", True)


def test_another_repositorys_hook_doesnt_confuse_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert "train.py" in names(repository)


def test_what_git_says_is_said(repository: Path) -> None:
    (repository / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(Conflict, match="git can't say what the code is: fatal: "):
        code_files(repository)


def test_without_a_git_program_the_ignore_files_count(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    fill(repository, "runs/1/log", "lib/net.pyc")
    found = code_files(repository)
    assert set(found.paths) == {b".gitignore", b"train.py", b"lib/net.py", b"gone.py"}
    assert (found.commit, found.dirty) == ("", False)


def test_outside_git_all_is_code_but_what_is_named(tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "plain", "a.py", "keep.dat", "x.dat", "data/big", "sub/data/small", "sub/x.dat", "sub/b.py",
        "__pycache__/a.pyc", ".venv/bin/python", "sub/__pycache__/b.pyc",
    )  # fmt: skip
    (folder / ".gitignore").write_text("*.py\n")
    (folder / ".opsconsoleignore").write_text("# data\n*.dat\n!keep.dat\n/data/\n")
    (folder / "sub" / ".gitignore").write_text("!x.dat\n")
    os.mkfifo(folder / "pipe")
    assert names(folder) == {
        ".gitignore", ".opsconsoleignore", "a.py", "keep.dat", "sub/.gitignore", "sub/data/small", "sub/x.dat", "sub/b.py"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["none", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFound, match=r"--bundle: (there is no such folder|it is a file): "):
        code_files(tmp_path / name)


def test_a_folder_without_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="there is no file in it"):
        code_files(tmp_path / "empty")


def test_too_much_names_the_biggest_offenders(tmp_path: Path) -> None:
    folder = fill(tmp_path / "code", "a.py")
    for name, size in (("big.bin", 5_000_000), ("mid.bin", 2_000_000)):
        (folder / name).write_bytes(b"")
        os.truncate(folder / name, size)
    paths = code_files(folder).paths
    check_size(folder, paths, 8_000_000)
    with pytest.raises(
        LimitExceeded, match=r"has 7.0 MB, more than 6.0 MB; the largest: big.bin 5.0 MB, mid.bin 2.0 MB: "
    ):
        check_size(folder, paths, 6_000_000)


def test_many_small_files_are_named_by_their_folder(tmp_path: Path) -> None:
    folder = fill(tmp_path / "code", *(f"images/{number}" for number in range(50)), "a.py")
    with pytest.raises(LimitExceeded, match=r"the largest: images/ 440 B, a.py 4 B: "):
        check_size(folder, code_files(folder).paths, 100)


def brought(folder: Path, *files: str) -> None:
    """As if a transfer had put these there."""
    fill(folder, *files)
    results_here.note(folder, map(os.fsencode, files))


def test_results_that_were_brought_here_are_no_code(repository: Path) -> None:
    """`--fetch 'models/*'` into the code's folder: the second snapshot had the first one's results."""
    before = code_files(repository)
    brought(repository, "models/line.json", "models/deep/w.bin")
    assert code_files(repository) == before
    assert not before.dirty
    with pytest.raises(NotFound, match="that git or an ignore file doesn't leave out"):
        code_files(repository / "models")


def test_a_result_that_is_edited_or_tracked_is_code(repository: Path) -> None:
    brought(repository, "models/line.json", "models/kept.json")
    (repository / "models/line.json").write_text("edited by somebody")
    git(repository, "add", "models/kept.json")
    assert {"models/line.json", "models/kept.json"} <= names(repository)
    assert code_files(repository).dirty


def test_outside_git_results_are_no_code_either(tmp_path: Path) -> None:
    folder = fill(tmp_path / "plain", "fit.py", "mine.json")
    brought(folder, "models/line.json")
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert names(folder) == names(link) == {"fit.py", "mine.json"}


@pytest.mark.parametrize("in_git", [True, False])
def test_what_lies_where_a_transfer_was_stopped_is_no_code(repository: Path, in_git: bool) -> None:
    if not in_git:
        shutil.rmtree(repository / ".git")
    before = names(repository)
    fill(repository, os.fsdecode(INCOMING_PREFIX) + "abc/model.bin", f"lib/{os.fsdecode(INCOMING_PREFIX)}d/e")
    assert names(repository) == before


def test_a_tracked_link_that_leads_out_can_be_left_out(repository: Path) -> None:
    """Data that a repository links to is no code, and git has no way to say so of what it tracks."""
    (repository / "data").symlink_to("/data/imagenet")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "data")
    assert "data" in names(repository)
    (repository / ".opsconsoleignore").write_text("/data\nlib/\n")
    assert names(repository) == {".gitignore", ".opsconsoleignore", "train.py", "gone.py"}
