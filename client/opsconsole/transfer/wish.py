"""What a person wants a job to bring along, and to have brought back, as it is written."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from opsconsole_protocol.bound import cut
from opsconsole_protocol.content.glob import check_glob, spelled
from opsconsole_protocol.error import InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.input_name import NAME_BYTES_MAX, check_input_name

BUNDLE_BYTES_DEFAULT = 500_000_000
_SHOWN_CHARACTERS = 100
_PATH_BEGINS = re.compile(r":(?=[/~])")


class WishedUpload(NamedTuple):
    """A file or folder of this machine, and by what name the task finds it."""

    path: Path
    name: str


class WishedFetch(NamedTuple):
    """Results that are to be brought, and where."""

    pattern: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Wishes:
    """`uploads` are PATH[:NAME], `fetches` PATTERN[:DIR]; what isn't a whole path is counted from `cwd`."""

    uploads: tuple[str, ...] = ()
    bundle: Path | None = None
    bundle_bytes_max: int = BUNDLE_BYTES_DEFAULT
    fetches: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)

    @property
    def bring_along(self) -> bool:
        """Whether something has to be looked at before the job can be submitted."""
        return bool(self.uploads) or self.bundle is not None

    def check(self) -> None:
        """Raise InvalidRequest for what can't be meant, and NotFound for what isn't here, before anything is hashed."""
        names = [self.upload(text).name for text in self.uploads]
        for name in names:
            if names.count(name) > 1:
                raise InvalidRequest(f"two uploads are called {name!r}: give one another name with --upload PATH:NAME")
        for text in self.fetches:
            self.fetch(text)
        if self.bundle is not None and not (self.cwd / self.bundle).is_dir():
            raise NotFound(f"--bundle: there is no such folder: {cut(str(self.bundle), _SHOWN_CHARACTERS)}")

    def upload(self, text: str) -> WishedUpload:
        """What one PATH[:NAME] means: a name follows the last colon, unless there is a file of the whole name. Raises InvalidRequest, and NotFound."""
        path, name = Path(text), ""
        if not os.path.lexists(self.cwd / path) and ":" in text:
            before, _, name = text.rpartition(":")
            path = Path(before)
        option = f"--upload {cut(text, _SHOWN_CHARACTERS)}"
        whole = self.cwd / path.expanduser()
        if not _exists(whole):
            raise NotFound(f"{option}: there is no file or folder {cut(str(path), _SHOWN_CHARACTERS)!r} here")
        own = Path(os.path.abspath(whole)).name  # noqa: PTH100 - without following links
        if not own:
            raise InvalidRequest(f"{option}: this is the whole machine: name a folder of it")
        try:
            check_input_name(name or own, "the task's folder of inputs")
        except OpsconsoleError as error:
            remedy = "" if name else "; give it another name with --upload PATH:NAME"
            raise InvalidRequest(f"{option}: {error.message}{remedy}") from None
        return WishedUpload(whole, name or own)

    def fetch(self, text: str) -> WishedFetch:
        """What one PATTERN[:DIR] means: a folder follows the last colon, or the first one before a whole path. Raises InvalidRequest."""
        option = f"--fetch {cut(text, _SHOWN_CHARACTERS)}"
        begin = _PATH_BEGINS.search(text)
        pattern, colon, folder = (
            text.rpartition(":") if begin is None else (text[: begin.start()], ":", text[begin.end() :])
        )
        if not colon:
            pattern, folder = text, ""
        pattern = spelled(pattern)
        try:
            check_glob(pattern)
        except OpsconsoleError as error:
            raise InvalidRequest(f"{option}: {error.message}") from None
        whole = Path(os.path.abspath(self.cwd / Path(folder).expanduser()))  # noqa: PTH100 - as it is called
        if why := _unusable(whole):
            raise InvalidRequest(f"{option}: {why}: name another folder behind the colon")
        return WishedFetch(pattern, whole)


def written_fetch(pattern: str, folder: Path) -> str:
    """PATTERN:DIR as `Wishes.fetch` reads it, wherever that is done."""
    return f"{pattern}:{folder}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # a name that is too long for any file


def _unusable(folder: Path) -> str:
    """Why no files can be brought into a folder, which need not be there yet; empty where they can, as far as that can be seen."""
    if any(len(os.fsencode(part)) > NAME_BYTES_MAX for part in folder.parts):
        return f"{cut(str(folder), _SHOWN_CHARACTERS)} has a name of more than {NAME_BYTES_MAX} bytes"
    there = next(one for one in (folder, *folder.parents) if _lexists(one))
    what = cut(str(there), _SHOWN_CHARACTERS)
    if not there.is_dir():
        return f"{what} is {'a link that leads nowhere' if there.is_symlink() and not there.exists() else 'no folder'}"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"nothing may be written in {what}"


def _lexists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False
