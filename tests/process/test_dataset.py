"""Datasets on a real worker, through a real coordinator."""

import json
import sys
from pathlib import Path

import pytest

from tests.agent.dataset.dataset_lab import parquet_bytes
from tests.object_store import environment_for, object_store
from tests.process.lab import Lab

pytestmark = pytest.mark.process


def test_datasets_of_a_worker(lab: Lab) -> None:
    data = lab.folder / "lab-data"
    data.mkdir()
    (data / "points.csv").write_text("x,y\n1,2\n3,\n")
    (data / "ragged.csv").write_text("x,y\n1,2\n3\n")
    (lab.folder / "outside.csv").write_text("x,y\n1,2\n")
    (data / "link.csv").symlink_to("../outside.csv")
    lab.serve()
    lab.agent("gpu-a", "--mount", f"lab={data}")
    found = json.loads(lab.run("dataset", "lab:points.csv", "--worker", "gpu-a", "--json").stdout)
    assert (found["worker"], found["description"]["rows"]) == ("gpu-a", 2)
    broken = lab.run("dataset", f"{data}/ragged.csv", "--worker", "gpu-a", code=1)
    assert f"{data}/ragged.csv, line 3: has 1 value where there are 2 columns" in broken.stderr
    assert "leads out of its folder" in lab.run("dataset", "lab:link.csv", "--worker", "gpu-a", code=1).stderr
    url = "http://ana:geheim@127.0.0.1:1/a.csv"
    away = lab.run("dataset", url, "--worker", "gpu-a", code=1).stderr
    assert "http://127.0.0.1:1/a.csv can't be reached" in away
    assert "geheim" not in away
    assert "arrow" not in Path(f"/proc/{lab.processes['gpu-a'].pid}/maps").read_text()


TRAIN = """
import opsconsole
train = opsconsole.load_dataset("train", as_="arrow")
test = opsconsole.load_dataset("test", as_="arrow")
extra = opsconsole.load_dataset("extra", as_="arrow")
print("rows", train.num_rows, test.num_rows, extra.num_rows)
opsconsole.report(step=1, loss=sum(train.column("x").to_pylist()))
"""


def test_datasets_of_a_job(lab: Lab) -> None:
    data = lab.folder / "lab-data"
    data.mkdir()
    (data / "good.jsonl").write_text('{"x": 1, "y": "a"}\n{"x": 2, "y": "b"}\n')
    (data / "bad.jsonl").write_text('{"x": 1}\n{"x": 2}\n{"x": 3\n{"x": 4}\n')
    (lab.folder / "extra.csv").write_text("x\n1\n2\n3\n")
    (lab.folder / "train.py").write_text(TRAIN)
    with object_store(
        lab.folder, {"digits/a.parquet": parquet_bytes(), "digits/ragged.csv": b"a,b\n1,2\n3\n"}
    ) as address:
        lab.serve()
        lab.agent("gpu-a", "--mount", f"lab={data}", environ=environment_for(address))
        broken = [
            lab.submit("--max-retries-failure", "3", "--dataset", where, "--env", f"RAN={lab.folder}/ran", "--",
                       "sh", "-c", "touch $RAN")
            for where in ("lab:bad.jsonl", "s3://lab/digits/ragged.csv")
        ]  # fmt: skip
        good = lab.submit(
            "--upload", "extra.csv", "--dataset", "train=lab:good.jsonl", "--dataset", "test=s3://lab/digits/a.parquet",
            "--dataset", "extra=extra.csv", "--", sys.executable, f"{lab.folder}/train.py",
        )  # fmt: skip
        lab.run("wait", good)
        lab.run("wait", *broken, code=1)
    said = [lab.rows("show", job)[0] for job in broken]
    assert [(one["tasks"][0]["cause"], len(one["tasks"][0]["attempts"])) for one in said] == [("broken_dataset", 1)] * 2
    words = [one["tasks"][0]["error"] for one in said]
    assert words[0].startswith("dataset lab:bad.jsonl, line 3: ")
    assert words[1].startswith("dataset s3://lab/digits/ragged.csv, line 3: has 1 value where there are 2 columns")
    assert not (lab.folder / "ran").exists()
    assert "rows 2 3 3" in lab.lines(good)
    shown = lab.run("show", good).stdout
    assert "train=lab:good.jsonl: JSON Lines, 2 rows, 2 columns, 38 B" in shown
    assert "test=s3://lab/digits/a.parquet: Parquet, 3 rows, 2 columns" in shown
    assert "extra=extra.csv: CSV, 3 rows, 1 column, 8 B" in shown
    assert lab.rows("show", good)[0]["metrics"] == {"loss": 3.0}
