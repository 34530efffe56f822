"""The name of a job's input file: a plain file name, looked for directly in the worker's input folder; `LABEL:path`, below a
mount; or a whole path as somebody sees it, which each worker looks for below its mounts.
"""

import re

from opsconsole_protocol.error import InvalidRequest

NAME_BYTES_MAX = 255
MOUNT_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHOWN_MAX = 80


def check_input(name: str) -> None:
    """Raise InvalidRequest for a name that no input can have on any worker: the job would wait for it for ever.

    `a:b` may be a file of that name, or the file `b` below the mount `a`: that is for each worker to say.
    """
    label, colon, below = name.partition(":")
    if name.startswith("/"):
        _check_path(name, name[1:], "/")
    elif colon and "/" in below and MOUNT_LABEL.fullmatch(label) is not None:
        _check_path(name, below, f"{label}:")
    elif "/" in name and ".." not in name.split("/"):
        raise InvalidRequest(
            f"{_shown(name)} contains a folder: name a file of the worker's input folder, LABEL:PATH below a mount, or a whole path"
        )
    else:
        check_input_name(name)


def _check_path(name: str, below: str, start: str) -> None:
    if "\0" in name:
        raise InvalidRequest(f"{_shown(name)} contains a NUL character")
    parts = below.split("/")
    if ".." in parts:
        raise InvalidRequest(f"{_shown(name)} leads out of its folder: name the file without ..")
    plain = "/".join(part for part in parts if part not in {"", "."})
    if not plain or not parts[-1]:
        raise InvalidRequest(f"{_shown(name)} is a folder, not a file")
    if plain != below:
        raise InvalidRequest(f"{_shown(name)} has parts that mean nothing: write {_shown(start + plain)}")
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        raise InvalidRequest(f"{_shown(name)} is not valid Unicode") from None
    if longest > NAME_BYTES_MAX:
        raise InvalidRequest(f"{_shown(name)} has a part of more than {NAME_BYTES_MAX} bytes: no file can have it")


def check_input_name(name: str, folder: str = "the worker's input folder") -> None:
    """Raise InvalidRequest for a name that no file directly in `folder` can have: the job would wait for it for ever."""
    if not name:
        raise InvalidRequest("the file name is empty")
    shown = _shown(name)
    if "\0" in name:
        raise InvalidRequest(f"{shown} contains a NUL character")
    if name.startswith("/"):
        raise InvalidRequest(f"{shown} is an absolute path: give the name of a file in {folder}")
    parts = re.split(r"[/\\]", name)
    if ".." in parts:
        raise InvalidRequest(f"{shown} leads out of the input folder: give the name of a file in {folder}")
    if len(parts) > 1:
        raise InvalidRequest(f"{shown} contains a folder: give the name of a file directly in {folder}")
    if name == ".":
        raise InvalidRequest(f"{shown} is a folder, not a file")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"{shown} is not valid Unicode") from None
    if size > NAME_BYTES_MAX:
        raise InvalidRequest(f"{shown} is longer than {NAME_BYTES_MAX} bytes: no file can have this name")


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_MAX else f"{name[:_SHOWN_MAX]}…")
