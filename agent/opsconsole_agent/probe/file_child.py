"""Looks at files below one folder, and touches nothing outside of it. It is also a program, as `io_child` is and for the same
reason: a mount may hang.

Paths are bytes, and travel as text with surrogates for what isn't UTF-8. Every folder is opened from the one above it. A link
is followed here and not by the system: it may lead anywhere below the root, and never out of it, not even for a moment.
"""

import base64
import contextlib
import fnmatch
import heapq
import json
import os
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

LINKS_MAX = 40
SEARCH_HITS_MAX = 10_000
SEARCH_ENTRIES_MAX = 500_000
"""How many entries one search looks at."""
SEARCH_DEPTH_MAX = 64
PAGE_TEXT_MAX = 700 * 1024
"""How long all names of a page may be together, as they are printed: what is beyond comes with the next page."""
_INCOMING_PREFIX = ".opsconsole-incoming-"
"""`INCOMING_PREFIX` of the protocol, which this program doesn't load."""
_PART_NAME_MAX = 255
_PATH_MAX = 4096
_LOOK_AT_CLOCK_EVERY = 256

UserIds = tuple[int, int, list[int]]
"""uid, gid and groups."""
Row = tuple[str, str, int, int, int, str | None, str]
"""Name, kind, bytes, time of change in ms, mode, the kind of what a link leads to, and the letter of another kind (`FileEntry`)."""


class Refused(Exception):
    """Raised for what can't be looked at: `code` is an error's, the text says why, in one line."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Root:
    """A folder, opened: `base`, and below it `strict`, whose parts must be folders and no links.

    Nothing that is asked of it leads out, but that a link may lead into the folder `also`, where there is one.
    """

    def __init__(self, base: str, strict: Sequence[str], also: str = "") -> None:
        self.path = "/".join((base.rstrip("/"), *strict)) or "/"
        self._names = _names_of(self.path)
        self._also = also
        self.folder = os.open(_to_bytes(base), os.O_PATH | os.O_DIRECTORY)
        for part in strict:
            try:
                below = os.open(_to_bytes(part), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.folder)
            finally:
                os.close(self.folder)
            self.folder = below

    @contextlib.contextmanager
    def entered(self, path: bytes) -> Iterator[int]:
        """Yield a descriptor (O_PATH) of what is at a path below the root, links followed. Raises Refused and OSError."""
        opened = [os.dup(self.folder)]
        try:
            self._walk(opened, _parts(path))
            yield opened[-1]
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _walk(self, opened: list[int], parts: list[bytes]) -> None:
        """Open one part after another, each below the last of `opened`, whose first is the root."""
        todo, links = parts[::-1], 0
        while todo:
            part = todo.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                if len(opened) == 1:
                    raise Refused("conflict", "is a link that leads out of its folder")
                os.close(opened.pop())
                continue
            found = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=opened[-1])
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                opened.append(found)
                continue
            try:
                target = os.readlink(b"", dir_fd=found)
            finally:
                os.close(found)
            links += 1
            if links > LINKS_MAX:
                raise Refused("conflict", "is a link that leads in circles")
            if target.startswith(b"/"):
                todo += self._start_over(opened, target)[::-1]
            else:
                todo += target.split(b"/")[::-1]

    def _start_over(self, opened: list[int], target: bytes) -> list[bytes]:
        """Go back to the folder that an absolute target of a link is in, and return the target's parts below that."""
        parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
        for folder, names in ((self.folder, self._names), (None, _names_of(self._also) if self._also else [])):
            for above in names:
                if parts[: len(above)] != above:
                    continue
                bottom = os.dup(folder) if folder is not None else os.open(self._also, os.O_PATH | os.O_DIRECTORY)
                for descriptor in opened:
                    os.close(descriptor)
                opened[:] = [bottom]
                return parts[len(above) :]
        raise Refused("conflict", "is a link that leads out of its folder")

    def close(self) -> None:
        """Close it."""
        os.close(self.folder)


