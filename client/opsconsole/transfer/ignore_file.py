"""Which files belong to code that git doesn't look after: all but what an ignore file names, and what never is code.

The ignore file is `.opsconsoleignore` or, in a folder without one, `.gitignore`. It counts for its folder and those below,
where a deeper one has the last word, as git has it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".opsconsoleignore", ".gitignore")
NEVER = frozenset({b".git", b"__pycache__", b".venv"})
IGNORE_FILE_BYTES_MAX = 1 << 20

Rules = list[tuple[int, "GitIgnoreSpec"]]
"""Each with the number of characters of its folder's path, the deepest last."""


def files_below(root: bytes) -> Iterator[bytes]:
    """The paths below `root` of all files and symbolic links that aren't ignored. Raises InvalidRequest or OSError."""
    yield from _below(root, b"", [])


def _below(root: bytes, folder: bytes, rules: Rules) -> Iterator[bytes]:
    with os.scandir(os.path.join(root, folder)) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    rules = [*rules, *_rules_of(root, folder, {entry.name for entry in entries})]
    for entry in entries:
        if entry.name in NEVER:
            continue
        path = os.path.join(folder, entry.name)
        is_folder = entry.is_dir(follow_symlinks=False)
        if _is_ignored(path, is_folder=is_folder, rules=rules):
            continue
        if is_folder:
            yield from _below(root, path, rules)
        elif entry.is_symlink() or stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            yield path


def _rules_of(root: bytes, folder: bytes, names: set[bytes]) -> Rules:
    name = next((one for one in IGNORE_FILES if one.encode() in names), None)
    if name is None:
        return []
    from pathspec import GitIgnoreSpec
    from pathspec.patterns.gitignore import GitIgnorePatternError

    path = os.path.join(root, folder, name.encode())
    with open(path, "rb") as file:  # noqa: PTH123 - a path of bytes
        text = file.read(IGNORE_FILE_BYTES_MAX + 1)
    if len(text) > IGNORE_FILE_BYTES_MAX:
        raise InvalidRequest(f"{os.fsdecode(path)} is too large for an ignore file: more than 1 MiB")
    try:
        rules = GitIgnoreSpec.from_lines(text.decode("utf-8", "surrogateescape").splitlines())
    except GitIgnorePatternError as error:
        raise InvalidRequest(f"{os.fsdecode(path)}: {str(error)[:200]}") from None
    return [(len(os.fsdecode(folder)) + 1 if folder else 0, rules)]


def _is_ignored(path: bytes, *, is_folder: bool, rules: Rules) -> bool:
    text = os.fsdecode(path) + "/" * is_folder
    for start, one in reversed(rules):
        said = one.check_file(text[start:]).include
        if said is not None:
            return said
    return False
