"""The labelled folders of a worker, and which of them a job's input is in.

People name a file as they see it: by its name alone (in the input folder), as `LABEL:path`, or by its whole path, here or on
the worker. A mount's aliases are the folders under which other machines see it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import PATH_CHARACTERS_MAX, Label, Path
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.input_name import MOUNT_LABEL, NAME_BYTES_MAX, check_input_name

INPUT, OUTPUT = "input", "output"
"""The labels of the two folders that every worker can have."""
MOUNTS_MAX = 32
ALIASES_MAX = 32
MOUNTS_BYTES_MAX = 8 * 1024
"""Of all labels, paths and aliases of a worker, which are advertised among its properties."""

_SHOWN_MAX = 80


class Mount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A folder of a worker that files may be taken from and, where it is writable, be put into."""

    label: Label
    path: Path
    """Absolute, on the worker."""
    writable: bool = False
    aliases: Annotated[tuple[Path, ...], Meta(max_length=ALIASES_MAX)] = ()
    """Absolute paths of the same folder on other machines."""


def check_mounts(mounts: Sequence[Mount]) -> None:
    """Raise InvalidRequest for mounts that a worker can't have together."""
    if len(mounts) > MOUNTS_MAX:
        raise InvalidRequest(f"{len(mounts)} mounts are too many: a worker has at most {MOUNTS_MAX}")
    labels = [mount.label for mount in mounts]
    for label in labels:
        if labels.count(label) > 1:
            raise InvalidRequest(f"two mounts are called {label!r}: give one of them another label")
    for mount in mounts:
        _check_mount(mount)
    texts = (text for mount in mounts for text in (mount.label, mount.path, *mount.aliases))
    if sum(len(text.encode()) for text in texts) > MOUNTS_BYTES_MAX:
        raise InvalidRequest(f"the paths of the mounts are longer than {MOUNTS_BYTES_MAX} bytes: leave aliases out")


def _check_mount(mount: Mount) -> None:
    if MOUNT_LABEL.fullmatch(mount.label) is None:
        raise InvalidRequest(
            f"{_shown(mount.label)} can't be a mount's label: up to 64 letters, digits, dots and dashes"
        )
    if mount.label in {INPUT, OUTPUT}:
        raise InvalidRequest(f"the label {mount.label} belongs to --{mount.label}-path: give the mount another one")
    if len(mount.aliases) > ALIASES_MAX:
        raise InvalidRequest(f"the mount {mount.label} has more than {ALIASES_MAX} aliases: leave some out")
    for what, path in (("path", mount.path), *(("alias", alias) for alias in mount.aliases)):
        if not path.startswith("/") or "\0" in path or ".." in path.split("/") or len(path) > PATH_CHARACTERS_MAX:
            raise InvalidRequest(
                f"the mount {mount.label}'s {what} {_shown(path)} is not a whole path: begin it with /"
            )
        try:
            path.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"the mount {mount.label}'s {what} {_shown(path)} is not valid Unicode") from None


def mounts_of(properties: Mapping[str, Any]) -> tuple[Mount, ...]:
    """All mounts that a worker advertises, the folders of its I/O paths first; what has another shape is left out."""
    found: list[Mount] = []
    paths = properties.get("io_paths")
    paths = paths if isinstance(paths, Mapping) else {}
    for label in (INPUT, OUTPUT):
        path = paths.get(label)
        if isinstance(path, str) and path:
            found.append(Mount(label=label, path=path, writable=label == INPUT))
    own = properties.get("mounts")
    for one in own[:MOUNTS_MAX] if isinstance(own, (list, tuple)) else ():
        try:
            mount = msgspec.convert(one, Mount)
            _check_mount(mount)
        except (msgspec.ValidationError, InvalidRequest):
            continue
        found.append(mount)
    return tuple(found)


def knows_mounts(properties: Mapping[str, Any]) -> bool:
    """Whether this worker's agent knows of mounts, and can be asked for files."""
    return isinstance(properties.get("mounts"), (list, tuple))


def find_mount(mounts: Iterable[Mount], label: str) -> Mount | None:
    """The mount of this label."""
    return next((mount for mount in mounts if mount.label == label), None)


def place_input(mounts: Sequence[Mount], name: str) -> tuple[Mount, str]:
    """The mount that an input is in, and its path below that. Raises InvalidRequest: no file there can have this name.

    Of a whole path the longest prefix among paths and aliases wins.
    """
    if name.startswith("/"):
        return _place_whole_path(mounts, name)
    label, colon, rest = name.partition(":")
    mount = find_mount(mounts, label) if colon else None
    if mount is not None:
        return mount, _below(name, rest)
    if colon and "/" in rest and "/" not in label:
        raise InvalidRequest(f"this worker has no mount {_shown(label)}, {_known(mounts)}")
    mount = find_mount(mounts, INPUT)
    if mount is None:
        raise InvalidRequest("this worker has no input path: give its agent one with --input-path")
    check_input_name(name, mount.path)
    return mount, name


def missing_folder(mounts: Sequence[Mount], name: str) -> str:
    """What a worker with these mounts would need to have an input: `no mount lab`; empty where it may have it."""
    try:
        place_input(mounts, name)
    except InvalidRequest:
        label, colon, below = name.partition(":")
        if name.startswith("/"):
            return f"no folder with {_shown(name)}"
        return f"no mount {label}" if colon and "/" in below else "no input folder"
    return ""


def _place_whole_path(mounts: Sequence[Mount], name: str) -> tuple[Mount, str]:
    best: tuple[int, Mount] | None = None
    for mount in mounts:
        for prefix in (mount.path, *mount.aliases):
            above = prefix.rstrip("/")
            if name.startswith(f"{above}/") and (best is None or len(above) > best[0]):
                best = len(above), mount
    if best is None:
        raise InvalidRequest(f"{_shown(name)} is below none of this worker's folders, {_known(mounts)}")
    return best[1], _below(name, name[best[0] :])


def _below(name: str, rest: str) -> str:
    """A path below a mount, in its plain form."""
    parts = [part for part in rest.split("/") if part not in {"", "."}]
    if not parts:
        raise InvalidRequest(f"{_shown(name)} is a folder, not a file")
    if ".." in parts:
        raise InvalidRequest(f"{_shown(name)} leads out of its folder: name the file without ..")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise InvalidRequest(f"{_shown(name)} is not valid Unicode") from None
    if "\0" in rest:
        raise InvalidRequest(f"{_shown(name)} contains a NUL character")
    if max(sizes) > NAME_BYTES_MAX:
        raise InvalidRequest(f"{_shown(name)} has a part of more than {NAME_BYTES_MAX} bytes: no file can have it")
    return "/".join(parts)


def _known(mounts: Sequence[Mount]) -> str:
    return f"which are {', '.join(f'{mount.label} ({mount.path})' for mount in mounts)}" if mounts else "it has none"


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_MAX else f"{name[:_SHOWN_MAX]}…")
