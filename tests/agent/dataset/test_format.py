"""Every format is recognised, with and without its name, and described in the same words."""

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from opsconsole_protocol.dataset import DatasetColumn, DatasetFormat, DatasetSplit
from tests.agent.dataset.dataset_lab import (
    COMPRESS,
    CSV,
    JSON,
    JSON_LINES,
    TABLE,
    TSV,
    arrow_bytes,
    described,
    parquet_bytes,
    saved,
    write,
)

COLUMNS = (DatasetColumn("x", "int64", 1), DatasetColumn("y", "string", 1))
ROWS = (("1", "a"), ("", "b"), ("3", ""))
PLAIN = {"csv": CSV, "tsv": TSV, "json": JSON, "jsonl": JSON_LINES}
FORMATS = {"csv": "csv", "tsv": "tsv", "json": "json", "jsonl": "json_lines", "parquet": "parquet", "arrow": "arrow"}
FILES: dict[str, tuple[str, bytes]] = {
    **{f"a.{suffix}": (FORMATS[suffix], data) for suffix, data in PLAIN.items()},
    **{f"without-a-name-{suffix}": (FORMATS[suffix], data) for suffix, data in PLAIN.items()},
    "a.ndjson": ("json_lines", JSON_LINES),
    "lines.json": ("json_lines", JSON_LINES),
    "semicolons.csv": ("csv", CSV.replace(b",", b";")),
    "dos.csv": ("csv", CSV.replace(b"\n", b"\r\n")),
    "marked.csv": ("csv", b"\xef\xbb\xbf" + CSV),
    "no-last-line-end.csv": ("csv", CSV.replace(b"3,\n", b"3,")),
    "blank-lines.csv": ("csv", CSV.replace(b"\n", b"\n\n")),
    "a.parquet": ("parquet", parquet_bytes()),
    "parquet": ("parquet", parquet_bytes()),
    "a.feather": ("arrow", arrow_bytes()),
    "arrow": ("arrow", arrow_bytes()),
    "stream.arrow": ("arrow", arrow_bytes(stream=True)),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file(tmp_path: Path, name: str) -> None:
    kind, data = FILES[name]
    path = write(tmp_path, {name: data}) / name
    found = described(path)
    assert (found.format, found.rows, found.columns, found.first_rows) == (kind, 3, COLUMNS, ROWS)
    assert (found.size_bytes, found.files, found.splits, found.compression) == (len(data), 1, (), "")


@pytest.mark.parametrize("text", ['{"a": 1}', '{\n  "a": 1\n}\n', '[{"a": 1}]'])
def test_one_object_is_one_row_over_however_many_lines(tmp_path: Path, text: str) -> None:
    found = described(write(tmp_path, {"a.json": text.encode()}) / "a.json")
    assert (found.rows, found.columns) == (1, (DatasetColumn("a", "int64", 0),))


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("suffix", [*PLAIN, "arrow"])
def test_a_compressed_file(tmp_path: Path, suffix: str, compression: str) -> None:
    data = COMPRESS[compression](PLAIN.get(suffix) or arrow_bytes(stream=True))
    for name in (f"a.{suffix}.{compression}", f"a.{suffix}"):
        found = described(write(tmp_path, {name: data}) / name)
        assert (found.format, found.compression, found.rows) == (FORMATS[suffix], compression, 3)
        assert (found.columns, found.size_bytes) == (COLUMNS, len(data))


def test_a_folder_that_was_saved(tmp_path: Path) -> None:
    found = described(write(tmp_path, saved()))
    assert (found.format, found.rows, found.columns) == (DatasetFormat.HUGGING_FACE, 3, COLUMNS)
    assert (found.files, found.first_rows) == (1, ROWS)


def test_a_dictionary_that_was_saved(tmp_path: Path) -> None:
    files = saved(above="train/") | saved(TABLE.slice(0, 1), above="test/")
    splits = json.dumps({"splits": ["train", "test"]}).encode()
    found = described(write(tmp_path, {**files, "dataset_dict.json": splits}))
    assert (found.format, found.rows, found.columns) == (DatasetFormat.HUGGING_FACE_DICT, 4, COLUMNS)
    assert [(one.name, one.rows, one.files) for one in found.splits] == [("train", 3, 1), ("test", 1, 1)]


def test_shards_with_splits(tmp_path: Path) -> None:
    files = {
        "data/train-00000-of-00002.parquet": parquet_bytes(),
        "data/train-00001-of-00002.parquet": parquet_bytes(TABLE.slice(0, 2)),
        "valid/0.parquet": parquet_bytes(),
        "README.md": b"# Read me",
        ".gitattributes": b"*",
        "_SUCCESS": b"",
    }
    found = described(write(tmp_path, files))
    assert (found.format, found.rows, found.files, found.columns[0].nulls) == ("parquet", 8, 3, 3)
    assert [(one.name, one.rows, one.files) for one in found.splits] == [("train", 5, 2), ("validation", 3, 1)]
    assert found.note == "1 other file in the folder is left out"


@pytest.mark.parametrize(("suffix", "compression"), [("csv", ""), ("jsonl", ""), ("csv", "gz"), ("jsonl", "zst")])
def test_shards_of_text(tmp_path: Path, suffix: str, compression: str) -> None:
    pack = COMPRESS.get(compression, bytes)
    found = described(write(tmp_path, {f"{number}.{suffix}": pack(PLAIN[suffix]) for number in range(3)}))
    assert (found.format, found.rows, found.files, found.splits) == (FORMATS[suffix], 9, 3, ())
    assert found.columns == (DatasetColumn("x", "int64", 3), DatasetColumn("y", "string", 3))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "+3"], "int64"),
        (["1", "2.5", "1e9", "-.5"], "double"),
        (["1", "99999999999999999999"], "double"),
        (["9223372036854775808"], "double"),
        (["1", "x"], "string"),
        (["true", "False"], "bool"),
        (["true", "1"], "string"),
        (["2026-11-27", ""], "date32[day]"),
        (["2026-11-27", "2026-11-27T12:30:00Z"], "timestamp"),
        (["", "NA", "null"], "null"),
        (["1_000"], "string"),
        (["١"], "string"),
    ],
)
def test_types_of_text(tmp_path: Path, values: list[str], kind: str) -> None:
    text = "v,w\n" + "".join(f"{value},w\n" for value in values)
    found = described(write(tmp_path, {"a.csv": text.encode()}) / "a.csv")
    assert found.columns[0].type == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("1 2.5", "double"),
        ("null 1", "int64"),
        ("true", "bool"),
        ("[1] [] [2.5] null", "list<double>"),
        ("[[1],[]] [[2]]", "list<list<int64>>"),
        ('{"a":1} {"b":2}', "struct"),
        ('"a"', "string"),
        ("99999999999999999999", "double"),
    ],
)
def test_types_of_json(tmp_path: Path, values: str, kind: str) -> None:
    text = "".join(f'{{"v":{value}}}\n' for value in values.split())
    found = described(write(tmp_path, {"a.jsonl": text.encode()}) / "a.jsonl")
    assert [(one.name, one.type) for one in found.columns] == [("v", kind)]


