"""What goes wrong with trees of files."""

from opsconsole_protocol.error import Conflict, LimitExceeded, OpsconsoleError, Unavailable, from_code


class ContentChanged(Conflict):
    """A file isn't any more, or isn't yet, what was said of it: it was written while it was read."""

    code = "content_changed"


class CacheChanged(Conflict):
    """Somebody has written into a tree that was kept: it has been dropped, and can be fetched again."""

    code = "cache_changed"


class DiskFull(Conflict):
    """The disk has too little room for a tree."""

    code = "disk_full"


class NoRoom(LimitExceeded):
    """The store has too little room for a tree, beside what is needed of it."""

    code = "no_room"


class PeerCancelled(Unavailable):
    """The program at the other end has ended its side of a transfer. It may go on over another stream."""

    code = "cancelled"


def from_peer(code: str, message: str) -> OpsconsoleError:
    """The error that the other end of a transfer named."""
    for kind in (ContentChanged, CacheChanged, DiskFull, NoRoom, PeerCancelled):
        if kind.code == code:
            return kind(message)
    return from_code(code, message)
