"""Which files of a folder are its code: what git tracks or would track, or else all but what an ignore file names.

What was brought here by a transfer, and git doesn't track, is no code either, nor what lies where a transfer was stopped.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from opsconsole.transfer.ignore_file import files_below, without_ignored
from opsconsole.transfer.results_here import results_of
from opsconsole_protocol.error import Conflict, LimitExceeded, NotFound
from opsconsole_protocol.host.content.arriving import INCOMING_PREFIX
from opsconsole_protocol.quantity import size_words

_OFFENDERS_SHOWN = 3
_GIT_S = 120.0
_DEPTH_MAX = 32
_GIT = ("git", "-c", "core.quotePath=false", "-c", "core.fsmonitor=false")
_NOT_OURS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
"""Set where this runs within a hook of another repository."""


class CodeFiles(NamedTuple):
    """Paths below a folder, in order, and what git says of them; `commit` is empty outside git."""

    paths: tuple[bytes, ...]
    commit: str
    dirty: bool


def code_files(folder: Path) -> CodeFiles:
    """The files and symbolic links that are the code in `folder`. Blocks. Raises NotFound or Conflict."""
    if not folder.is_dir():
        raise NotFound(f"--bundle: {'it is a file' if folder.exists() else 'there is no such folder'}: {folder}")
    try:
        if _is_in_git(folder) and shutil.which("git") is not None:
            listed = dict(_git_files(folder))
            there = set(without_ignored(folder, _existing(folder, listed)))
            untracked = _without_brought(folder, (path for path in there if not listed[path]))
            paths = sorted(untracked.union(path for path in there if listed[path]))
            commit, dirty = _commit(folder)
            dirty = dirty or bool(untracked)
        else:
            paths, commit, dirty = sorted(_without_brought(folder, files_below(folder))), "", False
    except OSError as error:
        raise Conflict(f"--bundle: {os.fsdecode(error.filename or folder)}: {error.strerror}") from None
    if not paths:
        raise NotFound(f"--bundle {folder}: there is no file in it that git or an ignore file doesn't leave out")
    return CodeFiles(tuple(paths), commit, dirty)


def check_size(folder: Path, paths: Sequence[bytes], bytes_max: int) -> None:
    """Raise LimitExceeded that names the biggest offenders where the code is larger than `bytes_max`. Raises as `scan` does, too."""
    from opsconsole_protocol.host.content.scan import listed

    found = listed(folder, paths=paths)
    sizes = {path: status.st_size for path, status in found if stat.S_ISREG(status.st_mode)}
    total = sum(sizes.values())
    if total <= bytes_max:
        return
    named = ", ".join(f"{os.fsdecode(path)} {size_words(size)}" for path, size in _offenders(sizes, total))
    raise LimitExceeded(
        f"the code in {folder} has {size_words(total)}, more than {size_words(bytes_max)}; the largest: {named}: name them "
        "in .gitignore (or .opsconsoleignore) and bring data with --upload, or raise --bundle-max"
    )


def _offenders(sizes: dict[bytes, int], total: int) -> list[tuple[bytes, int]]:
    """The largest files or, where they are many small ones, the largest folders at the top."""
    largest = sorted(sizes.items(), key=lambda one: (-one[1], one[0]))[:_OFFENDERS_SHOWN]
    if 2 * sum(size for _, size in largest) >= total:
        return [one for one in largest if 20 * one[1] >= total]
    tops: dict[bytes, int] = {}
    for path, size in sizes.items():
        top, slash, _ = path.partition(b"/")
        tops[top + slash] = tops.get(top + slash, 0) + size
    return sorted(tops.items(), key=lambda one: (-one[1], one[0]))[:_OFFENDERS_SHOWN]


def _without_brought(folder: Path, paths: Iterable[bytes]) -> set[bytes]:
    """Those that no transfer has put here."""
    found = {path for path in paths if not any(part.startswith(INCOMING_PREFIX) for part in path.split(b"/"))}
    return found - results_of(folder, found)


# --- git -----------------------------------------------------------------------------------------------------------


def _is_in_git(folder: Path) -> bool:
    whole = folder.resolve()
    return any((one / ".git").exists() for one in (whole, *whole.parents))


def _git_files(root: Path, depth: int = 0) -> Iterator[tuple[bytes, bool]]:
    """What git tracks, and what it would track, each with whether it does; submodules' files and those of repositories within included."""
    if depth > _DEPTH_MAX:
        raise Conflict(f"{root}: repositories within each other more than {_DEPTH_MAX} deep")
    untracked = _git(root, "ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
    tracked = _git(root, "ls-files", "-z", "--cached").split(b"\0")
    for path, is_tracked in (dict.fromkeys(untracked, False) | dict.fromkeys(tracked, True)).items():
        name = path.rstrip(b"/")
        if not name:
            continue
        whole = root / os.fsdecode(name)
        if whole.is_symlink() or not whole.is_dir():
            yield name, is_tracked
        elif (whole / ".git").exists():
            yield from ((name + b"/" + below, known) for below, known in _git_files(whole, depth + 1))


def _existing(root: Path, paths: Iterable[bytes]) -> Iterator[bytes]:
    """Those that are there as files or symbolic links; what was deleted, or is a socket, isn't code."""
    for path in paths:
        try:
            mode = (root / os.fsdecode(path)).lstat().st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            yield path


def _commit(root: Path) -> tuple[str, bool]:
    """The commit that is checked out (empty before the first), and whether something that is tracked differs from it."""
    try:
        commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD").decode("ascii", "replace").strip()
    except Conflict:
        return "", True
    return commit, bool(
        _git(root, "status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=none", "--", ".")
    )


def _git(root: Path, *words: str) -> bytes:
    environ = {key: value for key, value in os.environ.items() if key not in _NOT_OURS}
    environ |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            (*_GIT, *words), cwd=root, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Conflict(f"git {words[0]} took longer than {_GIT_S:g} s in {root}: try again") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Conflict(f"git can't say what the code is: {said[0][:300] if said else f'code {done.returncode}'}")
    return done.stdout