def list_folder(
    base: str,
    strict: Sequence[str],
    path: str,
    also: str = "",
    *,
    sort: str,
    descending: bool,
    offset: int,
    limit: int,
    budget_s: float,
) -> dict[str, object]:
    """Return a page of the folder at `path` as `rows`, with `total`, `more`, `truncated` and the folder's whole `path`.

    After `budget_s` no further entries are looked at. Raises Refused.
    """
    clock = _Clock(budget_s)
    with (
        opened(base, strict, path, also) as (root, entered),
        _listable(entered) as folder,
        os.scandir(folder) as entries,
    ):
        seen = clock.until_late(_arrived(entries))
        if sort == "name":
            key: Callable[[os.DirEntry[str]], tuple[int, bytes]] = _by_name_descending if descending else _by_name
        else:
            key = _by_size if sort == "size" else _by_time
        choose = heapq.nlargest if descending else heapq.nsmallest
        chosen = choose(offset + limit, seen, key=key)[offset:]
        rows = [_row(root, _to_bytes(path), os.fsencode(entry.name), folder) for entry in chosen]
    return _page(root, path, [row for row in rows if row is not None], clock, offset)


def search_folder(
    base: str, strict: Sequence[str], path: str, also: str = "", *, pattern: str, sort: str, descending: bool, offset: int, limit: int,
    budget_s: float,
) -> dict[str, object]:  # fmt: skip
    """Return what matches `pattern` below the folder at `path`, as `list_folder` does; names are paths below the folder."""
    clock = _Clock(budget_s)
    matches = _matcher(pattern)
    with opened(base, strict, path, also) as (root, _):
        above = _to_bytes(path)
        found: list[Row] = []
        for folder, below, name in _walk_below(root, above, clock):
            whole = _join(below, name)
            row = _row(root, _join(above, below), name, folder, shown=whole) if matches(whole) else None
            if row is not None:
                found.append(row)
            if len(found) == SEARCH_HITS_MAX:
                clock.is_late = True
                break
        clock.seen = len(found)
        sorts = {"name": 0, "size": 2, "time": 3}
        found.sort(key=lambda row: (row[sorts[sort]], row[0]), reverse=descending)
    return _page(root, path, found[offset : offset + limit], clock, offset)


def read_part(
    base: str, strict: Sequence[str], path: str, also: str = "", *, offset: int, limit: int
) -> dict[str, object]:
    """Return a piece of the regular file at `path`: `data` (base64), and the file's `size`, `mtime_ms` and `path`.

    Raises Refused.
    """
    with opened(base, strict, path, also) as (root, found):
        file = open_regular(found)
        try:
            data = os.pread(file, limit, offset)
            now = os.fstat(file)
        finally:
            os.close(file)
    return {
        "data": base64.b64encode(data).decode(),
        "size": now.st_size,
        "mtime_ms": now.st_mtime_ns // 1_000_000,
        "path": _whole_path(root, path),
    }


def open_regular(found: int) -> int:
    """Open for reading what a descriptor (O_PATH) is of: what was looked at, by whatever name. Raises Refused and OSError."""
    kind = os.fstat(found).st_mode
    if stat.S_ISDIR(kind):
        raise Refused("conflict", "is a folder, not a file")
    if not stat.S_ISREG(kind):
        raise Refused("conflict", "is not a regular file")
    return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK)


def _names_of(path: str) -> list[list[bytes]]:
    """The parts of a folder's path, as it is called and as it is without links."""
    paths = {_to_bytes(path), os.path.realpath(_to_bytes(path))}
    return [[part for part in one.split(b"/") if part] for one in paths]


