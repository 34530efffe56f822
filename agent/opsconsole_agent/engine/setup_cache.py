"""What setups have made on this worker, kept for the tasks after the first.

    STATE_DIR/setups/<name>/environment/     what the setup made: OPSCONSOLE_SETUP_PATH
                            bundle/          the code as the setup left it, where it changed something there
                            users/           a file for each attempt that uses it, by its id
                            record.json      what it is good for; its time is when it was used last

The record is written last: a folder without one was never finished, and goes. Everything here blocks. Where tasks run as another
user, `environment` and `bundle` are that user's, and nothing in them is ever written or followed by us.
"""

import contextlib
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import msgspec

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper_client.message import User
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.link import Leaving

SETUPS_FOLDER = "setups"
_RECORD = "record.json"
_USERS = "users"
_PASSABLE = 0o711

_log = logging.getLogger(__name__)


class SetupRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a finished one is good for. `content_id`: for this code alone; empty where any code with this key may use it."""

    key: str
    line: str = ""
    content_id: str = ""
    has_bundle: bool = False
    bytes: int = 0


def read_record(data: bytes) -> SetupRecord:
    """The record in a file. Raises ValueError."""
    try:
        return msgspec.json.decode(data, type=SetupRecord)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


class MadeSetup(NamedTuple):
    """One of them. `bundle`: the code as the setup left it, None where it changed nothing there."""

    folder: Path
    record: SetupRecord

    @property
    def environment(self) -> Path:
        """OPSCONSOLE_SETUP_PATH."""
        return self.folder / "environment"

    @property
    def bundle(self) -> Path:
        """The code as the setup left it, where the record says that it is kept."""
        return self.folder / "bundle"


class SetupCache:
    """All of one agent. At most about `bytes_max` are kept, beyond what is in use."""

    def __init__(self, folder: Path, bytes_max: int, user: User | None = None) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._user = user
        self._lock = threading.Lock()

    def begin(self, attempt_id: AttemptId, record: SetupRecord) -> MadeSetup:
        """A new one, empty, in use by this attempt. Raises OSError."""
        state_file.make_folder(str(self._folder))
        made = MadeSetup(self._folder / f"{record.key[:16]}-{secrets.token_hex(4)}", record)
        made.folder.mkdir(mode=0o700)
        (made.folder / _USERS).mkdir(mode=0o700)
        state_file.replace_file(str(made.folder / _USERS / attempt_id), b"")
        for folder in (made.environment, made.bundle):
            folder.mkdir(mode=0o700)
            if self._user is not None:
                os.chown(folder, self._user.uid, self._user.gid)
        if self._user is not None:
            for folder in (self._folder, made.folder):
                folder.chmod(_PASSABLE)
        return made

    def keep(self, made: MadeSetup, record: SetupRecord) -> MadeSetup:
        """It is finished and may be used again. Raises OSError."""
        record = msgspec.structs.replace(record, bytes=_bytes_below(made.folder))
        state_file.replace_file(str(made.folder / _RECORD), msgspec.json.encode(record))
        self.trim()
        return MadeSetup(made.folder, record)

    def find(self, key: str, content_id: ContentId | None, attempt_id: AttemptId) -> MadeSetup | None:
        """A finished one with this key that is good for this code, in use by this attempt from now on."""
        with self._lock:
            for made in self._finished():
                if made.record.key != key or made.record.content_id not in {"", content_id or ""}:
                    continue
                with contextlib.suppress(OSError):
                    state_file.replace_file(str(made.folder / _USERS / attempt_id), b"")
                    os.utime(made.folder / _RECORD)
                    return made
        return None

    def discard(self, made: MadeSetup) -> None:
        """Remove one that is of no use."""
        _remove(made.folder)

    def release(self, attempt_id: AttemptId) -> None:
        """The attempt needs none any more. One that it alone could use goes."""
        with self._lock:
            for folder in self._folders():
                with contextlib.suppress(OSError):
                    (folder / _USERS / attempt_id).unlink()
                    if not (folder / _RECORD).exists():
                        _remove(folder)

    def recover(self, known: Collection[str]) -> None:
        """After a restart: only these attempts exist. What the agent before didn't finish goes."""
        with self._lock:
            for folder in self._folders():
                for name in _names(folder / _USERS):
                    if name not in known:
                        (folder / _USERS / name).unlink(missing_ok=True)
                if not (folder / _RECORD).exists() and not _names(folder / _USERS):
                    _remove(folder)

    def trim(self) -> None:
        """Remove those that were used longest ago, as far as it takes, and as far as no attempt uses them."""
        with self._lock:
            kept = sorted(self._finished(), key=lambda made: _used_ns(made.folder))
            total = sum(made.record.bytes for made in kept)
            for made in kept:
                if total <= self._bytes_max:
                    return
                if not _names(made.folder / _USERS):
                    total -= made.record.bytes
                    _remove(made.folder)

    def look(self, before_ms: int) -> list[Leaving]:
        """Those that no attempt uses and that were used last before this time (Unix milliseconds)."""
        with self._lock:
            return [_leaving(made) for made in self._unused() if _used_ns(made.folder) < before_ms * 1_000_000]

    def remove(self, names: Collection[str]) -> list[Leaving]:
        """Remove those of these names that no attempt uses, and return them."""
        with self._lock:
            found = [made for made in self._unused() if _name(made) in names]
            gone = [_leaving(made) for made in found]
            for made in found:
                _remove(made.folder)
        return gone

    def _unused(self) -> list[MadeSetup]:
        return [made for made in self._finished() if not _names(made.folder / _USERS)]

    def _finished(self) -> list[MadeSetup]:
        found: list[MadeSetup] = []
        for folder in self._folders():
            try:
                record = read_record(state_file.read_file(str(folder / _RECORD)))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                _log.warning("the setup in %s can't be used: %s", folder, error)
                continue
            found.append(MadeSetup(folder, record))
        return found

    def _folders(self) -> list[Path]:
        return [self._folder / name for name in _names(self._folder)]


def _name(made: MadeSetup) -> str:
    return f"{SETUPS_FOLDER}/{made.folder.name}"


def _leaving(made: MadeSetup) -> Leaving:
    return Leaving(
        name=_name(made),
        path=str(made.folder),
        why="what a setup made, kept for the next job with the same one",
        bytes=made.record.bytes,
        at_ms=_used_ns(made.folder) // 1_000_000,
    )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []


def _used_ns(folder: Path) -> int:
    try:
        return (folder / _RECORD).lstat().st_mtime_ns
    except OSError:
        return 0


def _remove(folder: Path) -> None:
    try:
        state_file.clear(str(folder / _RECORD))  # first, so that half of it is never used
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("%s can't be removed: %s", folder, error.strerror)


def _bytes_below(folder: Path) -> int:
    """Bytes on disk; a file with several names counts once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for _, folders, files, descriptor in os.fwalk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * 512
    return total
