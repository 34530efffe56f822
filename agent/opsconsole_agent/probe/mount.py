"""What is mounted where, by the kernel's own table; reading that touches no mount, so none can make us hang."""

import re
from dataclasses import dataclass
from pathlib import Path

LOCAL = "local"

_TABLE = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
_NETWORK_TYPES = {
    "nfs", "nfs4", "lustre", "cifs", "smb3", "smbfs", "beegfs", "beegfs_nodev", "gpfs", "ceph", "afs", "9p", "virtiofs",
    "glusterfs", "ocfs2", "gfs2", "orangefs", "pvfs2", "panfs", "wekafs", "autofs", "davfs",
}  # fmt: skip
_LABELS = {"nfs4": "nfs", "smb3": "cifs", "smbfs": "cifs", "beegfs_nodev": "beegfs"}
_LOCAL_FUSE = {"fuseblk", "fuse.fuse-overlayfs", "fuse.lxcfs", "fuse.gvfsd-fuse"}
_LINKS_MAX = 40


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: `root` is the folder of the filesystem that is seen at `point`."""

    point: str
    root: str
    kind: str
    options: frozenset[str]
    """The filesystem's own options, such as the controllers of a cgroup hierarchy."""


def mounts(table: Path = _TABLE) -> list[Mount]:
    """Read the mount table in mount order, so the last one at a point is seen there. Empty if it can't be read."""
    try:
        text = table.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [mount for line in text.splitlines() if (mount := _parse(line)) is not None]


def filesystem_label(path: Path, table: Path = _TABLE) -> str:
    """Return `local`, or the type of the network filesystem that `path` is on, such as `nfs`, `lustre`, `sshfs`.

    Links on the way are followed, but only up to the first network mount, so nothing on one is ever touched.
    """
    kinds = {mount.point: mount.kind for mount in mounts(table)}
    parts = list(reversed(Path(path).absolute().parts[1:]))
    place, links = Path("/"), 0
    while True:
        label = _network_label(kinds.get(str(place), ""))
        if label is not None:
            return label
        if not parts:
            return LOCAL
        part = parts.pop()
        place = place.parent if part == ".." else place / part
        target = None if str(place) in kinds else _link_target(place)
        if target is not None and links < _LINKS_MAX:
            links += 1
            parts += [part for part in reversed(target.parts) if part != "/"]
            place = Path("/") if target.is_absolute() else place.parent


def _network_label(kind: str) -> str | None:
    if (kind == "fuse" or kind.startswith("fuse.")) and kind not in _LOCAL_FUSE:
        return kind.removeprefix("fuse.")
    return _LABELS.get(kind, kind) if kind in _NETWORK_TYPES else None


def _link_target(place: Path) -> Path | None:
    try:
        return place.readlink()
    except OSError:
        return None


def _parse(line: str) -> Mount | None:
    before, separator, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not separator or len(fields) < 6 or len(rest) < 3:
        return None
    return Mount(_unescaped(fields[4]), _unescaped(fields[3]), rest[0], frozenset(rest[2].split(",")))


def _unescaped(text: str) -> str:
    """Blanks and line ends of paths are octal numbers in the table."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
