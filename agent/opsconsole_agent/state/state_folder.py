"""What the agent keeps on disk: a folder for each attempt, and the newest sequence heard of from the coordinator's store.

    STATE_DIR/attempts/<attempt id>/spec.json        what was wanted, mode 0600: it holds the job's environment
                                    spec.spare       the same file, empty, before and after
                                    stdout stderr    what the task wrote
                                    pause            there while it is to save a checkpoint and to end
                                    work/            its working folder, unless the job names another
    STATE_DIR/logs/<attempt id>.<source>             a second name of the same, for a task that removes the first
    STATE_DIR/store.json boot

Where tasks run as another user (`run_as`), the working folders are that user's; the folders above let others pass through
(0711), and no file in them can be read by anybody else.

Nothing is synced to the disk. What is written survives the end of any process, which is all that is promised: with the
host its tasks are gone too, and a spec that a power cut took along describes nothing that still runs. A sync would
cost more than the start of a small task.

A spec is written whole or not at all: a new one in one write before anybody hears of the attempt (so an empty one was
never started and never reported), a changed one through a rename.

Folders and files of attempts that left nothing are used again: on some filesystems making one takes longer than all else
that a small task needs.
"""

# Paths are strings here: with pathlib the bookkeeping of a small task would take twice as long.
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH208

import contextlib
import errno
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from opsconsole_agent.core.intent import Intent
from opsconsole_agent.failure.last_lines import LAST_BYTES_MAX, Tail
from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.output import HARD_LINK_FOLDER
from opsconsole_agent.keeper_client.message import User
from opsconsole_agent.log.shipper import KEPT_DAYS
from opsconsole_agent.probe.disk_space import FULL_BELOW_BYTES, free_bytes
from opsconsole_agent.state import pause_flag
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.log import Source

SPEC_VERSION = 1
DAY_S = 24 * 3600
ATTEMPTS_FOLDER = "attempts"
OUTPUTS_FOLDER = "outputs"
"""Results, where the worker has no output path."""
_SPEC = "spec.json"
_SPEC_BYTES_MAX = 64 << 20
"""Several times the largest assignment that fits through the link."""
_SPARE_SPEC = "spec.spare"
"""The same file, emptied, in a folder that is kept for an attempt to come."""
WORK_FOLDER = "work"
INPUTS_FOLDER = "inputs"
"""Links to what was brought for it, by the names that its job gave them."""
_PASSABLE = 0o711
_READABLE = 0o755
_SPARE_MAX = 64
_WRITTEN_BY_TASKS = (Source.STDOUT, Source.STDERR)
_FILES = (*map(str, _WRITTEN_BY_TASKS), _SPARE_SPEC)
_MODES = {WORK_FOLDER: stat.S_IFDIR | 0o700} | dict.fromkeys(_FILES, stat.S_IFREG | 0o600)
_ATTEMPT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_log = logging.getLogger(__name__)


class StateFolderBroken(OpsconsoleError):
    """A state folder in which attempts can't be kept."""

    code = "state_folder"


class _Spec(msgspec.Struct, frozen=True):
    version: int
    intent: Intent


class StoreMark(msgspec.Struct, frozen=True):
    """The coordinator's store that was heard of last, and the highest sequence it had committed then."""

    store_id: str = ""
    store_seq: int = 0
    store_seal: str = ""
    """The coordinator's proof that it told us so."""


