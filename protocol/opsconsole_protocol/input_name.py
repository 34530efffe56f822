"""The name of a job's input file: a plain file name, looked for directly in the worker's input folder."""

import re

from opsconsole_protocol.error import InvalidRequest

NAME_BYTES_MAX = 255
_SHOWN_MAX = 80


def check_input_name(name: str, folder: str = "the worker's input folder") -> None:
    """Raise InvalidRequest for a name that no file directly in `folder` can have: the job would wait for it for ever."""
    if not name:
        raise InvalidRequest("the file name is empty")
    shown = repr(name if len(name) <= _SHOWN_MAX else f"{name[:_SHOWN_MAX]}…")
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
