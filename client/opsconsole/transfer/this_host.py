"""This machine and user, as the coordinator knows who has the files that a job waits for."""

import hashlib
import os
import secrets
import socket
from pathlib import Path
from typing import NamedTuple

import msgspec

from opsconsole.transfer.user_folder import record_folder
from opsconsole_protocol.bound import NAME_CHARACTERS_MAX, cut
from opsconsole_protocol.host.private_file import read_record, write_record

_ID_BYTES = 16


class ThisHost(NamedTuple):
    """A name for people, and an id that stays."""

    name: str
    id: str


class _Secret(msgspec.Struct, frozen=True):
    """What makes this user's ids differ from everybody else's."""

    secret: str


def this_host() -> ThisHost:
    """Who offers files from here. The id is made on first use. Raises PrivateFileError.

    A home folder that several machines share gives each an id of its own: they don't have the same files.
    """
    mark = f"{_secret(record_folder() / 'host.json')}\0{_machine()}".encode()
    name = cut(socket.gethostname().removesuffix(".local") or "this-host", NAME_CHARACTERS_MAX)
    return ThisHost(name, hashlib.blake2s(mark, digest_size=_ID_BYTES).hexdigest())


def _secret(path: Path) -> str:
    remedy = "remove it; jobs that wait for files from here have to be submitted again then"
    found = read_record(path, _Secret, remedy)
    if found is not None:
        return found.secret
    mine = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_record(mine, _Secret(secrets.token_hex(_ID_BYTES)))
    try:
        os.link(mine, path)  # of two that make one at once, the first wins
    except FileExistsError:
        pass
    except OSError:
        mine.replace(path)  # a file system without hard links
    finally:
        mine.unlink(missing_ok=True)
    found = read_record(path, _Secret, remedy)
    return "" if found is None else found.secret


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return socket.gethostname()
