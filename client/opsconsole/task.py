"""Reporting from inside a task: needs nothing but Python's standard library.

    import opsconsole

    opsconsole.report(step=120, loss=0.31)
    opsconsole.progress(120, 4000)
    opsconsole.checkpoint("out/step-120", step=120)
    opsconsole.note("learning rate halved")
    if opsconsole.should_pause():
        sys.exit(opsconsole.PAUSED_EXIT_CODE)

    train = opsconsole.load_dataset("train")

Everything ends as a line in the file that OPSCONSOLE_REPORT names, which the worker's agent ships like a log: no call waits for a
network, and what was written survives the end of the process. Outside of a task, where that is not set, nothing is done.

No report raises: a training doesn't die of it. What can't be told is left out, and that is said on stderr, once for each. Only
`load_dataset` raises, as there is nothing to train with.

A worker puts this file within reach of its tasks as the package `opsconsole`, with `callback.py` in it. Where a package of that name
is installed, that one is loaded in its place.
"""

# Plain paths and few imports: this is loaded into every training, from Python 3.8 on.
# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH120

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import json
import os
import re
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, NoReturn, TypeVar

    CallT = TypeVar("CallT", bound=Callable[..., None])

_PATH = "OPSCONSOLE_REPORT"
_LINE_BYTES_MAX, _METRICS_OF_LINE_MAX = 64 * 1024, 200
_WHOLE_MAX = 1 << 53
_COMPLAINTS_MAX, _SHOWN_CHARACTERS = 20, 80
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_DATASETS, _PAUSE = "OPSCONSOLE_DATASETS", "OPSCONSOLE_PAUSE_FILE"
_RESUME = "OPSCONSOLE_RESUME_FROM"
PAUSED_EXIT_CODE = 85
"""How a task ends that has saved a checkpoint because `should_pause()` was true."""

__all__ = [
    "PAUSED_EXIT_CODE",
    "checkpoint",
    "load_dataset",
    "note",
    "progress",
    "report",
    "resume_from",
    "should_pause",
]


class _Writer:
    """Appends lines to the report file, each in one write: also threads and child processes may."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Also in a child process: a thread of its parent may have held the lock when it was forked."""
        self._lock = threading.Lock()
        self._pid = 0
        self._descriptor = -1
        self._path = ""
        self._complained: set[str] = set()

    def write(self, line: str) -> None:
        """Append one line, where there is a file for it. Raises ValueError for one that is too long."""
        path = os.environ.get(_PATH)
        if not path:
            return
        data = line.encode("utf-8", "replace") + b"\n"
        if len(data) > _LINE_BYTES_MAX:
            raise ValueError(f"a report of {len(data)} bytes is too long: at most {_LINE_BYTES_MAX} are taken")
        try:
            with self._lock:
                if self._pid != os.getpid() or self._path != path:
                    self._open(path)
                os.write(self._descriptor, data)
        except OSError as error:
            self.complain("", f"nothing can be reported: {error.strerror}")

    def _open(self, path: str) -> None:
        if self._descriptor >= 0 and self._pid == os.getpid():
            os.close(self._descriptor)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor = os.open(path, flags, 0o600)
        self._pid, self._path = os.getpid(), path

    def complain(self, about: str, text: str) -> None:
        """Once about each thing: neither a full disk nor a value that is no number must end a training."""
        if about not in self._complained and len(self._complained) < _COMPLAINTS_MAX:
            self._complained.add(about)
            sys.stderr.write(f"opsconsole: {text}\n")


_writer = _Writer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_writer.begin_anew)


def _harmless(call: CallT) -> CallT:
    """The call, which complains where it would raise."""

    @functools.wraps(call)
    def called(*words: Any, **named: Any) -> None:
        if not os.environ.get(_PATH):
            return
        try:
            call(*words, **named)
        except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
            _writer.complain(call.__name__, f"{call.__name__}() is left out: {_shown(error)}")

    return called  # type: ignore[return-value]


