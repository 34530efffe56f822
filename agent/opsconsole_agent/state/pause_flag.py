"""The flag by which an attempt sees that it is to save a checkpoint and to end: a file in its folder."""

import contextlib
import os

from opsconsole_agent.keeper import state_file


def path_in(folder: str) -> str:
    """The file, which is there while the flag is up."""
    return f"{folder}/pause"


def put_up(folder: str) -> None:
    """Put the flag up. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        state_file.write_new(path_in(folder), b"")


def take_down(folder: str) -> None:
    """Take the flag down, if it is up."""
    state_file.clear(path_in(folder))


def is_up(folder: str) -> bool:
    """Whether the flag is up."""
    return os.path.lexists(path_in(folder))
