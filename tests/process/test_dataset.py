"""Datasets on a real worker, through a real coordinator."""

import json
from pathlib import Path

import pytest

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