class _Clock:
    """Counts entries, and says when it is time to leave off."""

    def __init__(self, budget_s: float) -> None:
        self._end_s = time.monotonic() + budget_s
        self.seen = 0
        self.is_late = False
        self.unread: list[bytes] = []
        """Folders that couldn't be looked into."""

    def look(self) -> bool:
        """Count an entry and return whether there is time for it."""
        if (self.seen + 1) % _LOOK_AT_CLOCK_EVERY == 0 and time.monotonic() > self._end_s:
            self.is_late = True
        self.seen += not self.is_late
        return not self.is_late

    def until_late(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        """The entries for which there is time."""
        for entry in entries:
            if not self.look():
                return
            yield entry


@contextlib.contextmanager
def opened(base: str, strict: Sequence[str], path: str, also: str) -> Iterator[tuple[Root, int]]:
    """Yield a root and a descriptor (O_PATH) of what is at `path`. Whatever goes wrong inside is raised as Refused."""
    shown = _printable(path.rpartition("/")[2]) or "the folder"
    try:
        root = Root(base, strict, also)
        try:
            with root.entered(_to_bytes(path)) as found:
                yield root, found
        finally:
            root.close()
    except Refused as refusal:
        raise Refused(refusal.code, f"{shown} {refusal}") from None
    except (FileNotFoundError, NotADirectoryError):
        what = "is a link that leads nowhere" if _is_link(base, strict, path, also) else "is not there (any more)"
        raise Refused("not_found", f"{shown} {what}") from None
    except OSError as error:
        raise Refused("conflict", f"{shown} can't be read by the worker ({error.strerror})") from None


def _is_link(base: str, strict: Sequence[str], path: str, also: str) -> bool:
    folder, _, name = path.rpartition("/")
    try:
        root = Root(base, strict, also)
        try:
            with root.entered(_to_bytes(folder)) as found:
                return bool(os.readlink(_to_bytes(name), dir_fd=found))
        finally:
            root.close()
    except (OSError, Refused):
        return False


@contextlib.contextmanager
def _listable(found: int) -> Iterator[int]:
    """Yield a descriptor that a folder can be listed by."""
    if not stat.S_ISDIR(os.fstat(found).st_mode):
        raise Refused("conflict", "is a file, not a folder")
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=found)
    try:
        yield folder
    finally:
        os.close(folder)