def test_odd_values_of_arrow(tmp_path: Path) -> None:
    table = pa.table(
        {
            "binary": [b"\xff\xfe", None],
            "nested": [{"a": [1, 2]}, None],
            "long": ["z" * 500, ""],
        }
    )
    found = described(write(tmp_path, {"a.parquet": parquet_bytes(table)}) / "a.parquet")
    assert found.first_rows[0][:2] == ("<2 bytes>", "{a: [1, 2]}")
    assert len(found.first_rows[0][2]) == 80
    far = pa.table({"far": pa.array([2**62, 1], pa.timestamp("s"))})
    assert described(write(tmp_path, {"a.arrow": arrow_bytes(far)}) / "a.arrow").rows == 2  # Python has no such time
    assert [one.nulls for one in found.columns] == [1, None, 0]  # the footer counts below a nested column


def test_names_that_are_no_text_can_be_told(tmp_path: Path) -> None:
    found = described(write(tmp_path, {"a.jsonl": b'{"\\ud800": "\\udfff"}\n'}) / "a.jsonl")
    assert (found.columns[0].name, found.first_rows) == ("?", (("?",),))


def test_more_columns_than_are_told(tmp_path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(3_000))
    found = described(write(tmp_path, {"a.csv": f"{names}\n{names}\n".encode()}) / "a.csv")
    assert (found.columns_total, len(found.columns), len(found.first_rows[0])) == (3_000, 1_000, 64)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.arrow"])
def test_what_there_is_no_time_for_is_not_counted(tmp_path: Path, name: str) -> None:
    many = 5_000
    files: Mapping[str, bytes] = {
        "a.csv": b"x,y\n" + b"1,a\n" * many,
        "a.jsonl": b'{"x":1,"y":"a"}\n' * many,
        "a.json": b"[" + b",\n".join([b'{"x":1,"y":"a"}'] * many) + b"]",
        "a.arrow": arrow_bytes(pa.table({"x": [1] * 9, "y": ["a"] * 9}), stream=True),
    }
    path = write(tmp_path, {name: files[name]}) / name
    found = described(path, budget_s=0.0)
    assert (found.rows, [one.nulls for one in found.columns]) == (None, [None, None])
    assert "too large to be read to its end" in found.note
    assert found.first_rows[0] == ("1", "a")


def test_shards_that_there_is_no_time_for(tmp_path: Path) -> None:
    found = described(write(tmp_path, {f"{number}.parquet": parquet_bytes() for number in range(3)}), budget_s=0.0)
    assert (found.rows, found.files, found.splits) == (None, 3, ())
    assert found.note == "2 of 3 files were not looked at, for time"


def test_a_split_of_no_name_beside_others(tmp_path: Path) -> None:
    found = described(write(tmp_path, {"more.csv": CSV, "train.csv": CSV}))
    assert found.splits == (DatasetSplit("", 3, len(CSV), 1), DatasetSplit("train", 3, len(CSV), 1))
