"""Filters on jobs that somebody keeps by name on this machine: the console and the command line share them."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from opsconsole_protocol.api import job_filter
from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.host.private_file import PrivateFileError, read_private, write_private

SAVED_FILTERS_MAX = 50
SAVED_FILTER_CHARACTERS_MAX = 1_000
_NAME = re.compile(r"[\w.-]{1,40}")


class SavedFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is shown; where it is inverted, all but that."""

    text: str
    inverted: bool = False

    @property
    def label(self) -> str:
        """As the frame of a table shows it."""
        return f"not {self.text}" if self.inverted else self.text


def load_all() -> dict[str, SavedFilter]:
    """All of them, by name. Raises PrivateFileError."""
    text = read_private(_path())
    try:
        found = {} if text is None else msgspec.json.decode(text, type=dict[str, SavedFilter])
    except (msgspec.DecodeError, RecursionError):
        raise PrivateFileError(f"{_path()} is damaged: remove it, and save your filters anew") from None
    return dict(sorted(found.items()))


def load(name: str) -> SavedFilter:
    """One of them. Raises NotFound, PrivateFileError."""
    found = load_all()
    if name not in found:
        names = ", ".join(found)
        raise NotFound(f"no filter is saved as {name[:40]!r}" + (f": there are {names}" if names else ""))
    return found[name]


def save(name: str, text: str, *, inverted: bool = False) -> None:
    """Keep a filter under a name, in place of an earlier one. Raises InvalidRequest, PrivateFileError."""
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(f"{name[:40]!r} is no name for a filter: take at most 40 letters, digits and . _ -")
    if job_filter.parse(text).empty:
        raise InvalidRequest("there is no filter to save: it would show every job")
    if len(text) > SAVED_FILTER_CHARACTERS_MAX:
        raise InvalidRequest(f"a filter of more than {SAVED_FILTER_CHARACTERS_MAX:,} characters isn't saved")
    found = load_all() | {name: SavedFilter(text.strip(), inverted)}
    if len(found) > SAVED_FILTERS_MAX:
        raise InvalidRequest(f"{SAVED_FILTERS_MAX} filters are saved already: remove one first")
    _write(found)


def remove(name: str) -> None:
    """Let go of one. Raises NotFound, PrivateFileError."""
    load(name)
    _write({other: one for other, one in load_all().items() if other != name})


def _write(found: Mapping[str, SavedFilter]) -> None:
    write_private(_path(), msgspec.json.encode(found).decode())


def _path() -> Path:
    import platformdirs

    return Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / "filters.json"
