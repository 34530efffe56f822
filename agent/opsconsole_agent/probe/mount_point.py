"""A worker's mounts as its user names them: `LABEL=PATH[:rw]`, and tables of the configuration."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.mount import Mount, check_mounts

_WRITABLE = ":rw"


def make_mount(label: str, path: str, *, writable: bool = False, aliases: Sequence[str] = ()) -> Mount:
    """A mount; its path is made absolute."""
    whole = str(Path(path).expanduser().absolute())
    return Mount(label=label, path=whole, writable=writable, aliases=tuple(aliases))


def parse_mount(text: str) -> Mount:
    """Read `LABEL=PATH` or `LABEL=PATH:rw`. Raises InvalidRequest."""
    label, equals, path = text.partition("=")
    plain = path.removesuffix(_WRITABLE)
    if not (label and equals and plain):
        raise InvalidRequest(
            f"--mount {text[:80]!r} names no folder: write LABEL=PATH, or LABEL=PATH:rw for a writable one"
        )
    return make_mount(label, plain, writable=plain != path)


def all_mounts(configured: Iterable[Mount], flags: Iterable[str]) -> tuple[Mount, ...]:
    """The mounts of the configuration and of flags; a flag beats what the configuration says of the same label.

    Raises InvalidRequest for what can't be a mount.
    """
    named = [parse_mount(text) for text in flags]
    labels = {mount.label for mount in named}
    found = (*(mount for mount in configured if mount.label not in labels), *named)
    check_mounts(found)
    return found
