"""What is known of a dataset without reading all of it: its format, columns and first rows, or why it can't be used."""

import re
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import (
    NAME_CHARACTERS_MAX,
    PATH_CHARACTERS_MAX,
    Label,
    Path,
    Text,
    Whole,
    check_count,
    check_length,
    cut,
)
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.input_name import check_input
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.stream.message import FileRoot, PathBytes

COLUMNS_MAX = 1_000
"""As many are described; a dataset may have more."""
SPLITS_MAX = 100
FIRST_ROWS_MAX = 20
ROW_CELLS_MAX = 64
CELL_CHARACTERS_MAX = 80
DATASETS = "datasets"
"""The property by which a worker says which datasets its agent can look at: `TEXT` and, with the extra, more words of this file.

Agents that look at none before a start say only `true`: that they can be asked.
"""
TEXT, ARROW = "text", "arrow"
"""CSV, TSV and JSON, which need nothing; Parquet and Arrow. The other words are those of URL_SCHEMES."""
INSTALL = "pip install 'opsconsole[dataset]'"
URL_SCHEMES = ("http", "https", "s3", "hf")
JOB_DATASETS_MAX = 16
"""Of one job."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.+)", re.DOTALL)
_ARROW_NAME = re.compile(r".*\.(parquet|pq|arrow|feather|ipc)", re.IGNORECASE | re.DOTALL)
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


_FORMAT_NAMES = {
    "csv": "CSV", "tsv": "TSV", "json": "JSON",
    "json_lines": "JSON Lines", "parquet": "Parquet", "arrow": "Arrow", "hugging_face": "Hugging Face dataset",
    "hugging_face_dict": "Hugging Face dataset dict",
}  # fmt: skip


def format_words(written_in: str, compression: str = "") -> str:
    """A format for people, `JSON Lines in gz`; one that a newer agent names, as it names it."""
    name = _FORMAT_NAMES.get(written_in, written_in)
    return f"{name} in {compression}" if compression else name


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


_HUB_PARTS = 2
"""Of an address on the hub, at least: `datasets/NAME`, `OWNER/NAME`."""


def check_url(url: str) -> None:
    """Raise InvalidRequest for one of a kind that isn't read."""
    found = _URL.match(url)
    scheme = "" if found is None else found[1].lower()
    if scheme not in URL_SCHEMES or "::" in url:
        hint = "name the path itself" if scheme == "file" else f"{', '.join(f'{one}://' for one in URL_SCHEMES)} are"
        raise InvalidRequest(f"a dataset at {cut(scheme, 40)}:// can't be read: {hint}")
    place = re.split(r"[?#]", url.partition("://")[2], maxsplit=1)[0]
    parts = place.split("/")
    if scheme == "hf":
        if len([part for part in parts if part]) < _HUB_PARTS or not parts[0]:
            raise InvalidRequest(f"{cut(shown_url(url))} names no repository: it is hf://datasets/OWNER/NAME")
    elif not parts[0].rpartition("@")[2]:
        what = "bucket: it is s3://BUCKET/PATH" if scheme == "s3" else f"server: it is {scheme}://HOST/PATH"
        raise InvalidRequest(f"{cut(shown_url(url))} names no {what}")


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


# --- a job's ------------------------------------------------------------------------------------------------------


