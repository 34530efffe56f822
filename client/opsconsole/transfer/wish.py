"""What a person wants a job to bring along, and to have brought back, as it is written."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from opsconsole_protocol.content.glob import check_glob, spelled
from opsconsole_protocol.error import InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.input_name import check_input_name

BUNDLE_BYTES_DEFAULT = 500_000_000


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
            raise NotFound(f"--bundle: there is no such folder: {self.bundle}")

    def upload(self, text: str) -> WishedUpload:
        """What one PATH[:NAME] means: a name follows the last colon, unless there is a file of the whole name. Raises InvalidRequest, and NotFound."""
        path, name = Path(text), ""
        if not os.path.lexists(self.cwd / path) and ":" in text:
            before, _, name = text.rpartition(":")
            path = Path(before)
        whole = self.cwd / path.expanduser()
        if not whole.exists():
            raise NotFound(f"--upload {text}: there is no file or folder {str(path)!r} here")
        try:
            name = name or Path(os.path.abspath(whole)).name  # noqa: PTH100 - without following links
            check_input_name(name, "the task's folder of inputs")
        except OpsconsoleError as error:
            raise InvalidRequest(f"--upload {text}: {error.message}") from None
        return WishedUpload(whole, name)

    def fetch(self, text: str) -> WishedFetch:
        """What one PATTERN[:DIR] means: a folder follows the last colon. Raises InvalidRequest."""
        pattern, colon, folder = text.rpartition(":")
        if not colon:
            pattern, folder = text, ""
        pattern = spelled(pattern)
        try:
            check_glob(pattern)
        except OpsconsoleError as error:
            raise InvalidRequest(f"--fetch {text}: {error.message}") from None
        return WishedFetch(pattern, Path(os.path.abspath(self.cwd / Path(folder).expanduser())))  # noqa: PTH100 - as it is called
