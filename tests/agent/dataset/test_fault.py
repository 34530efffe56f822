"""Every fault is found, in which file and line it is, and said in words that help."""

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from opsconsole_agent.dataset.source import Refused
from opsconsole_protocol.dataset import BrokenDataset, DatasetFault
from tests.agent.dataset.dataset_lab import (
    COMPRESS,
    CSV,
    JSON_LINES,
    TABLE,
    arrow_bytes,
    described,
    parquet_bytes,
    saved,
    write,
)


def fault_of(path: Path) -> DatasetFault:
    """What is wrong with it."""
    with pytest.raises(BrokenDataset) as broken:
        described(path)
    return broken.value.fault


FAULTS: dict[str, tuple[str, bytes, int | None, str]] = {
    "ragged row, too short": ("a.csv", b"a,b\n1,2\n3\n", 3, "has 1 value where there are 2 columns"),
    "ragged row, too long": ("a.csv", b"a,b\n1,2,3\n", 2, "has 3 values where there are 2 columns"),
    "ragged row behind one of several lines": ("a.csv", b'a,b\n1,"2\n\n2"\n3\n', 5, "has 1 value"),
    "ragged row of several lines": ("a.csv", b'a,b\n1,2\n\n"3\n3"\n', 4, "has 1 value"),
    "ragged row of TSV": ("a.tsv", b"a\tb\n1\n", 2, "has 1 value"),
    "Latin-1": ("a.csv", b"a,b\n1,2\n3,caf\xe9\n", 3, "byte 0xE9 at place 6, which is not UTF-8"),
    "Latin-1 in JSON": ("a.jsonl", b'{"a":"x"}\n{"a":"\xe9"}\n', 2, "byte 0xE9"),
    "UTF-16": ("a.csv", "a,b\n1,2\n".encode("utf-16"), 1, "is UTF-16, not UTF-8"),
    "a NUL": ("a.csv", b"a,b\n1,\0\n", 2, "has a NUL at byte 3"),
    "a quotation mark that isn't closed": ("a.csv", b'a,b\n1,2\n3,"4\n5,6\n', 3, "never closed"),
    "a quotation mark within": ("a.csv", b'a,b\n1,"2"3\n', 2, "can't be read"),
    "carriage returns": ("a.csv", b"a,b\r1,2\r3,4\r", 1, "has a carriage return within a row"),
    "two columns of one name": ("a.csv", b"a,b,a\n1,2,3\n", 1, "two columns are called 'a'"),
    "only names": ("a.csv", b"a,b\n", None, "has columns and no rows"),
    "empty": ("a.csv", b"", None, "is empty"),
    "empty Parquet": ("a.parquet", b"", None, "is empty"),
    "white space": ("a.csv", b" \n\n", None, "is empty, but for white space"),
    "empty gz": ("a.csv.gz", COMPRESS["gz"](b""), None, "is empty, once it is unpacked"),
    "JSON line": ("a.jsonl", b'{"a":1}\n{"a":}\n{"a":2}\n', 2, "is no JSON, expecting value at place 6"),
    "JSON line cut off": ("a.jsonl", b'{"a":1}\n{"a":"t', 2, "the file ends within it"),
    "JSON line that is a list": ("a.jsonl", b'{"a":1}\n[1]\n', 2, "a row is an object, {…}, and this is a list"),
    "JSON types that change": ("a.jsonl", b'{"a":1}\n{"a":2}\n{"a":"x"}\n', 3, "'a' is string here, and int64 in a.jsonl, line 1"),
    "JSON list of two types": ("a.jsonl", b'{"a":[1,"x"]}\n', 1, "a list holds int64 and string"),
    "JSON with a key twice": ("a.jsonl", b'{"a":1}\n{"a":1,"a":2}\n', 2, "two values are called 'a'"),
    "JSON with a long number": ("a.jsonl", b'{"a":' + b"1" * 5_000 + b"}\n", 1, "too many digits"),
    "JSON that is deep": ("a.jsonl", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", 1, "nested too deeply"),
    "JSON list cut off": ("a.json", b'[\n{"a":1},\n{"a":2', 3, "is cut off: it ends within a value"),
    "JSON list not closed": ("a.json", b'[\n{"a":1}\n', 3, "is cut off: its list is not closed"),
    "JSON list with a broken value": ("a.json", b'[\n{"a":1},\n{"a" 2}\n]', 3, "is no JSON: expecting ':' delimiter"),
    "JSON list without commas": ("a.json", b'[{"a":1}\n{"a":2}]', 2, "a comma is missing"),
    "JSON list with more behind": ("a.json", b'[{"a":1}]\nx', 2, "something follows its list"),
    "JSON objects over several lines": ("a.json", b'{\n"a": 1\n}\n{\n"a": 2\n}', 4, "something follows its object"),
    "JSON that is one object, cut off": ("a.json", b'{\n"a": [1, 2]\n', 3, "is cut off"),
    "JSON that is an empty list": ("a.json", b"[]", None, "no rows"),
    "Parquet cut off": ("a.parquet", parquet_bytes()[:-20], None, "is cut off"),
    "Parquet of which the beginning is missing": ("a.parquet", parquet_bytes()[20:], None, "is no Parquet"),
    "Parquet, damaged": ("a.parquet", b"PAR1" + bytes(100) + parquet_bytes()[104:], None, "Parquet"),
    "Parquet in gz": ("a.parquet.gz", COMPRESS["gz"](parquet_bytes()), None, "compressed as a whole once more"),
    "Arrow cut off": ("a.feather", arrow_bytes()[:-20], None, "is cut off, or no Arrow"),
    "Arrow stream cut off in a batch": ("a.arrow", arrow_bytes(stream=True)[:-200], None, "is cut off"),
    "Arrow stream cut off between batches": ("a.arrow", arrow_bytes(stream=True)[:-8], None, "is cut off: it doesn't end"),
    "Arrow with a name twice": (
        "a.arrow", arrow_bytes(pa.Table.from_arrays([pa.array([1])] * 2, names=["a", "a"])), None, "two columns are called 'a'",
    ),
    "a Git LFS pointer": ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid", None, "git lfs pull"),
    "a web page": ("a.csv", b"<!DOCTYPE html><html>", None, "is a web page"),
    "a zip": ("a.csv", b"PK\x03\x04xxxx", None, "is a zip archive"),
    "something else": ("a.bin", bytes(range(256)) * 3, None, "is nothing that is known here"),
    "prose": ("a.txt", b"It was a dark, stormy night.\nAnd so on.\n", None, "is nothing that is known here"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_file(tmp_path: Path, case: str) -> None:
    name, data, line, reason = FAULTS[case]
    path = write(tmp_path, {name: data}) / name
    fault = fault_of(path)
    assert reason in fault.reason
    assert (fault.path, fault.line) == (str(path), line)
    assert "\n" not in fault.words


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "arrow"])
def test_a_compressed_file_that_is_cut_off_or_damaged(tmp_path: Path, suffix: str, compression: str) -> None:
    plain = {"csv": CSV * 5_000, "jsonl": JSON_LINES * 5_000, "arrow": arrow_bytes(stream=True)}[suffix]
    data = COMPRESS[compression](plain)
    name = f"a.{suffix}.{compression}"
    assert "is cut off" in fault_of(write(tmp_path, {name: data[: len(data) * 2 // 3]}) / name).reason
    broken = data[:30] + bytes(20) + data[50:]
    assert fault_of(write(tmp_path, {name: broken}) / name).reason


FOLDERS: dict[str, tuple[Mapping[str, bytes], str, int | None, str]] = {
    "two formats": ({"a.csv": CSV, "b.jsonl": JSON_LINES}, "b.jsonl", None, "is JSON Lines, and a.csv is CSV"),
    "other columns of CSV": (
        {"a.csv": CSV, "b.csv": b"x,z\n1,2\n"}, "b.csv", 1, "has no column 'y' in a.csv: mixed schemas",
    ),
    "another order of CSV": (
        {"a.csv": CSV, "b.csv": b"y,x\n1,2\n"}, "b.csv", 1, "has its columns in another order in a.csv: mixed schemas",
    ),
    "another type of JSON": (
        {"a.jsonl": b'{"x":1}\n', "b.jsonl": b'{"x":"1"}\n'}, "b.jsonl", 1, "'x' is string here, and int64 in a.jsonl, line 1",
    ),
    "another type of Parquet": (
        {"a.parquet": parquet_bytes(), "b.parquet": parquet_bytes(pa.table({"x": ["1"], "y": ["2"]}))},
        "b.parquet", None, "column 'x' is string here and int64 in a.parquet: mixed schemas",
    ),
    "one more column of Parquet": (
        {"a.parquet": parquet_bytes(), "b.parquet": parquet_bytes(TABLE.append_column("z", [[1, 2, 3]]))},
        "b.parquet", None, "has a column 'z' that isn't in a.parquet: mixed schemas",
    ),
    "a shard that is cut off": (
        {"a.parquet": parquet_bytes(), "b.parquet": parquet_bytes()[:-9]}, "b.parquet", None, "is cut off",
    ),
    "a shard that is empty": ({"a.csv": CSV, "b.csv": b""}, "b.csv", None, "is empty"),
    "nothing of ours": ({"README.md": b"x"}, "", None, "is a folder without files of a dataset"),
    "a saved file is missing": (
        {name: data for name, data in saved().items() if not name.endswith(".arrow")},
        "data-00000-of-00001.arrow", None, "is missing, though state.json names it",
    ),
    "a saved folder's state is cut off": ({**saved(), "state.json": b'{"_data'}, "state.json", None, "is no JSON"),
    "a saved folder's state names nothing": ({**saved(), "state.json": b"{}"}, "state.json", None, "names no files"),
    "a saved folder without its info": (
        {name: data for name, data in saved().items() if name != "dataset_info.json"},
        "dataset_info.json", None, "is missing: datasets can't load",
    ),
    "a split is missing": (
        {**saved(above="train/"), "dataset_dict.json": json.dumps({"splits": ["train", "test"]}).encode()},
        "test/state.json", None, "is missing, though dataset_dict.json names its folder",
    ),
    "a dictionary of nothing": ({"dataset_dict.json": b'{"splits": []}'}, "dataset_dict.json", None, "names no splits"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder(tmp_path: Path, case: str) -> None:
    files, name, line, reason = FOLDERS[case]
    fault = fault_of(write(tmp_path, files))
    assert reason in fault.reason
    assert (fault.path, fault.line) == (f"{tmp_path}/{name}".rstrip("/"), line)


def test_no_file_of_the_state_leads_out(tmp_path: Path) -> None:
    state = json.dumps({"_data_files": [{"filename": "../secret.arrow"}]}).encode()
    write(tmp_path, {"secret.arrow": arrow_bytes(stream=True)})
    assert "is missing" in fault_of(write(tmp_path / "d", {**saved(), "state.json": state})).reason


def test_what_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not there"):
        described(tmp_path / "gone.csv")
