"""Where the worker's store of trees is, and how large it may be."""

import logging
import os
import shutil
from pathlib import Path

from opsconsole_agent.keeper import state_file
from opsconsole_protocol.error import Conflict, Unavailable
from opsconsole_protocol.host.content.store import ContentStore

CONTENT_FOLDER = "content"
CACHE_BYTES = 50_000_000_000
"""The most that is kept unless the configuration says otherwise."""
_SHARE = 10
_PASSABLE = 0o711
_FOLDERS = ("trees", "records", "incoming", "trash", "pins")

_log = logging.getLogger(__name__)


def cache_bytes(state_dir: Path, configured: int | None) -> int:
    """As configured, or a tenth of the disk, at most CACHE_BYTES. Blocks."""
    if configured is not None:
        return configured
    return min(CACHE_BYTES, shutil.disk_usage(state_dir).total // _SHARE)


def open_store(state_dir: Path, configured: int | None, *, readable: bool) -> ContentStore:
    """The store in an agent's state folder. `readable`: another user reads what is in it. Blocks. Raises Unavailable."""
    folder = state_dir.absolute() / CONTENT_FOLDER
    try:
        for one in (folder, *(folder / name for name in _FOLDERS)):
            _say(state_file.make_folder(str(one)))
        _plain_file(folder / "hashes.db")
        store = ContentStore(folder, cache_bytes(state_dir, configured))
        for one in (folder, folder / "trees") if readable else ():
            one.chmod(_PASSABLE)
    except OSError as error:
        raise Unavailable(
            f"{folder} can't be used ({error.strerror}): check its owner, or name another folder with --state-dir"
        ) from None
    except Conflict as error:
        raise Unavailable(error.message) from None
    return store


def _plain_file(path: Path) -> None:
    """See that this is a plain file of ours, or none: what else a task has put there is set aside. Blocks. Raises OSError."""
    descriptor, words = state_file.open_or_renew(str(path), os.O_RDWR)
    os.close(descriptor)
    _say(words)


def _say(words: str) -> None:
    if words:
        _log.error("%s", words)