@_harmless
def report(metrics: Mapping[str, Any] | None = None, step: float | None = None, **values: Any) -> None:
    """Report the values of metrics at a step: `report(step=3, loss=0.5)`, or `report({"eval/loss": 0.5}, step=3)`.

    Values are numbers, or what `float()` takes (a tensor with one element); any that is none is left out.
    """
    given = {**(metrics or {}), **values}
    line: dict[str, Any] = {"at_ms": _now_ms(), **({} if step is None else {"step": _number(step, is_step=True)})}
    numbers = [(str(name), number) for name, value in given.items() for number in _numbers(name, value)]
    for first in range(0, len(numbers), _METRICS_OF_LINE_MAX):
        _writer.write(_encode({**line, "metrics": dict(numbers[first : first + _METRICS_OF_LINE_MAX])}))


@_harmless
def progress(done: float, total: float) -> None:
    """Say how far the task is: `done` of `total`."""
    _writer.write(_encode({"at_ms": _now_ms(), "progress": {"done": _number(done), "total": _number(total)}}))


@_harmless
def checkpoint(path: str | os.PathLike[str], step: float | None = None) -> None:
    """Say that the task can go on from what lies at `path`, a file or folder that is whole now and isn't changed any more."""
    if not os.path.exists(path):  # as an empty one doesn't, either
        raise ValueError(f"nothing is at {os.fspath(path)!r}: save first")
    said = {"path": os.path.abspath(os.fspath(path)), **({} if step is None else {"step": _number(step, is_step=True)})}
    _writer.write(_encode({"at_ms": _now_ms(), "checkpoint": said}))


def should_pause() -> bool:
    """Whether somebody wants the task to pause: save, call `checkpoint`, and end with PAUSED_EXIT_CODE. Cheap enough for every step."""
    path = os.environ.get(_PAUSE)
    return path is not None and os.path.exists(path)


def resume_from() -> str | None:
    """The file or folder of the checkpoint from which this attempt goes on; None: from the beginning."""
    return os.environ.get(_RESUME) or None


@_harmless
def note(text: str) -> None:
    """Say something that is shown among the job's events."""
    _writer.write(_encode({"at_ms": _now_ms(), "note": str(text)[:2000]}))


# --- datasets --------------------------------------------------------------------------------------------------------

