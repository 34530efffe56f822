"""`opsconsole.load_dataset()`: what a task was given, as a table of whichever library there is."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from opsconsole import load_dataset
from opsconsole import task as sdk
from opsconsole_agent.dataset import folder as agent_folder
from opsconsole_agent.dataset.recognition import has_known_name
from tests.agent.dataset.dataset_lab import (
    COMPRESS,
    CSV,
    JSON,
    JSON_LINES,
    TABLE,
    TSV,
    arrow_bytes,
    parquet_bytes,
    saved,
    write,
)

ROWS = [{"x": 1, "y": "a"}, {"x": None, "y": "b"}, {"x": 3, "y": None}]
FILES = {
    "a.csv": CSV, "a.tsv": TSV, "a.json": JSON, "a.jsonl": JSON_LINES, "a.parquet": parquet_bytes(), "a.arrow": arrow_bytes(),
    "s.arrow": arrow_bytes(stream=True), "nameless": JSON_LINES, "semicolon.csv": CSV.replace(b",", b";"),
    **{f"a.csv.{kind}": pack(CSV) for kind, pack in COMPRESS.items()},
}  # fmt: skip
LIBRARIES = [
    pytest.param(one, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed"))
    for one, package in (("arrow", "pyarrow"), ("pandas", "pandas"), ("polars", "polars"), ("datasets", "datasets"))
]


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of a table of any library, none of its nulls told apart."""
    if hasattr(table, "to_pylist"):
        rows = table.to_pylist()
    elif hasattr(table, "to_dicts"):
        rows = table.to_dicts()
    elif hasattr(table, "to_list"):
        rows = table.to_list()
    else:
        rows = json.loads(table.to_json(orient="records"))
    return [{name: None if value in {"", None} else value for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", FILES)
def test_a_file(tmp_path: Path, library: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    write(tmp_path, {name: FILES[name]})
    assert rows_of(load_dataset(str(tmp_path / name), as_=library)) == ROWS


@pytest.mark.parametrize("library", LIBRARIES)
def test_folders_and_their_splits(tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    files = {
        "p/0.parquet": parquet_bytes(),
        "p/1.parquet": parquet_bytes(),
        "p/readme.md": b"#",
        "p/_tmp/2.parquet": b"",
    }
    files |= {"d/train-0.csv": CSV, "d/train-1.csv": CSV, "d/test/0.csv": CSV, **saved(above="one/")}
    files |= {"two/dataset_dict.json": b'{"splits": ["train", "test"]}', **saved(above="two/train/")}
    files |= saved(TABLE.slice(1), above="two/test/")
    write(tmp_path, files)

    def load(name: str, split: str | None = None) -> Any:
        return load_dataset(str(tmp_path / name), as_=library, split=split)

    assert rows_of(load("p")) == ROWS * 2
    assert (rows_of(load("one")), rows_of(load("two", "test"))) == (ROWS, ROWS[1:])
    assert {name: rows_of(table) for name, table in load("d").items()} == {"train": ROWS * 2, "test": ROWS}
    assert {name: rows_of(table) for name, table in load("two").items()} == {"train": ROWS, "test": ROWS[1:]}
    with pytest.raises(LookupError, match=r"two has no split 'dev': it has train, test$"):
        load("two", "dev")


def test_what_a_task_was_given_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.csv": CSV, "b.jsonl": JSON_LINES.splitlines()[0]})
    told = [
        {"name": "train", "where": "lab:a.csv", "location": str(tmp_path / "a.csv"), "format": "csv"},
        {"name": "", "where": "lab:b.jsonl", "location": str(tmp_path / "b.jsonl"), "format": "json_lines"},
    ]
    monkeypatch.setenv("OPSCONSOLE_DATASETS", json.dumps(told))
    lengths = [load_dataset(name, as_="arrow").num_rows for name in (None, "train", "lab:b.jsonl", told[1]["location"])]
    assert lengths == [3, 3, 1, 1]
    with pytest.raises(LookupError, match=r"there is no dataset 'test': this task has train, lab:b\.jsonl"):
        load_dataset("test")
    monkeypatch.delenv("OPSCONSOLE_DATASETS")
    with pytest.raises(LookupError, match="this task has none: submit it with --dataset"):
        load_dataset()


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.csv": CSV, "no/readme.md": b"#"})
    with pytest.raises(ValueError, match="as_='numpy' is none of datasets, pandas, polars, arrow"):
        load_dataset(str(tmp_path / "a.csv"), as_="numpy")
    with pytest.raises(ValueError, match=r"is a folder without files that end with \.csv"):
        load_dataset(str(tmp_path / "no"), as_="arrow")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        ImportError, match="install datasets or pandas or polars or pyarrow in the environment of the task"
    ):
        load_dataset(str(tmp_path / "a.csv"))
    with pytest.raises(ImportError, match="install pyarrow in"):
        load_dataset(str(tmp_path / "a.csv"), as_="arrow")


NAMES = (
    "train.csv", "train-00000-of-00002.parquet", "validation/0.jsonl", "val.json", "trainer.csv", "Test/x.CSV.GZ", "x/dev/y.pq",
    "readme.md", "a.b", "a.jsonl.zst", "a.tar.gz", "eval_1.feather",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_task_and_its_agent_agree_about_names(name: str) -> None:
    assert sdk._split_of(name) == agent_folder._split_of(name)
    assert bool(sdk._DATA_FILE.fullmatch(name)) == has_known_name(name)


def test_a_table_is_what_it_says() -> None:
    assert pa.Table.from_pylist(ROWS).equals(TABLE)
