"""The coordinators that a person has connected to, by name; one of them is the default.

Each is a credential that an invitation was traded for (`redemption`), in the user's state folder. Wherever an address
is taken, a name does as well. The default is what commands use that name no coordinator: chosen with
`opsconsole coordinator use`, or else the first one connected to, as long as none runs on this machine itself.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from opsconsole import redemption
from opsconsole.redemption import Redemption
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.host.private_file import read_record, write_record
from opsconsole_protocol.trust.address import host_of

LOCAL = "local"
"""The name of this machine's own coordinator, whether one runs or not."""
NAME_CHARACTERS_MAX = 60
_DEFAULT_FILE = "default"


class Default(msgspec.Struct, frozen=True):
    """Which coordinator is used when none is named; `chosen` by the user, or just the first one there was."""

    name: str
    chosen: bool


def saved() -> list[Redemption]:
    """All of them, by name. Raises PrivateFileError."""
    return sorted(redemption.load_all(), key=name_of)


def name_of(one: Redemption) -> str:
    """What it is called: as the user said, or its host's name."""
    return one.name or host_of(one.url)


def find(name: str) -> Redemption | None:
    """The coordinator of that name, if there is one. Raises PrivateFileError."""
    return next((one for one in saved() if name_of(one) == name), None)


def rename(name: str, new: str) -> None:
    """Raises NotFound, Conflict or InvalidRequest."""
    one = _get(name)
    check_name(new)
    if new != name and find(new) is not None:
        raise Conflict(f"another coordinator is called {new}: choose another name")
    redemption.save(msgspec.structs.replace(one, name=new))
    default = read_default()
    if default is not None and default.name == name:
        write_default(Default(new, default.chosen))


def forget(name: str) -> None:
    """Remove its credential from this machine; at the coordinator it stays good until it is revoked there."""
    redemption.remove(_get(name).url)
    default = read_default()
    if default is not None and default.name == name:
        _default_path().unlink(missing_ok=True)


def use(name: str) -> None:
    """Make it the default. Raises NotFound."""
    if name != LOCAL:
        _get(name)
    write_default(Default(name, chosen=True))


def offer(name: str) -> bool:
    """Make it the default if there is none yet and no coordinator runs on this machine; whether it is the default."""
    from opsconsole.endpoint import is_running
    from opsconsole.target import default_data_dir

    default = read_default()
    if default is None and not is_running(default_data_dir()):
        default = Default(name, chosen=False)
        write_default(default)
    return default is not None and default.name == name


def check_name(name: str) -> None:
    """Raise InvalidRequest unless `name` can be a saved coordinator's."""
    if name == LOCAL:
        raise InvalidRequest(f"{LOCAL} is this machine's own coordinator: choose another name")
    plain = name.isprintable() and not any(sign.isspace() or sign in "/\\'\"#" for sign in name)
    if not name or len(name) > NAME_CHARACTERS_MAX or not plain or name.startswith("-"):
        raise InvalidRequest(
            f"a coordinator's name has 1 to {NAME_CHARACTERS_MAX} signs and no spaces, quotes or slashes in it"
        )


def free_name(wanted: str) -> str:
    """`wanted`, or with a number behind it where that is taken or can't be a name."""
    try:
        check_name(wanted)
    except InvalidRequest:
        wanted = "coordinator"
    taken = {name_of(one) for one in saved()}
    candidates = [wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in candidates if name not in taken)


def read_default() -> Default | None:
    """The default, if there is one. Raises PrivateFileError."""
    return _read(_default_path())


def _read(path: Path) -> Default | None:
    return read_record(path, Default, "`opsconsole coordinator use NAME` writes it anew")


def write_default(default: Default) -> None:
    """Raises PrivateFileError."""
    write_record(_default_path(), default)


def _default_path() -> Path:
    return redemption.folder() / _DEFAULT_FILE


def _get(name: str) -> Redemption:
    found = find(name)
    if found is None:
        names = ", ".join(name_of(one) for one in saved())
        raise NotFound(
            f"no coordinator is saved as {name}: {f'there are {names}' if names else 'connect to one first'}"
        )
    return found