def _arrived(entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    """Without the folders in which files are only arriving, or stopped arriving."""
    return (entry for entry in entries if not entry.name.startswith(_INCOMING_PREFIX))


def _walk_below(root: Root, above: bytes, clock: _Clock) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield all entries below a folder, as far as there is time: the open folder it is in, that folder's path, and its name.

    Folders near the top come first. No link is followed.
    """
    todo: deque[bytes] = deque([b""])
    while todo and not clock.is_late:
        below = todo.popleft()
        try:
            with root.entered(_join(above, below)) as found, _listable(found) as folder, os.scandir(folder) as entries:
                for entry in clock.until_late(_arrived(entries)):
                    if clock.seen > SEARCH_ENTRIES_MAX:
                        clock.is_late = True
                        return
                    name = os.fsencode(entry.name)
                    if entry.is_dir(follow_symlinks=False) and below.count(b"/") < SEARCH_DEPTH_MAX:
                        todo.append(_join(below, name))
                    yield folder, below, name
        except FileNotFoundError:
            continue  # it has gone meanwhile
        except (OSError, Refused):
            if not below:
                raise
            clock.unread.append(below)  # it may be another user's


def _matcher(pattern: str) -> Callable[[bytes], bool]:
    wanted = pattern.lower()
    is_glob = any(sign in wanted for sign in "*?[")

    def matches(path: bytes) -> bool:
        text = path.decode("utf-8", "surrogateescape").lower()
        text = text if "/" in wanted else text.rpartition("/")[2]
        return fnmatch.fnmatchcase(text, wanted) if is_glob else wanted in text

    return matches


def _page(root: Root, path: str, rows: list[Row], clock: _Clock, offset: int) -> dict[str, object]:
    room, fitting = PAGE_TEXT_MAX, 0
    for row in rows:
        room -= len(json.dumps(row[0]))
        if room < 0:
            break
        fitting += 1
    return {
        "rows": rows[:fitting],
        "total": clock.seen,
        "more": offset + fitting < clock.seen and fitting > 0,
        "truncated": clock.is_late,
        "path": _whole_path(root, path),
        "note": _unread_words(clock.unread),
    }


def _unread_words(folders: list[bytes]) -> str:
    """Which folders a search has left out, in a line."""
    if not folders:
        return ""
    more = f" and {len(folders) - 1} more folders" if len(folders) > 1 else ""
    return f"not looked into, since the worker may not: {_printable(os.fsdecode(folders[0]))}{more}"


def _row(root: Root, above: bytes, name: bytes, folder: int, shown: bytes | None = None) -> Row | None:
    """An entry of an open folder; None where it is gone again."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    kind, leads_to = _kind(found.st_mode), None
    size = found.st_size if kind == "file" else 0
    if kind == "link":
        with contextlib.suppress(OSError, Refused), root.entered(_join(above, name)) as descriptor:
            target = os.fstat(descriptor)
            leads_to = _kind(target.st_mode)
            size = target.st_size if leads_to == "file" else 0
    text = (shown or name).decode("utf-8", "surrogateescape")
    special = stat.filemode(found.st_mode)[0] if kind == "other" else ""
    return text, kind, size, found.st_mtime_ns // 1_000_000, stat.S_IMODE(found.st_mode), leads_to, special


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def _by_name(entry: os.DirEntry[str]) -> tuple[int, bytes]:
    return not entry.is_dir(follow_symlinks=False), os.fsencode(entry.name)


def _by_name_descending(entry: os.DirEntry[str]) -> tuple[int, bytes]:
    return entry.is_dir(follow_symlinks=False), os.fsencode(entry.name)


def _by_size(entry: os.DirEntry[str]) -> tuple[int, bytes]:
    found = _stat(entry)
    return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else 0, os.fsencode(entry.name)


def _by_time(entry: os.DirEntry[str]) -> tuple[int, bytes]:
    found = _stat(entry)
    return 0 if found is None else found.st_mtime_ns, os.fsencode(entry.name)


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None


def _parts(path: bytes) -> list[bytes]:
    """The parts of a path below a root. Raises Refused."""
    parts = path.split(b"/") if path else []
    if b"\0" in path or len(path) > _PATH_MAX or any(part in {b"", b".", b".."} for part in parts):
        raise Refused("invalid", "is no path below its folder: leave out .. and begin without /")
    if any(len(part) > _PART_NAME_MAX for part in parts):
        raise Refused("not_found", "has a name that no file can have")
    return parts


def _whole_path(root: Root, path: str) -> str:
    return _clean(f"{root.path.rstrip('/')}/{path}" if path else root.path)[:_PATH_MAX]


def _join(above: bytes, name: bytes) -> bytes:
    return b"/".join(part for part in (above, name) if part)


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _clean(text: str) -> str:
    """The text for people: what isn't UTF-8 is replaced."""
    return _to_bytes(text).decode("utf-8", "replace")


def _printable(text: str) -> str:
    """A name for a line of text."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in _clean(text))


def switch_user(user: UserIds) -> None:
    """Become this user for good."""
    uid, gid, groups = user
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "list_folder": list_folder,
    "search_folder": search_folder,
    "read_part": read_part,
}


def _main() -> None:
    function, user, place, keywords = json.load(sys.stdin)
    try:
        if user is not None:
            switch_user(user)
        result = {"answer": _FUNCTIONS[function](*place, **keywords)}
    except Refused as refusal:
        result = {"refused": [refusal.code, str(refusal)]}
    json.dump(result, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # what the interpreter does at its end might hang


if __name__ == "__main__":
    _main()
