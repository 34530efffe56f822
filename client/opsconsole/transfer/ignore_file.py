"""Which files belong to code that git doesn't look after: all but what an ignore file names, and what never is code.

The ignore file is `.opsconsoleignore` or, in a folder without one, `.gitignore`. It counts for its folder and those below,
where a deeper one has the last word, as git has it. Of code that git looks after, `.opsconsoleignore` at its top leaves out more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_protocol.error import Conflict

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".opsconsoleignore", ".gitignore")
NEVER = frozenset({".git", "__pycache__", ".venv"})
IGNORE_FILE_BYTES_MAX = 1 << 20

Rules = list[tuple[int, "GitIgnoreSpec"]]
"""Each with the number of characters of its folder's path, the deepest last."""


def files_below(root: Path) -> Iterator[bytes]:
    """The paths below `root` of all files and symbolic links that aren't ignored. Raises Conflict or OSError."""
    yield from _below(root, "", [])


def without_ignored(root: Path, paths: Iterable[bytes]) -> Iterator[bytes]:
    """Those of the paths below `root` that its `.opsconsoleignore` doesn't name, if there is one. Raises Conflict or OSError."""
    own = IGNORE_FILES[0]
    rules = _rules_of(root, "", {own} if (root / own).is_file() else set())
    return (path for path in paths if not rules or not _is_ignored(os.fsdecode(path), rules))


def _below(root: Path, folder: str, rules: Rules) -> Iterator[bytes]:
    with os.scandir(root / folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    rules = [*rules, *_rules_of(root / folder, folder, {entry.name for entry in entries})]
    for entry in entries:
        if entry.name in NEVER:
            continue
        path = folder + entry.name
        if entry.is_dir(follow_symlinks=False):
            if not _is_ignored(f"{path}/", rules):
                yield from _below(root, f"{path}/", rules)
        elif not _is_ignored(path, rules) and _is_code(entry):
            yield os.fsencode(path)


def _is_code(entry: os.DirEntry[str]) -> bool:
    """No socket, pipe or device is."""
    return entry.is_symlink() or stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)


def _rules_of(folder: Path, below: str, names: set[str]) -> Rules:
    name = next((one for one in IGNORE_FILES if one in names), None)
    if name is None:
        return []
    from pathspec import GitIgnoreSpec
    from pathspec.patterns.gitignore import GitIgnorePatternError

    path = folder / name
    with path.open("rb") as file:
        text = file.read(IGNORE_FILE_BYTES_MAX + 1)
    if len(text) > IGNORE_FILE_BYTES_MAX:
        raise Conflict(f"{path} is too large for an ignore file: more than 1 MiB")
    try:
        rules = GitIgnoreSpec.from_lines(text.decode("utf-8", "surrogateescape").splitlines())
    except GitIgnorePatternError as error:
        raise Conflict(f"{path}: {str(error)[:200]}") from None
    return [(len(below), rules)]


def _is_ignored(path: str, rules: Rules) -> bool:
    """Whether a path, which ends in a slash if it is a folder's, is named by the deepest ignore file that says something of it."""
    for start, one in reversed(rules):
        said = one.check_file(path[start:]).include
        if said is not None:
            return said
    return False
