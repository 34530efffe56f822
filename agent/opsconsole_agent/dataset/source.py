"""Where a dataset's files are, and how each is opened: here, below a folder that nothing leads out of."""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from opsconsole_agent.dataset.limit import DATASET_FILES_MAX
from opsconsole_agent.probe import file_child
from opsconsole_agent.probe.file_child import Refused as Refused  # noqa: PLC0414 – all here raise it

_LISTING_S = 4.0


class NotInstalled(Refused):
    """Raised where the extra is missing; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file. `name`: its path below the dataset's folder; of a single file, its own name."""

    name: str
    size: int
    """In bytes; 0 where a server doesn't say."""
    open_stream: Callable[[], IO[bytes]]
    """Open it for reading from its beginning to its end."""
    open_parts: Callable[[], IO[bytes]] | None = None
    """Open it for reading anywhere in it; None where `open_stream` does that, too."""

    def open_anywhere(self) -> IO[bytes]:
        """A file that can seek."""
        return (self.open_parts or self.open_stream)()


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a path or a URL. `shown` is that, for people, without secrets."""

    shown: str
    sources: list[Source] = field(default_factory=list)
    is_folder: bool = False
    is_cut: bool = False
    """Not all files were listed."""

    def path_of(self, source: Source) -> str:
        """A file's whole path, for people."""
        return f"{self.shown.rstrip('/')}/{source.name}" if self.is_folder else self.shown


def find_here(base: str, strict: Sequence[str], path: str, also: str) -> Found:
    """What is at a path below a folder of this machine. Raises Refused."""
    with file_child.opened(base, strict, path, also) as (root, found):
        kind, size = os.fstat(found).st_mode, os.fstat(found).st_size
        whole = f"{root.path.rstrip('/')}/{path}" if path else root.path
    if not stat.S_ISDIR(kind):
        name = path.rpartition("/")[2]
        return Found(_text(whole), [Source(_text(name), size, _opener(base, strict, path, also))])
    page = file_child.search_folder(
        base, strict, path, also, pattern="*", sort="name", descending=False, offset=0, limit=DATASET_FILES_MAX,
        budget_s=_LISTING_S,
    )  # fmt: skip
    rows: list[file_child.Row] = page["rows"]  # type: ignore[assignment]
    sources = [
        Source(_text(name), size, _opener(base, strict, f"{path}/{name}" if path else name, also))
        for name, kind_, size, _, _, leads_to, _ in rows
        if "file" in {kind_, leads_to}
    ]
    return Found(_text(whole), sources, is_folder=True, is_cut=bool(page["more"] or page["truncated"]))


def _opener(base: str, strict: Sequence[str], path: str, also: str) -> Callable[[], IO[bytes]]:
    def open_file() -> IO[bytes]:
        with file_child.opened(base, strict, path, also) as (_, found):
            return os.fdopen(file_child.open_regular(found), "rb")

    return open_file


def _text(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
