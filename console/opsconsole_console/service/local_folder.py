"""Folders of this machine, for a person who picks files to send."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from opsconsole_console.model.file_spot import FileRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.file_listing import FileKind

ENTRIES_MAX = 5_000
"""How many entries of one folder are shown."""


def local_entries(folder: Path) -> tuple[list[FileRow], bool]:
    """The entries of a folder, folders first, and whether there are more. Blocks. Raises InvalidRequest."""
    rows: list[FileRow] = []
    try:
        with os.scandir(os.fsencode(folder)) as entries:
            for entry in entries:
                if len(rows) == ENTRIES_MAX:
                    return _in_order(rows), True
                with suppress(OSError):
                    rows.append(_row(entry))
    except OSError as error:
        raise InvalidRequest(f"{folder} can't be looked at: {error.strerror}") from None
    return _in_order(rows), False


def destination(base: Path, text: str) -> Path:
    """The folder that a person means by `text`, counted from `base`, where files are to be brought; it need not be there yet.

    Blocks. Raises InvalidRequest where none can be made, or nothing can be written into it.
    """
    try:
        folder = Path(os.path.abspath(base / Path(text).expanduser()))  # noqa: PTH100 - as it is called
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            folder.lstat()  # too long a name is found out so
        above = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
        is_folder = above.is_dir()
    except (OSError, ValueError, RuntimeError):
        raise InvalidRequest("no folder can be called so: name another one") from None
    if not is_folder:
        raise InvalidRequest(f"{above} is no folder: name another one")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InvalidRequest(f"nothing may be written in {above}: name another folder")
    return folder


def _in_order(rows: list[FileRow]) -> list[FileRow]:
    return sorted(rows, key=lambda row: (not row.is_folder, row.name))


def _row(entry: os.DirEntry[bytes]) -> FileRow:
    found = entry.stat(follow_symlinks=False)
    kind = _kind(found.st_mode)
    leads_to = None
    if kind is FileKind.LINK:
        with suppress(OSError):
            leads_to = _kind(entry.stat().st_mode)
    size = found.st_size if kind is FileKind.FILE else 0
    return FileRow(entry.name, kind, size, found.st_mtime_ns // 1_000_000, stat.S_IMODE(found.st_mode), leads_to)


def _kind(mode: int) -> FileKind:
    if stat.S_ISREG(mode):
        return FileKind.FILE
    if stat.S_ISDIR(mode):
        return FileKind.FOLDER
    return FileKind.LINK if stat.S_ISLNK(mode) else FileKind.OTHER