class JobDataset(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dataset that each task of a job is given: an input by its name on the worker, one of the job's uploads, or a URL.

    `name`: how tasks ask for it, empty for the only one. What the worker finds there is looked at before a task starts.
    """

    where: Path
    name: Label = ""

    @property
    def typed(self) -> str:
        """As it is typed: `[NAME=]PATH|URL`."""
        return f"{self.name}={self.where}" if self.name else self.where

    @property
    def words(self) -> str:
        """The same for people, without secrets."""
        return f"{self.name}={self.shown}" if self.name else self.shown

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return shown_url(self.where) if is_url(self.where) else self.where

    @property
    def ability(self) -> str:
        """What a worker must be able to read for it, as far as its name tells; a word of the property DATASETS."""
        if is_url(self.where):
            return self.where.partition("://")[0].lower()
        return ARROW if _ARROW_NAME.fullmatch(self.where) else TEXT


class FoundDataset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker found at one of a job's datasets, in short. `where`: as `JobDataset.shown`; `columns`: how many."""

    where: Path
    name: Label = ""
    format: Label = ""
    compression: Label = ""
    rows: Whole | None = None
    """Exact, or None where not all of it was read."""
    columns: Whole = 0
    size_bytes: Whole = 0
    files: Whole = 0
    splits: Annotated[tuple[DatasetSplit, ...], Meta(max_length=JOB_DATASETS_MAX)] = ()
    """The first few."""
    note: Text = ""

    @property
    def words(self) -> str:
        """`CSV, 3 rows, 2 columns, 20 B, train 2, test 1`, and what else is to be known."""
        kind = format_words(self.format, self.compression)
        rows = "rows not counted" if self.rows is None else _plural(self.rows, "row")
        parts = [kind, rows, _plural(self.columns, "column"), size_words(self.size_bytes)]
        parts += [f"{one.name or 'no split'} {'?' if one.rows is None else f'{one.rows:,}'}" for one in self.splits]
        return ", ".join(parts) + (f"; {self.note}" if self.note else "")


FoundDatasets = Annotated[tuple[FoundDataset, ...], Meta(max_length=JOB_DATASETS_MAX)]


def found_dataset(dataset: JobDataset, description: DatasetDescription) -> FoundDataset:
    """What is kept of a description."""
    return FoundDataset(
        where=dataset.shown,
        name=dataset.name,
        format=description.format,
        compression=description.compression,
        rows=description.rows,
        columns=description.columns_total,
        size_bytes=description.size_bytes,
        files=description.files,
        splits=description.splits[:JOB_DATASETS_MAX],
        note=description.note,
    )


def read_dataset(text: str) -> JobDataset:
    """What `[NAME=]PATH|URL` means. Raises InvalidRequest.

    A file called `a=b` is named as `NAME=a=b`.
    """
    text = text.strip()
    named = None if is_url(text) else _NAMED.fullmatch(text)
    found = JobDataset(text) if named is None else JobDataset(named[2], named[1])
    if not is_url(found.where):
        found = JobDataset(found.where.rstrip("/") or found.where, found.name)
    check_dataset(found)
    return found


def check_dataset(dataset: JobDataset) -> None:
    """Raise InvalidRequest for one that no worker could find, or whose URL would show a password to all who see the job."""
    check_length("the dataset", dataset.where, PATH_CHARACTERS_MAX)
    check_length("the dataset's name", dataset.name, NAME_CHARACTERS_MAX)
    if dataset.name and _NAME.fullmatch(dataset.name) is None:
        raise InvalidRequest(
            f"{dataset.name[:40]!r} is no name for a dataset: letters, digits and _, such as train, or none"
        )
    if not dataset.where:
        raise InvalidRequest("a dataset is empty: give its path or its URL")
    if is_url(dataset.where):
        check_url(dataset.where)
        if "\0" in dataset.where or _has_user(dataset.where):
            raise InvalidRequest(
                f"the dataset {dataset.shown} has a user or password in its URL, which all who see the job would see: "
                "put them in the environment of the worker's agent"
            )
        return
    check_input(dataset.where)


def check_datasets(datasets: tuple[JobDataset, ...]) -> None:
    """Raise InvalidRequest for what can't be the datasets of one job."""
    check_count("datasets", datasets, JOB_DATASETS_MAX)
    for one in datasets:
        try:
            check_dataset(one)
        except InvalidRequest as error:
            raise InvalidRequest(f"--dataset: {error.message}") from None
    names = [one.name.upper() for one in datasets]
    for one in datasets:
        if names.count(one.name.upper()) > 1:
            called = f"two of them are called {one.name}" if one.name else "two of them have no name"
            raise InvalidRequest(f"--dataset: {called}: write train={one.shown}, for example")


def inability(known: object, dataset: JobDataset) -> str:
    """Why a worker whose property DATASETS is `known` can't look at a dataset, and what to do; empty where it can."""
    if not isinstance(known, (list, tuple)):
        return "its agent is too old to look at datasets: update opsconsole there"
    if dataset.ability in known:
        return ""
    what = "Parquet and Arrow" if dataset.ability == ARROW else f"{dataset.ability}://"
    return f"can't read {what}: {INSTALL} in the environment of its agent"


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _has_user(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return scheme.lower() != "hf" and ("@" in host or shown_url(url).endswith("://…"))
