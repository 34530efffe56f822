"""Looks at files below a folder, in a process of its own that can be given up where a mount hangs."""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsconsole_agent.probe import file_child
from opsconsole_agent.probe.child_call import ChildCall
from opsconsole_protocol.bound import PATH_CHARACTERS_MAX, cut
from opsconsole_protocol.error import Unavailable, from_code
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage, FilePart, FileQuery, PartQuery

PROGRAM = Path(file_child.__file__)
BUDGET_S = 4.0
"""For how long entries of a folder are looked at; those behind aren't listed."""
TIMEOUT_S = 8.0


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A folder that files are looked at in: `base`, below it `strict`, and `start` below that.

    The parts of `strict` may not be links; no link below leads out of it, unless into the folder `also`.
    """

    base: str
    strict: tuple[str, ...] = ()
    start: str = ""
    also: str = ""
    writable: bool = False
    """Whether files may be put there."""

    @property
    def path(self) -> str:
        """The whole path, for people."""
        return "/".join(part for part in (self.base.rstrip("/"), *self.strict, self.start) if part) or "/"


class FileLook:
    """Looks at files, as `user` where tasks run as another one than the agent."""

    def __init__(
        self,
        user: file_child.UserIds | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        budget_s: float = BUDGET_S,
        program: Path = PROGRAM,
    ) -> None:
        self._user = user
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._program = program

    def list_files(self, place: FilePlace, query: FileQuery) -> FilePage:
        """A page of a folder below `place`, or of what a search there finds. Raises OpsconsoleError; blocks."""
        keywords = {
            "sort": str(query.sort), "descending": query.descending, "offset": query.offset, "limit": query.limit,
            "budget_s": self._budget_s,
        }  # fmt: skip
        if query.pattern:
            answer = self._call("search_folder", place, query.folder, {**keywords, "pattern": query.pattern})
        else:
            answer = self._call("list_folder", place, query.folder, keywords)
        return FilePage(
            entries=tuple(_entry(*row) for row in answer["rows"]),
            total=answer["total"],
            more=answer["more"],
            truncated=answer["truncated"],
            path=cut(answer["path"], PATH_CHARACTERS_MAX),
            note=cut(answer["note"]),
        )

    def read_part(self, place: FilePlace, query: PartQuery) -> FilePart:
        """A piece of a file below `place`. Raises OpsconsoleError; blocks."""
        answer = self._call("read_part", place, query.path, {"offset": query.offset, "limit": query.limit})
        return FilePart(
            data=base64.b64decode(answer["data"]),
            size=answer["size"],
            mtime_ms=answer["mtime_ms"],
            path=cut(answer["path"], PATH_CHARACTERS_MAX),
        )

    def _call(self, function: str, place: FilePlace, path: bytes, keywords: Mapping[str, object]) -> Any:
        below = path.decode("utf-8", "surrogateescape")
        whole = f"{place.start}/{below}" if place.start and below else place.start or below
        request = [function, self._user, [place.base, place.strict, whole, place.also], keywords]
        deadline = time.monotonic() + self._timeout_s
        try:
            result = ChildCall(self._program, request, hangs_on=place.base).result(deadline)
        except TimeoutError:
            raise Unavailable(
                f"{place.base} did not answer within {self._timeout_s:g} s (is the mount hung?)"
            ) from None
        except OSError as error:
            raise Unavailable(f"{place.base} could not be looked at: {error}") from None
        if "refused" in result:
            raise from_code(*result["refused"])
        return result["answer"]


def _entry(name: str, kind: str, size: int, mtime_ms: int, mode: int, leads_to: str | None, special: str) -> FileEntry:
    return FileEntry(
        name.encode("utf-8", "surrogateescape"),
        FileKind(kind),
        size,
        mtime_ms,
        mode,
        None if leads_to is None else FileKind(leads_to),
        special,
    )
