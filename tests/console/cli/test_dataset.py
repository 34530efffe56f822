"""`opsconsole dataset`: what it prints, of datasets here and on a worker."""

import json
from pathlib import Path

import pytest

from opsconsole_protocol import api
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run
from tests.protocol import sample


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.csv").write_text("x,name\n1,a\n,b\n")
    (tmp_path / "d" / "test.csv").write_text("x,name\n3,c\n")
    (tmp_path / "ragged.csv").write_text("a,b\n1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dataset_here(run: Run, here: Path) -> None:
    ran = run("dataset", "d")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "CSV: 3 rows, 2 columns, 2 files, 25 B\n\n"
        "SPLIT  ROWS  FILES  SIZE\ntest   1     1      11 B\ntrain  2     1      14 B\n\n"
        "COLUMN  TYPE    NULLS\nx       int64   1\nname    string  0\n\n"
        "x  name\n3  c\n1  a\n   b\n"
    )


def test_as_an_object(run: Run, here: Path) -> None:
    found = json.loads(run("dataset", "d", "--json").out)
    assert (found["worker"], found["fault"], found["description"]["rows"]) == (None, None, 3)
    assert found["description"]["columns"][0] == {"name": "x", "type": "int64", "nulls": 1}
    ran = run("dataset", "ragged.csv", "--json")
    fault = json.loads(ran.out)["fault"]
    assert (ran.code, fault) == (
        1, {"reason": "has 1 value where there are 2 columns", "path": f"{here}/ragged.csv", "line": 2},
    )  # fmt: skip


def test_a_broken_one(run: Run, here: Path) -> None:
    ran = run("dataset", "ragged.csv")
    said = f"opsconsole: {here}/ragged.csv, line 2: has 1 value where there are 2 columns\n"
    assert (ran.code, ran.out, ran.err) == (1, "", said)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("gone.csv",), 1, "gone.csv is not there"),
        (("ftp://h/a",), 2, "http://, https://, s3://, hf:// are"),
        (("a.csv", "--connect", "wss://lab"), 2, "without --worker the dataset is looked at here"),
        (("a.csv", "--worker", "gpu-z"), 1, "there is no worker 'gpu-z'"),
        ((), 2, "PATH|URL"),
    ],
)
def test_what_cant_be_looked_at(
    run: Run, server: FakeServer, here: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    ran = run("dataset", *words)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err.splitlines()[-1]


def test_one_on_a_worker(run: Run, server: FakeServer) -> None:
    mounts = [{"label": "lab", "path": "/mnt/lab"}]
    server.add_worker("gpu-a", properties={"io_paths": {"input": "/mnt/in"}, "mounts": mounts})
    server.answers[api.DescribeDataset] = lambda *_: api.DatasetAnswer(description=sample.DATASET, worker="gpu-a")
    ran = run("dataset", "lab:digits", "--worker", "gpu-a")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[:2] == ["CSV in gz: 3 rows, 2 columns, 2 files, 20 B", "note: n"]
    asked = [one for one in server.asked if isinstance(one, api.DescribeDataset)][-1]
    assert asked.query.root is not None
    assert (asked.query.root.mount, asked.query.path, asked.query.url) == ("lab", b"digits", "")
    run("dataset", "s3://b/c", "--worker", "gpu-a", "--json")
    asked = [one for one in server.asked if isinstance(one, api.DescribeDataset)][-1]
    assert (asked.query.root, asked.query.url) == (None, "s3://b/c")
    server.answers[api.DescribeDataset] = lambda *_: api.DatasetAnswer(fault=sample.DATASET_FAULT, worker="gpu-a")
    ran = run("dataset", "lab:digits", "--worker", "gpu-a")
    assert (ran.code, ran.err) == (1, "opsconsole: /lab/a.csv, line 3: has 1 value where there are 2 columns\n")
