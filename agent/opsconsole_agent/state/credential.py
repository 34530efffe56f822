"""Who this agent is: a worker id and a secret, which the agent makes itself and keeps in its state folder.

The secret is made before the first join, so a join whose answer got lost can be repeated with the same one. A lock
on the folder keeps a second agent from being the same worker.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from opsconsole_agent.keeper import state_file
from opsconsole_protocol.error import Conflict, OpsconsoleError
from opsconsole_protocol.host.private_file import PrivateFileError, read_private, write_private
from opsconsole_protocol.ids import WorkerId, spell
from opsconsole_protocol.name import WORKER_ID_LENGTH, WORKER_ID_PREFIX, is_worker_id
from opsconsole_protocol.trust.secret import SECRET_BYTES, hash_secret, is_secret, new_secret

CREDENTIAL_FILE = "credential.json"
LOCK_FILE = "agent.lock"

_log = logging.getLogger(__name__)


class StateFolderInUse(Conflict):
    """Another agent, alive, has this state folder."""


class StateFolderError(OpsconsoleError):
    """A state folder that can't be used."""

    code = "state_folder"


@dataclass(frozen=True, slots=True)
class Credential:
    """The worker's id and the secret that proves it; the coordinator keeps `hash` alone."""

    worker_id: WorkerId
    secret: str = field(repr=False)
    joined_by: str = field(default="", repr=False)
    """The hash of the token that it joined with; empty before that."""

    @property
    def hash(self) -> str:
        """The SHA-256 of the secret, 64 hexadecimal digits."""
        return hash_secret(self.secret)

    def has_joined_by(self, token: str | None) -> bool:
        """Whether a coordinator accepted it with this token or, without a token, whether one ever did. A coordinator that
        doesn't know this credential isn't that one."""
        return self.joined_by == hash_secret(token) if token else bool(self.joined_by)


def ensure_credential(state_dir: Path) -> Credential:
    """The credential of this state folder, made on the first call and read on every later one.

    Raises PrivateFileError if it is damaged, or readable by others. Hold the folder's lock when calling.
    """
    path = state_dir / CREDENTIAL_FILE
    if path.is_symlink():
        raise PrivateFileError(f"{path} is a link: put the file itself there, or join again with a new invitation")
    text = read_private(path)
    if text is not None:
        return _parse(path, text)
    worker_id = WorkerId(WORKER_ID_PREFIX + spell(secrets.randbits(5 * WORKER_ID_LENGTH), WORKER_ID_LENGTH))
    credential = Credential(worker_id, new_secret(secrets.token_bytes(SECRET_BYTES)))
    _write(path, credential)
    return credential


def worker_id_of(state_dir: Path) -> WorkerId | None:
    """The id of the worker whose state folder this is, or None where no agent has run yet. Raises PrivateFileError."""
    text = read_private(state_dir / CREDENTIAL_FILE)
    return None if text is None else _parse(state_dir / CREDENTIAL_FILE, text).worker_id


def keep_joined(state_dir: Path, credential: Credential, token: str | None) -> None:
    """Write down that a coordinator accepted this agent with this token, if there was one. Raises PrivateFileError."""
    if token and not credential.has_joined_by(token):
        _write(state_dir / CREDENTIAL_FILE, replace(credential, joined_by=hash_secret(token)))


class StateLock:
    """Holds a state folder for one agent until `release`, or until the process ends, however it ends.

    Child processes don't inherit it: a keeper that outlives its agent doesn't block the next one.
    """

    def __init__(self, state_dir: Path) -> None:
        """Make the folder if needed and lock it. Raises StateFolderInUse or StateFolderError."""
        path = state_dir / LOCK_FILE
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor, words = state_file.open_or_renew(str(path), os.O_RDWR)
        except OSError as error:
            raise StateFolderError(
                f"the state folder {state_dir} can't be used ({error.strerror}): check its owner, or name another "
                "with --state-dir"
            ) from None
        if words:
            _log.error("%s", words)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(self._descriptor)
            os.close(self._descriptor)
            raise StateFolderInUse(
                f"another agent runs with this state folder ({holder}): "
                "stop it, or give this one its own with --state-dir"
            ) from None
        except OSError as error:
            os.close(self._descriptor)
            raise StateFolderError(
                f"{path} can't be locked ({error.strerror}): name a folder on a local disk with --state-dir"
            ) from None
        os.ftruncate(self._descriptor, 0)
        with contextlib.suppress(OSError):  # who holds it is for people only: a full disk keeps no agent from its tasks
            os.pwrite(self._descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the folder. The file stays: with a new one in its place two agents could each hold a lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _holder(descriptor: int) -> str:
    """`pid N`, with the host where that is another one: a home folder may be shared over the network."""
    pid, _, host = os.pread(descriptor, 300, 0).decode(errors="replace").strip().partition(" ")
    if not pid.isdigit():
        return "pid unknown"
    return f"pid {pid}" if host == socket.gethostname() else f"pid {pid} on {host!a}"


def _write(path: Path, credential: Credential) -> None:
    fields = {"worker_id": credential.worker_id, "secret": credential.secret, "joined_by": credential.joined_by}
    write_private(path, json.dumps({name: value for name, value in fields.items() if value}) + "\n")


def _parse(path: Path, text: str) -> Credential:
    try:
        values = json.loads(text)
        worker_id, secret, joined_by = values["worker_id"], values["secret"], values.get("joined_by", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        worker_id = secret = joined_by = None
    texts = all(isinstance(value, str) for value in (worker_id, secret, joined_by))
    if not texts or not is_secret(secret) or not is_worker_id(worker_id):
        raise PrivateFileError(
            f"{path} is damaged: restore it from a backup, or remove it and join again with a new invitation"
        )
    return Credential(WorkerId(worker_id), secret, joined_by)
