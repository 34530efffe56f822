"""What is known of a dataset without reading all of it: its format, columns and first rows, or why it can't be used."""

import re
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import Label, Path, Text, Whole, cut
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.stream.message import FileRoot, PathBytes

COLUMNS_MAX = 1_000
"""As many are described; a dataset may have more."""
SPLITS_MAX = 100
FIRST_ROWS_MAX = 20
ROW_CELLS_MAX = 64
CELL_CHARACTERS_MAX = 80
DATASETS = "datasets"
"""The property by which a worker says that its agent can be asked for datasets."""
URL_SCHEMES = ("http", "https", "s3", "hf")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(:[0-9]{1,5})?")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:::|://)")

Cell = Annotated[str, Meta(max_length=CELL_CHARACTERS_MAX)]


class DatasetFormat(StrEnum):
    """What the rows are written in."""

    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSON_LINES = "json_lines"
    PARQUET = "parquet"
    ARROW = "arrow"
    HUGGING_FACE = "hugging_face"
    """A folder that `datasets.Dataset.save_to_disk` has written."""
    HUGGING_FACE_DICT = "hugging_face_dict"
    """The same of a `DatasetDict`, a folder for each split."""


class DatasetColumn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column, its type in Arrow's words, and in how many rows it has no value; None where that wasn't counted."""

    name: Label
    type: Label
    nulls: Whole | None = None


class DatasetSplit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a dataset with a use of its own, such as `train`. Rows are exact, or None."""

    name: Label
    rows: Whole | None = None
    size_bytes: Whole = 0
    files: Whole = 0


class DatasetDescription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A dataset as it was found; everything that was read of it is sound."""

    format: DatasetFormat
    compression: Label = ""
    """gz, zst, bz2 or xz, where the files themselves are compressed."""
    rows: Whole | None = None
    """Exact, or None where not all of it was read."""
    columns: Annotated[tuple[DatasetColumn, ...], Meta(max_length=COLUMNS_MAX)] = ()
    columns_total: Whole = 0
    size_bytes: Whole = 0
    """Of its files, as they are stored."""
    files: Whole = 0
    splits: Annotated[tuple[DatasetSplit, ...], Meta(max_length=SPLITS_MAX)] = ()
    first_rows: Annotated[
        tuple[Annotated[tuple[Cell, ...], Meta(max_length=ROW_CELLS_MAX)], ...], Meta(max_length=FIRST_ROWS_MAX)
    ] = ()
    """Values as text, of as many columns as fit."""
    note: Text = ""
    """What a person should know: not all was read, other files lie beside it."""


class DatasetFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a dataset is of no use: the reason in one line, the file, and where there is one the line, from 1."""

    reason: Text
    path: Path = ""
    line: Whole | None = None

    @property
    def words(self) -> str:
        """All of it in one line."""
        place = self.path if self.line is None else f"{self.path}, line {self.line:,}"
        return f"{place}: {self.reason}" if place else self.reason


class BrokenDataset(OpsconsoleError):
    """A dataset that must not be used as it is."""

    code = "broken_dataset"

    def __init__(self, fault: DatasetFault) -> None:
        super().__init__(cut(fault.words))
        self.fault = fault


class DatasetQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which dataset is asked about: what is at `path` below `root`, or what is at `url`, as the worker reaches it."""

    root: FileRoot | None = None
    path: PathBytes = b""
    url: Path = ""
    """It may hold a password: it is shown to nobody, but as `shown_url` makes it."""


def is_url(text: str) -> bool:
    """Whether this names something elsewhere, and no file."""
    return _URL.match(text) is not None


def check_url(url: str) -> None:
    """Raise InvalidRequest for one of a kind that isn't read."""
    found = _URL.match(url)
    scheme = "" if found is None else found[1].lower()
    if scheme not in URL_SCHEMES or "::" in url:
        hint = "name the path itself" if scheme == "file" else f"{', '.join(f'{one}://' for one in URL_SCHEMES)} are"
        raise InvalidRequest(f"a dataset at {cut(scheme, 40)}:// can't be read: {hint}")


def shown_url(url: str) -> str:
    """The URL for people: without user, password, query and fragment, any of which may be a secret.

    Of one whose parts can't be told apart, as a password has a sign that should have been encoded, only the scheme is left.
    """
    scheme, _, rest = url.partition("://")
    place, *hidden = re.split(r"[?#]", rest, maxsplit=1)
    host, slash, path = place.partition("/")
    if scheme.lower() == "hf":
        return f"{scheme}://{place}"
    user, _, host = host.rpartition("@")
    is_plain = _HOST.fullmatch(host) is not None and "@" not in path
    is_plain = is_plain and (bool(user) or not any("@" in one for one in hidden) or ":" not in host)
    return f"{scheme}://{host}{slash}{path}" if is_plain else f"{scheme}://…"