_LIBRARIES = {"datasets": "datasets", "pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}
"""By the word for them, what has to be installed."""
_FORMATS = {
    "csv": "csv tsv tab",
    "json": "json jsonl ndjson jsonlines",
    "parquet": "parquet pq",
    "arrow": "arrow feather ipc",
}
_SUFFIXES = {suffix: kind for kind, suffixes in _FORMATS.items() for suffix in suffixes.split()}
_DATA_FILE = re.compile(rf"(?:.*/)?[^/]+\.({'|'.join(_SUFFIXES)})(?:\.(?:gz|gzip|bz2|xz|zst|zstd))?", re.IGNORECASE)
_NO_DATA = re.compile(r"(?:.*/)?(?:[._].*|state\.json|dataset_(?:info|dict|infos)\.json|package\.json|config\.json)")
_SPLIT = re.compile(r"(train|test|validation|valid|val|dev|eval)(?:[-_.0-9].*)?", re.IGNORECASE)
_JSON_BLOCK_BYTES = 16 << 20


def load_dataset(name: str | None = None, *, as_: str | None = None, split: str | None = None) -> Any:
    """A dataset that the task was given with `--dataset`, as a table of whichever library is installed.

    `name`: as in `--dataset NAME=…`, or what was typed there; None: the first one. Any other path or URL is loaded as well.
    `as_`: "datasets" (a Hugging Face Dataset), "pandas", "polars" or "arrow"; None: the first of these that is installed. `split`: one
    of its splits; None: all of it where it has none, or one; else a table for each in a dictionary.

    Raises LookupError for a dataset or split that isn't there, ImportError where no library for it is installed, ValueError
    for another `as_` and for files of no known format, and what the library raises that reads them.
    """
    if as_ is not None and as_ not in _LIBRARIES:
        raise ValueError(f"as_={as_!r} is none of {', '.join(_LIBRARIES)}")
    library = _installed(as_)
    place = _Place(_location(name))
    splits = place.splits()
    if split is not None and split not in splits:
        raise LookupError(f"{place.shown} has no split {split!r}: it has {', '.join(filter(None, splits)) or 'none'}")
    tables = {one: _table(library, place, files) for one, files in splits.items() if split in (None, one)}
    if len(tables) == 1:
        return next(iter(tables.values()))
    return _module("datasets").DatasetDict(tables) if library == "datasets" else tables


def _installed(wanted: str | None) -> str:
    words = list(_LIBRARIES) if wanted is None else [wanted]
    found = [one for one in words if importlib.util.find_spec(_LIBRARIES[one]) is not None]
    return found[0] if found else _lacking(" or ".join(_LIBRARIES[one] for one in words))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return _lacking(name.partition(".")[0])


def _lacking(package: str) -> NoReturn:
    raise ImportError(f"to load this dataset, install {package} in the environment of the task") from None


def _location(name: str | None) -> str:
    """Where a dataset lies, by its name."""
    given = json.loads(os.environ.get(_DATASETS) or "[]")
    for one in given:
        if name is None or name in (one["name"], one["where"], one["location"]):
            return str(one["location"])
    if name is not None and ("://" in name or os.path.exists(name)):
        return name
    names = ", ".join(one["name"] or one["where"].partition("?")[0] for one in given)
    has = f"this task has {names}" if names else "this task has none: submit it with --dataset [NAME=]PATH|URL"
    raise LookupError(f"there is no dataset {name!r}: {has}" if name is not None else f"which dataset? {has}")


class _Place:
    """A file or folder on this machine or at a URL."""

    def __init__(self, location: str) -> None:
        self.location, self.is_here = location, "://" not in location
        self.shown = re.split(r"[?#]", location, maxsplit=1)[0]
        self.options: dict[str, Any] = {}
        self._system: Any = None
        self._path = location.rstrip("/") or "/"
        if not self.is_here:
            if location.startswith("s3://") and _module("botocore.session").Session().get_credentials() is None:
                self.options = {"anon": True}
            self._system, self._path = _module("fsspec.core").url_to_fs(location, **self.options)

    def whole(self, name: str) -> str:
        """The path of a file of it; the place itself, where that is a file, has no name."""
        return f"{self._path.rstrip('/')}/{name}" if name else self._path

    def address(self, name: str) -> str:
        """The same, with the scheme of a URL."""
        return self.whole(name) if self.is_here else str(self._system.unstrip_protocol(self.whole(name)))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """A file of it, unpacked."""
        with (open if self.is_here else self._system.open)(self.whole(name), "rb") as stream:
            yield _unpacked(stream)

    def splits(self) -> dict[str, list[str]]:
        """Its files by their splits, under an empty name where there are none; a single file has an empty name."""
        is_folder = os.path.isdir(self._path) if self.is_here else self._system.isdir(self._path)
        if not is_folder:
            return {"": [""]}
        names = self._names()
        if "dataset_dict.json" in names:
            return {one: self._saved(f"{one}/") for one in self._json("dataset_dict.json")["splits"]}
        if "state.json" in names:
            return {"": self._saved("")}
        found: dict[str, list[str]] = {}
        for name in names:
            if _DATA_FILE.fullmatch(name) and not _NO_DATA.fullmatch(name) and "/." not in name and "/_" not in name:
                found.setdefault(_split_of(name), []).append(name)
        if not found:
            raise ValueError(f"{self.shown} is a folder without files that end with .csv, .jsonl, .parquet or the like")
        return found

    def _names(self) -> list[str]:
        if self.is_here:
            paths = [os.path.join(top, one) for top, _, files in os.walk(self._path) for one in files]
        else:
            paths = self._system.find(self._path)
        return sorted(path[len(self._path.rstrip("/")) + 1 :] for path in paths)

    def _json(self, name: str) -> Any:
        with self.open(name) as stream:
            return json.loads(stream.read())

    def _saved(self, folder: str) -> list[str]:
        return [folder + one["filename"] for one in self._json(f"{folder}state.json")["_data_files"]]


def _split_of(name: str) -> str:
    """As a worker's agent says it, too."""
    for part in reversed(name.split("/")):
        found = _SPLIT.fullmatch(part)
        if found is not None:
            word = found.group(1).lower()
            return {"valid": "validation", "val": "validation"}.get(word, word)
    return ""


def _unpacked(stream: Any) -> Any:
    """Its plain bytes, whatever it is compressed with."""
    head = stream.read(6)
    stream.seek(0)
    for magic, module in ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\xfd7zXZ", "lzma")):
        if head.startswith(magic):
            return _module(module).open(stream)
    if head[:4] == b"\x28\xb5\x2f\xfd":
        arrow = _module("pyarrow")
        return io.BytesIO(arrow.CompressedInputStream(arrow.PythonFile(stream, mode="r"), "zstd").read())
    return stream


def _kind(place: _Place, name: str) -> tuple[str, str]:
    """What a file is, and what stands between its values; of JSON, whether it has an object a line."""
    with place.open(name) as stream:
        head = stream.read(65536)
    if head[:4] == b"PAR1":
        return "parquet", ""
    if head[:6] == b"ARROW1" or head[:4] == b"\xff\xff\xff\xff":
        return "arrow", "file" if head[:6] == b"ARROW1" else "stream"
    text = head.decode("utf-8-sig", "replace").lstrip()
    named = _DATA_FILE.fullmatch(name or place.shown)
    suffix = named.group(1).lower() if named else ""
    kind = _SUFFIXES.get(suffix)
    if kind == "json" or (kind is None and text[:1] in ("{", "[")):
        is_lines = text[:1] != "[" and text.partition("\n")[0].rstrip().endswith("}")
        return "json", "lines" if is_lines or (text[:1] != "[" and kind == "json" and "\n" not in text) else "whole"
    if kind in ("csv", None):
        first = text.partition("\n")[0]
        return "csv", "\t" if suffix in ("tsv", "tab") else max(",;\t|", key=first.count)
    raise ValueError(f"{place.whole(name)} is no {kind} file, as it doesn't begin so")


def _table(library: str, place: _Place, files: list[str]) -> Any:
    if library == "datasets":
        return _hugging_face(place, files, *_kind(place, files[0]))
    read = {"pandas": _pandas, "polars": _polars, "arrow": _arrow}[library]
    tables = [read(place, name, *_kind(place, name)) for name in files]
    if len(tables) == 1:
        return tables[0]
    if library == "pandas":
        return _module("pandas").concat(tables, ignore_index=True)
    if library == "polars":
        return _module("polars").concat(tables, how="vertical_relaxed")
    return _module("pyarrow").concat_tables(tables, promote_options="permissive")


def _hugging_face(place: _Place, files: list[str], kind: str, how: str) -> Any:
    datasets = _module("datasets")
    if how == "stream" and place.is_here:
        tables = [datasets.Dataset.from_file(place.whole(name)) for name in files]  # mapped into memory, not read
        return tables[0] if len(tables) == 1 else datasets.concatenate_datasets(tables)
    if kind == "arrow" or how == "whole" or place.whole(files[0]).endswith((".zst", ".zstd")):
        return datasets.Dataset(_table("arrow", place, files))
    options = {"sep": how} if kind == "csv" else {}
    names = [place.location] if files == [""] else [place.address(name) for name in files]
    return datasets.load_dataset(
        kind, data_files=names, split="train", storage_options=place.options or None, **options
    )


def _pandas(place: _Place, name: str, kind: str, how: str) -> Any:
    pandas = _module("pandas")
    if kind == "arrow":
        return _arrow(place, name, kind, how).to_pandas()
    with place.open(name) as stream:
        if kind == "csv":
            return pandas.read_csv(stream, sep=how)
        if kind == "json":
            return pandas.DataFrame(_rows(stream, how))
        return pandas.read_parquet(stream)


def _rows(stream: Any, how: str) -> list[dict[str, Any]]:
    if how == "lines":
        return [json.loads(line) for line in stream if line.strip()]
    rows = json.loads(stream.read())
    return rows if isinstance(rows, list) else [rows]


def _polars(place: _Place, name: str, kind: str, how: str) -> Any:
    polars = _module("polars")
    with place.open(name) as stream:
        data = stream.read()
    if kind == "csv":
        return polars.read_csv(data, separator=how)
    if kind == "json":
        return polars.read_ndjson(data) if how == "lines" else polars.read_json(data)
    if kind == "parquet":
        return polars.read_parquet(data)
    return polars.read_ipc(data) if how == "file" else polars.read_ipc_stream(data)


def _arrow(place: _Place, name: str, kind: str, how: str) -> Any:
    arrow, formats = _module("pyarrow"), {"csv": "csv", "json": "json", "parquet": "parquet", "arrow": "ipc"}
    library = _module(f"pyarrow.{formats[kind]}")
    with place.open(name) as stream:
        if kind == "csv":
            parse = library.ParseOptions(delimiter=how, newlines_in_values=True)
            return library.read_csv(stream, parse_options=parse)
        if kind == "json" and how == "lines":
            return library.read_json(stream, read_options=library.ReadOptions(block_size=_JSON_BLOCK_BYTES))
        if kind == "json":
            return arrow.Table.from_pylist(_rows(stream, how))
        if kind == "parquet":
            return library.read_table(stream)
        return (library.open_file if how == "file" else library.open_stream)(stream).read_all()


def _numbers(name: Any, value: Any) -> list[float | str]:
    """The value of a metric, or nothing where it is no number or has no name that can be taken."""
    fault: Exception = ValueError("a metric has a name of up to 200 printable characters")
    if _NAME.fullmatch(str(name)) is not None:
        try:
            return [_number(value)]
        except Exception as error:  # noqa: BLE001 - a tensor raises what it likes
            fault = error
    shown = "".join(one if one.isprintable() else "?" for one in str(name)[:_SHOWN_CHARACTERS])
    _writer.complain(f"value {name}", f"{shown} is left out of what is reported: {_shown(fault)}")
    return []


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).splitlines())[:_SHOWN_CHARACTERS]}"