def is_disk_full(error: OSError) -> bool:
    """Whether it is for want of room, or of the user's share of it."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def check_attempt_id(text: str) -> AttemptId:
    """Return `text` if it can name a folder. Raises InvalidRequest."""
    if _ATTEMPT_ID.fullmatch(text) is None:
        raise InvalidRequest(f"{text[:60]!r} is not an attempt id: letters, digits, dots, dashes and underscores")
    return AttemptId(text)


class StateFolder:
    """See the module."""

    def __init__(self, state_dir: Path, kept_days: float = KEPT_DAYS, user: User | None = None) -> None:
        """Make the folders. Raises StateFolderBroken. `kept_days`: for how long that stays which attempts leave behind.

        `user`: whom tasks run as, if not as we do.
        """
        self._user = user
        self._kept_days = kept_days
        self.path = state_dir
        self._attempts = str(state_dir / ATTEMPTS_FOLDER)
        self._store = str(state_dir / "store.json")
        self._kept = str(state_dir / HARD_LINK_FOLDER)
        self._encoder = msgspec.json.Encoder()
        self._written: set[AttemptId] = set()
        self._spare: list[str] = []
        try:
            self._make_attempts_folder()
        except OSError as error:
            raise StateFolderBroken(
                f"{self._attempts} can't be made ({error.strerror}): check its owner, or name another --state-dir"
            ) from None

    @property
    def kept_days(self) -> float:
        """How many days that stays which attempts leave behind."""
        return self._kept_days

    @property
    def is_full(self) -> bool:
        """Whether there is no room left for what tasks may have to say. False where that can't be told."""
        try:
            return free_bytes(os.statvfs(self._attempts)) < FULL_BELOW_BYTES
        except OSError:
            return False

    @property
    def attempts_folder(self) -> str:
        """The folder that the attempts' own are in."""
        return self._attempts

    # --- paths -----------------------------------------------------------------------------------------------------

    def folder(self, attempt_id: AttemptId) -> str:
        """The attempt's folder."""
        return f"{self._attempts}/{attempt_id}"

    def work(self, attempt_id: AttemptId) -> str:
        """The folder that it runs in unless its job names another."""
        return f"{self._attempts}/{attempt_id}/{WORK_FOLDER}"

    def name_inputs(self, attempt_id: AttemptId, named: Iterable[tuple[str, str]]) -> None:
        """Have a link to each of these paths in the attempt's folder of inputs. Raises OSError."""
        folder = f"{self._attempts}/{attempt_id}/{INPUTS_FOLDER}"
        state_file.make_folder(folder)
        if self._user is not None:
            os.chmod(folder, _READABLE)
        for name, path in named:
            state_file.clear(f"{folder}/{name}")
            os.symlink(path, f"{folder}/{name}")  # noqa: PTH211

    def log_file(self, attempt_id: AttemptId, source: Source) -> str:
        """The file of one of its logs."""
        return f"{self._attempts}/{attempt_id}/{source}"

    def is_needed(self, attempt_id: str) -> bool:
        """Whether this is an attempt that is written down, or a folder for one to come."""
        folder = f"{self._attempts}/{attempt_id}"
        return folder in self._spare or os.path.lexists(f"{folder}/{_SPEC}")

    def is_spare(self, attempt_id: AttemptId) -> bool:
        """Whether its folder is kept for an attempt to come: it isn't this attempt's any more."""
        return self.folder(attempt_id) in self._spare

    def jobs_needed(self) -> frozenset[str]:
        """The jobs of which an attempt is written down here."""
        found = (entry.name for entry in _entries(self._attempts) if os.path.lexists(f"{entry.path}/{_SPEC}"))
        return frozenset(name.partition(".")[0] for name in found)

    def left_words(self, attempt_id: AttemptId) -> str:
        """When that is removed which an attempt has left in its working folder, in words; empty where it left nothing."""
        work = self.work(attempt_id)
        try:
            with os.scandir(work) as entries:
                is_empty = next(entries, None) is None
        except OSError:
            return ""
        return "" if is_empty else f"what it left in {work} is removed after {self._kept_days:g} days"

    def kept_log(self, attempt_id: AttemptId, source: Source) -> str:
        """The second name of such a file; there from its first byte on."""
        return f"{self._kept}/{attempt_id}.{source}"

    def tail(self, attempt_id: AttemptId, source: Source, size: int) -> bytes:
        """The last bytes of one of its logs; nothing where there is none to be read."""
        for path in (self.kept_log(attempt_id, source), self.log_file(attempt_id, source)):
            try:
                return state_file.read_end(path, size)
            except OSError:
                continue
        return b""

    def last_printed(self, attempt_id: AttemptId, source: Source) -> Tail:
        """What stands at the end of one of its logs, and when that was written."""
        data = self.tail(attempt_id, source, LAST_BYTES_MAX)
        for path in (self.kept_log(attempt_id, source), self.log_file(attempt_id, source)):
            try:
                return Tail(data, os.lstat(path).st_mtime_ns // 1_000_000)
            except OSError:
                continue
        return Tail(data)

    def log_names(self, attempt_id: AttemptId, source: Source) -> tuple[str, str]:
        """The file of one of its logs, and the second name that what it printed has; empty for others."""
        kept = self.kept_log(attempt_id, source) if source in _WRITTEN_BY_TASKS else ""
        return self.log_file(attempt_id, source), kept

    def make(self, attempt_id: AttemptId) -> None:
        """Make its folders, of spare ones where there are some. Raises OSError."""
        try:
            self._make(attempt_id)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            self._make_attempts_folder()
            self._make(attempt_id)

    def _make_attempts_folder(self) -> None:
        """Make the folder for attempts, whatever a task may have put in its place. Raises OSError."""
        if words := state_file.make_folder(self._attempts):
            self._spare.clear()
            self._written.clear()
            _log.error("%s; the attempts in it are lost", words)
        if self._user is not None:
            for folder in (self.path, self._attempts):
                os.chmod(folder, _PASSABLE)

    def _make(self, attempt_id: AttemptId) -> None:
        folder = self.folder(attempt_id)
        if self._use_spare(folder):
            return
        self._make_folder(folder)
        if self._user is None:
            self._make_folder(f"{folder}/{WORK_FOLDER}")
            return
        os.chmod(folder, _PASSABLE)
        with contextlib.suppress(FileExistsError):  # the user's own, in a folder that they can't write to
            os.mkdir(f"{folder}/{WORK_FOLDER}", 0o700)
        os.chown(f"{folder}/{WORK_FOLDER}", self._user.uid, self._user.gid, follow_symlinks=False)
        # Its user can't make a file in the attempt's folder, and may write to this one.
        report = f"{folder}/{Source.REPORT}"
        with contextlib.suppress(FileExistsError):
            state_file.write_new(report, b"")
            os.chown(report, self._user.uid, self._user.gid, follow_symlinks=False)

    @staticmethod
    def _make_folder(path: str) -> None:
        if state_file.is_folder(path):
            return
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if words := state_file.make_folder(path):
                _log.error("%s", words)

    def _use_spare(self, folder: str) -> bool:
        """Have a spare folder in this place, where nothing is yet and there is a spare one."""
        if not self._spare or os.path.lexists(folder):
            return False
        try:
            os.rename(self._spare.pop(), folder)
        except OSError as error:
            _log.info("a spare folder is of no use: %s", error)
            return False
        return True

    # --- intents ---------------------------------------------------------------------------------------------------

    def write_intent(self, intent: Intent) -> None:
        """Write it down. Raises OSError, and then what was written before is still there."""
        path = f"{self.folder(intent.attempt_id)}/{_SPEC}"
        data = self._encoder.encode(_Spec(SPEC_VERSION, intent))
        if intent.attempt_id not in self._written:
            with contextlib.suppress(FileExistsError):
                self._write_new(intent.attempt_id, path, data)
                self._written.add(intent.attempt_id)
                return
        state_file.replace_file(path, data)

    def load(self) -> tuple[tuple[Intent, ...], tuple[tuple[AttemptId, str], ...]]:
        """All intents, and the ids of attempts whose intent can't be read, each with the reason."""
        intents: list[Intent] = []
        damaged: list[tuple[AttemptId, str]] = []
        for name in sorted(os.listdir(self._attempts)):
            if _ATTEMPT_ID.fullmatch(name) is None:
                continue
            attempt_id = AttemptId(name)
            try:
                intent = self._read(attempt_id)
            except (OSError, msgspec.DecodeError, ValueError, RecursionError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                # It stays until the attempt is forgotten, so that another life hears of it as well.
                path = f"{self.folder(attempt_id)}/{_SPEC}"
                damaged.append((attempt_id, f"what was to run is unreadable in {path} ({why})"))
                continue
            if intent is not None:
                intents.append(intent)
                self._written.add(attempt_id)
        return tuple(intents), tuple(damaged)

    def remove(self, attempt_id: AttemptId, *, clean: bool = False, keep_logs: bool = False) -> None:
        """Forget an attempt: its spec and logs go, and its working folder if that is empty. Raises OSError.

        `keep_logs`: not all of them is stored elsewhere, so they go like a working folder that isn't empty.

        `clean`: no process can be left in it. Then a folder in which nothing was written is kept for an attempt to come.
        """
        folder = self.folder(attempt_id)
        self._written.discard(attempt_id)
        is_spare = clean and not keep_logs and len(self._spare) < _SPARE_MAX and _empty_spec(folder)
        if is_spare and _is_as_made(folder):
            self._spare.append(folder)
            return
        for name in (_SPEC, _SPARE_SPEC):
            state_file.clear(f"{folder}/{name}")
        if keep_logs:
            return  # with both names: `sweep` takes either
        for source in _WRITTEN_BY_TASKS:
            state_file.clear(self.kept_log(attempt_id, source))
        for source in Source:
            state_file.clear(f"{folder}/{source}")
        pause_flag.take_down(folder)
        if os.path.lexists(f"{folder}/{INPUTS_FOLDER}"):
            shutil.rmtree(f"{folder}/{INPUTS_FOLDER}", ignore_errors=True)
        self.remove_empty(attempt_id)

    def remove_empty(self, attempt_id: AttemptId) -> None:
        """Remove the folders of a forgotten attempt in which nothing is left, unless they are kept for an attempt to come."""
        if self.is_spare(attempt_id):
            return
        folder = self.folder(attempt_id)
        # Not empty: somebody's results, for all we know. `sweep` takes them when they are old.
        with contextlib.suppress(OSError):
            os.rmdir(f"{folder}/{WORK_FOLDER}")
            os.rmdir(folder)

    def sweep(self, now_s: float) -> int:
        """Remove working folders that have been left over for long and return how many. May take its time."""
        removed = 0
        for entry in _entries(self._attempts):
            if entry.path in self._spare:
                continue
            try:
                is_old = now_s - entry.stat(follow_symlinks=False).st_mtime > self._kept_days * DAY_S
                if is_old and not os.path.lexists(f"{entry.path}/{_SPEC}"):
                    shutil.rmtree(entry.path)
                    removed += 1
            except OSError as error:
                _log.warning("the old folder %s can't be removed: %s", entry.path, error.strerror)
        self._sweep_kept(now_s)
        return removed

    def _sweep_kept(self, now_s: float) -> None:
        for entry in _entries(self._kept):
            attempt_id = entry.name.rpartition(".")[0]
            try:
                is_old = now_s - entry.stat(follow_symlinks=False).st_mtime > self._kept_days * DAY_S
                if is_old and not os.path.lexists(f"{self._attempts}/{attempt_id}/{_SPEC}"):
                    state_file.clear(entry.path)
            except OSError as error:
                _log.warning("the old log %s can't be removed: %s", entry.path, error.strerror)

    # --- the coordinator's store -----------------------------------------------------------------------------------

    def load_store_mark(self) -> StoreMark:
        """What was heard of last; nothing, when that can't be read: then no restored backup is recognised."""
        try:
            return msgspec.json.decode(state_file.read_file(self._store), type=StoreMark)
        except FileNotFoundError:
            return StoreMark()
        except (OSError, msgspec.DecodeError, ValueError, RecursionError) as error:
            _log.warning("%s can't be read and is left out: %s", self._store, error)
            return StoreMark()

    def save_store_mark(self, mark: StoreMark) -> None:
        """Write it down. Raises OSError."""
        state_file.replace_file(self._store, msgspec.json.encode(mark))

    def same_boot(self, boot_id: str) -> bool:
        """Whether the host still runs as it did when the last agent was here; remembers `boot_id` for the next one."""
        path = str(self.path / "boot")
        try:
            before = state_file.read_file(path).decode()
        except (OSError, ValueError):
            before = ""
        if before == boot_id:
            return True
        try:
            state_file.replace_file(path, boot_id.encode())
        except OSError as error:
            _log.warning("%s can't be written: %s", path, error.strerror)
        return before == ""

    # --- files -----------------------------------------------------------------------------------------------------

    def _read(self, attempt_id: AttemptId) -> Intent | None:
        folder = self.folder(attempt_id)
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return None  # no folder of ours; `make` sets it aside should its name be wanted
        try:
            data = state_file.read_file(f"{folder}/{_SPEC}", _SPEC_BYTES_MAX)
        except FileNotFoundError:
            return None  # a working folder that was left over
        if not data:
            return None
        spec = msgspec.json.decode(data, type=_Spec)
        if spec.version != SPEC_VERSION or spec.intent.attempt_id != attempt_id:
            raise ValueError(f"version {spec.version} of {spec.intent.attempt_id}")
        return spec.intent

    def _write_new(self, attempt_id: AttemptId, path: str, data: bytes) -> None:
        folder = self.folder(attempt_id)
        self._use_spare(folder)
        if _fill_spec(folder, data):
            return
        try:
            state_file.write_new(path, data)
        except (FileNotFoundError, NotADirectoryError):
            self.make(attempt_id)
            state_file.write_new(path, data)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            _log.warning("%s can't be looked through: %s", folder, error.strerror)
        return []


def _empty_spec(folder: str) -> bool:
    """Make the spec a spare one. Return False where it can't be."""
    try:
        spec = state_file.open_file(f"{folder}/{_SPEC}", os.O_WRONLY)
        try:
            if os.fstat(spec).st_nlink != 1:
                return False  # a task gave it another name, or put a file of its own here
            os.rename(f"{folder}/{_SPEC}", f"{folder}/{_SPARE_SPEC}")
            os.ftruncate(spec, 0)
        finally:
            os.close(spec)
    except OSError:
        return False
    return True


def _fill_spec(folder: str, data: bytes) -> bool:
    """Write the spec into the spare one, if there is one, whole or not at all. Raises OSError when there is no room."""
    try:
        spec = state_file.open_file(f"{folder}/{_SPARE_SPEC}", os.O_WRONLY, most=0)
    except OSError:
        return False
    try:
        state_file.write_all(spec, data)
        os.rename(f"{folder}/{_SPARE_SPEC}", f"{folder}/{_SPEC}")
    except OSError:
        state_file.clear(f"{folder}/{_SPARE_SPEC}")
        raise
    finally:
        os.close(spec)
    return True


def _is_as_made(folder: str) -> bool:
    """Whether an attempt left its folder as it found it: nothing written, nothing added, no rights changed."""
    try:
        names = os.listdir(folder)
        if WORK_FOLDER not in names or os.listdir(f"{folder}/{WORK_FOLDER}"):
            return False
        return all(name in _MODES and _is_untouched(f"{folder}/{name}", _MODES[name]) for name in names)
    except OSError:
        return False


def _is_untouched(path: str, mode: int) -> bool:
    found = os.lstat(path)
    return found.st_mode == mode and (stat.S_ISDIR(mode) or (found.st_size == 0 and found.st_nlink == 1))
