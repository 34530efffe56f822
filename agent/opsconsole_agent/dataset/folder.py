"""What a folder is: one that `save_to_disk` has written, or shards; and which files belong to which split."""

import json
import re
from typing import Any, NamedTuple

from opsconsole_agent.dataset.fault import Broken, shown
from opsconsole_agent.dataset.limit import SIDE_FILE_BYTES_MAX
from opsconsole_agent.dataset.recognition import has_known_name
from opsconsole_agent.dataset.source import Found, Source
from opsconsole_protocol.dataset import DatasetFormat

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_SIDE_FILES = {STATE, INFO, SPLITS, "dataset_infos.json", "package.json", "config.json"}
_SPLIT = re.compile(r"(train|test|validation|valid|val|dev|eval)(?:[-_.0-9].*)?", re.IGNORECASE)
_SAME = {"valid": "validation", "val": "validation"}


class Layout(NamedTuple):
    """What is to be read. `format`: of the folder as a whole, where it isn't that of its files."""

    format: DatasetFormat | None
    splits: dict[str, list[Source]]
    """The files of each; under an empty name where there are none."""
    note: str = ""


def layout_of(found: Found) -> Layout:
    """Raises Broken where a file is missing or nothing is there; OSError."""
    files = {source.name: source for source in found.sources}
    if SPLITS in files:
        return _dictionary(files)
    if STATE in files:
        return Layout(DatasetFormat.HUGGING_FACE, {"": _saved(files, "")})
    return _shards(found)


def _dictionary(files: dict[str, Source]) -> Layout:
    names = _object(files[SPLITS], SPLITS).get("splits")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Broken("names no splits", path=SPLITS)
    return Layout(DatasetFormat.HUGGING_FACE_DICT, {name: _saved(files, f"{name}/") for name in names})


def _saved(files: dict[str, Source], folder: str) -> list[Source]:
    """The files that a folder's state.json names."""
    state = f"{folder}{STATE}"
    if state not in files:
        raise Broken(f"is missing, though {SPLITS} names its folder", path=state)
    named = _object(files[state], state).get("_data_files")
    if not isinstance(named, list):
        raise Broken("names no files", path=state)
    found = []
    for one in named:
        name = one.get("filename") if isinstance(one, dict) else None
        if not isinstance(name, str) or f"{folder}{name}" not in files:
            raise Broken(f"is missing, though {state} names it", path=f"{folder}{shown(name, 200)}")
        found.append(files[f"{folder}{name}"])
    if f"{folder}{INFO}" not in files:
        raise Broken("is missing: datasets can't load the folder without it", path=f"{folder}{INFO}")
    return found


def _object(source: Source, name: str) -> dict[str, Any]:
    with source.open_stream() as stream:
        text = stream.read(SIDE_FILE_BYTES_MAX)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Broken("is no JSON, it may be cut off", path=name) from None
    if not isinstance(value, dict):
        raise Broken("is not what datasets.save_to_disk writes", path=name)
    return value


def _shards(found: Found) -> Layout:
    seen = [one for one in found.sources if not any(part[:1] in {".", "_"} for part in one.name.split("/"))]
    data = [one for one in seen if has_known_name(one.name) and one.name.rpartition("/")[2] not in _SIDE_FILES]
    if not data:
        raise Broken(
            "is a folder without files of a dataset: nothing in it ends with .csv, .jsonl, .parquet or the like"
        )
    splits: dict[str, list[Source]] = {}
    for source in data:
        splits.setdefault(_split_of(source.name), []).append(source)
    others = len(seen) - len(data)
    notes = [
        f"{others:,} other file{'s' * (others > 1)} in the folder {'are' if others > 1 else 'is'} left out"
    ] * bool(others)
    if found.is_cut:
        notes.append(f"the folder is too large to be listed: only {len(found.sources):,} of its files are known")
    return Layout(None, splits, "; ".join(notes))


def _split_of(name: str) -> str:
    """The split that a file's name, or that of a folder above it, begins with."""
    for part in reversed(name.split("/")):
        found = _SPLIT.fullmatch(part)
        if found is not None:
            word = found[1].lower()
            return _SAME.get(word, word)
    return ""