def _number(value: Any, *, is_step: bool = False) -> float | str:
    """A number as JSON may hold it. True and False are none, though Python counts with them; a step is finite."""
    if type(value).__name__ in ("bool", "bool_"):  # numpy's too
        raise TypeError("true or false is no number")
    number = value if type(value) in (int, float) else float(value)
    if number != number or number in (float("inf"), float("-inf")):
        if is_step:
            raise ValueError("step is no finite number")
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(float(number))]
    return number if abs(number) <= _WHOLE_MAX or type(number) is float else float(number)


_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


_CALLBACKS = ("KerasCallback", "LightningCallback", "TrainerCallback")


def __getattr__(name: str) -> Any:
    """The callbacks, which most trainings don't need, are loaded on first use (PEP 562)."""
    if name not in _CALLBACKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("opsconsole.callback"), name)


def _give_way() -> None:
    """Load the installed package of the same name in place of this one, if there is one."""
    import importlib.machinery

    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = [one for one in sys.path if os.path.abspath(one or os.curdir) != here]
    spec = importlib.machinery.PathFinder.find_spec(__name__, path)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[__name__] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules[__name__] = sys.modules.get(__name__, module)
        raise
    for name in __all__:
        if not hasattr(module, name):  # an older one
            setattr(module, name, globals()[name])


if __name__ == "opsconsole":
    _give_way()
