"""The coordinators that a person has connected to, by name; one of them is the default.

Each is a credential that an invitation was traded for (`redemption`), a file in the user's state folder. Wherever an
address is taken, a name will do. The default is what a command uses that names no coordinator: the one chosen with
`opsconsole coordinator use`, or else the first one connected to, as long as none runs on this machine itself.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from opsconsole.endpoint import default_data_dir, is_running
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.host.private_file import read_record, write_record
from opsconsole_protocol.trust.address import host_of

LOCAL = "local"
"""The name of this machine's own coordinator, whether one runs or not."""
SAVED_NAME_CHARACTERS_MAX = 60
_DEFAULT_FILE = "default"


class SavedCoordinator(msgspec.Struct, frozen=True, kw_only=True):
    """A coordinator, the user's credential for it, and the invitation that the credential was made for."""

    url: str
    certificate_hash: str | None
    invitation_id: str
    secret: str
    name: str = ""
    """What the user calls it; empty: its host's name."""
    actor: str = ""
    role: str = ""
    """Who the user was there when the invitation was traded, and what they could do."""

    def __repr__(self) -> str:
        return f"SavedCoordinator({self.url}, {self.invitation_id})"

    @property
    def shown_name(self) -> str:
        """What it is called: as the user said, or its host's name."""
        return self.name or host_of(self.url)


class Default(msgspec.Struct, frozen=True):
    """Which coordinator is used when none is named; `chosen` by the user, or just the first one there was."""

    name: str
    chosen: bool


# --- one file each -------------------------------------------------------------------------------------------------


def load(url: str) -> SavedCoordinator | None:
    """The coordinator at `url`, if its credential was accepted there. Raises PrivateFileError."""
    return _read(_path(url))


def load_all() -> list[SavedCoordinator]:
    """All of them, by name. Raises PrivateFileError."""
    found = [_read(path) for path in _folder().glob("*.json")]
    return sorted((one for one in found if one is not None), key=lambda one: one.shown_name)


def save(one: SavedCoordinator) -> None:
    """Write it down in place of an earlier one at its address. Raises PrivateFileError."""
    write_record(_path(one.url), one)


def load_pending(url: str) -> SavedCoordinator | None:
    """One whose credential was made, but perhaps not accepted. Raises PrivateFileError."""
    return _read(_pending_path(url))


def save_pending(one: SavedCoordinator) -> None:
    """Write it down before its credential is first shown. Raises PrivateFileError."""
    write_record(_pending_path(one.url), one)


def remove_pending(url: str) -> None:
    """Remove what `save_pending` wrote for the coordinator at `url`."""
    _pending_path(url).unlink(missing_ok=True)


# --- by name -------------------------------------------------------------------------------------------------------


def find(name: str) -> SavedCoordinator | None:
    """The coordinator of that name, if there is one. Raises PrivateFileError."""
    return next((one for one in load_all() if one.shown_name == name), None)


def rename(name: str, new: str) -> None:
    """Call it `new` from now on. Raises NotFound, Conflict, InvalidRequest or PrivateFileError."""
    one = _get(name)
    check_name(new)
    if new != name and find(new) is not None:
        raise Conflict(f"another coordinator is called {new}: choose another name")
    save(msgspec.structs.replace(one, name=new))
    default = read_default()
    if default is not None and default.name == name:
        _write_default(Default(new, default.chosen))


def forget(name: str) -> None:
    """Remove its credential from this machine; at the coordinator it stays good until it is revoked there.

    Raises NotFound or PrivateFileError.
    """
    _path(_get(name).url).unlink(missing_ok=True)
    default = read_default()
    if default is not None and default.name == name:
        _default_path().unlink(missing_ok=True)


def check_name(name: str) -> None:
    """Raise InvalidRequest unless `name` can be a saved coordinator's."""
    if name == LOCAL:
        raise InvalidRequest(f"{LOCAL} is this machine's own coordinator: choose another name")
    plain = name.isprintable() and not any(sign.isspace() or sign in "/\\'\"#" for sign in name)
    if not name or len(name) > SAVED_NAME_CHARACTERS_MAX or not plain or name.startswith("-"):
        raise InvalidRequest(
            f"a coordinator's name has 1 to {SAVED_NAME_CHARACTERS_MAX} signs and no spaces, quotes or slashes in it"
        )


def free_name(wanted: str) -> str:
    """`wanted`, or with a number behind it where it is taken; `coordinator` stands in for what can't be a name."""
    try:
        check_name(wanted)
    except InvalidRequest:
        wanted = "coordinator"
    taken = {one.shown_name for one in load_all()}
    candidates = [wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in candidates if name not in taken)


# --- the default ---------------------------------------------------------------------------------------------------


def choose_default(name: str) -> None:
    """Make it the default, as the user said. Raises NotFound or PrivateFileError."""
    if name != LOCAL:
        _get(name)
    _write_default(Default(name, chosen=True))


def offer_default(name: str) -> bool:
    """Make it the default if there is none yet and no coordinator runs on this machine. Returns whether it is the default.

    Raises PrivateFileError.
    """
    default = read_default()
    if default is None and not is_running(default_data_dir()):
        default = Default(name, chosen=False)
        _write_default(default)
    return default is not None and default.name == name


def read_default() -> Default | None:
    """The default, if there is one. Raises PrivateFileError."""
    return _read_default(_default_path())


def _write_default(default: Default) -> None:
    write_record(_default_path(), default)


def _default_path() -> Path:
    return _folder() / _DEFAULT_FILE


def _get(name: str) -> SavedCoordinator:
    found = find(name)
    if found is None:
        names = ", ".join(one.shown_name for one in load_all())
        raise NotFound(
            f"no coordinator is saved as {name}: {f'there are {names}' if names else 'connect to one first'}"
        )
    return found


def _folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / "operator"


def _path(url: str) -> Path:
    return _folder() / (re.sub(r"[^a-z0-9.-]+", "_", url.partition("://")[2]) + ".json")


def _pending_path(url: str) -> Path:
    return _path(url).with_suffix(".pending")


def _read(path: Path) -> SavedCoordinator | None:
    return read_record(path, SavedCoordinator, "remove it and connect with a new invitation")


def _read_default(path: Path) -> Default | None:
    return read_record(path, Default, "`opsconsole coordinator use NAME` writes it anew")
