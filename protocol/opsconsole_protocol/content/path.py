"""Which paths a tree may have. A path is bytes, as the system has it: it need not be UTF-8.

What comes from a peer is checked here, once, when a manifest is made or decoded. That nothing outside a root is touched even
if somebody races symlinks in is for `host/content/beneath.py`.
"""

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.input_name import NAME_BYTES_MAX

PATH_BYTES_MAX = 4_096
PARTS_MAX = 128
"""A tree may be this deep."""
_SHOWN_CHARACTERS = 120
_NO_NAMES = (b"", b".", b"..")


def shown(path: bytes) -> str:
    """The path in a message: quoted, on one line, and cut where it is long."""
    text = path[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


def check_path(path: bytes) -> None:
    """Raise InvalidRequest for a path that may not be in a tree: it has to be relative, plain and not too long."""
    if not path or len(path) > PATH_BYTES_MAX:
        raise InvalidRequest(f"the path {shown(path)} has {len(path)} bytes: 1 to {PATH_BYTES_MAX} are taken")
    if b"\0" in path:
        raise InvalidRequest(f"the path {shown(path)} contains a NUL byte")
    parts = path.split(b"/")
    if len(parts) > PARTS_MAX:
        raise InvalidRequest(f"the path {shown(path)} is {len(parts)} folders deep: at most {PARTS_MAX} are taken")
    for part in parts:
        if part in _NO_NAMES:
            raise InvalidRequest(f"the path {shown(path)} is not a plain path below a folder")
        if len(part) > NAME_BYTES_MAX:
            raise InvalidRequest(f"a name in {shown(path)} has {len(part)} bytes: at most {NAME_BYTES_MAX} are taken")


def is_plain_name(name: bytes, path_bytes: int) -> bool:
    """Whether a name is a part as `check_path` takes it, at the end of a path of this length."""
    return name not in _NO_NAMES and b"\0" not in name and len(name) <= NAME_BYTES_MAX and path_bytes <= PATH_BYTES_MAX


def check_target(path: bytes, target: bytes) -> None:
    """Raise InvalidRequest for a symlink whose target isn't sure to be inside the tree.

    A target goes up first, no further than to the top of the tree, and then only down. A `..` after a name could leave the
    tree where that name is itself a symlink. Nothing lies below a symlink, so the folders above are what they seem to be.
    """
    if not target or len(target) > PATH_BYTES_MAX or b"\0" in target:
        raise InvalidRequest(f"the symlink {shown(path)} has a target that no path can be")
    if target.startswith(b"/"):
        raise InvalidRequest(f"the symlink {shown(path)} leads out of the tree, to {shown(target)}")
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    ups = next((place for place, part in enumerate(parts) if part != b".."), len(parts))
    if ups > path.count(b"/") or b".." in parts[ups:]:
        raise InvalidRequest(f"the symlink {shown(path)} leads out of the tree, to {shown(target)}")


def parent(path: bytes) -> bytes:
    """The folder that a path lies in; empty at the top."""
    return path.rpartition(b"/")[0]


def tree_order(path: bytes) -> bytes:
    """By this paths are sorted so that all that lies below a folder follows right after it."""
    return path.replace(b"/", b"\0")
