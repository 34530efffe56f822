"""The step that looks at a job's datasets before its start."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from opsconsole_agent.engine.build import Build
from opsconsole_agent.engine.dataset_step import Datasets
from opsconsole_agent.engine.environment import Place, base_environment, task_environment
from opsconsole_agent.probe.file_look import FilePlace
from opsconsole_agent.probe.io_path import InputRefused, WorkerIOConfig
from opsconsole_protocol.dataset import BrokenDataset, DatasetDescription, DatasetFault, DatasetFormat, JobDataset
from opsconsole_protocol.error import NotFound
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.mount import Mount
from tests.agent.core.script import make_launch

ATTEMPT = AttemptId("j0b0000000.0.0.aaaa")
CSV = DatasetDescription(format=DatasetFormat.CSV, rows=3, columns_total=2, size_bytes=20, files=1)
IO = WorkerIOConfig(mounts=(Mount(label="lab", path="/mnt/lab", aliases=("/Volumes/lab",)),))


class Look:
    """Notes what is looked at; `answer` says what is there, or raises."""

    def __init__(self, answer: Callable[[], DatasetDescription] = lambda: CSV) -> None:
        self.asked: list[Any] = []
        self._answer = answer

    def describe_at(self, place: FilePlace, path: bytes) -> DatasetDescription:
        self.asked.append((place.path, path))
        return self._answer()

    def describe_url(self, url: str, environment: Mapping[str, str] | None = None) -> DatasetDescription:
        self.asked.append((url, environment))
        return self._answer()


def run(step: Datasets, *datasets: JobDataset, uploads: Mapping[str, str] | None = None, **launch: Any) -> Build:
    """Take the step once."""
    build = Build(ATTEMPT, make_launch(datasets=datasets, **launch), uploads=uploads or {})
    asyncio.run(step.run(build))
    return build


def test_where_each_lies_and_what_its_task_is_told() -> None:
    look = Look()
    datasets = (JobDataset("/Volumes/lab/a.csv", "train"), JobDataset("mine.csv", "mine"), JobDataset("s3://lab/x?y=1"))
    build = run(
        Datasets(look, IO), *datasets, uploads={"mine.csv": "/trees/1/mine.csv"}, environment={"AWS_PROFILE": "lab"}
    )
    assert look.asked == [
        ("/mnt/lab", b"a.csv"), ("/trees/1", b"mine.csv"), ("s3://lab/x?y=1", {"AWS_PROFILE": "lab"})
    ]  # fmt: skip
    place = Place(WorkerId("worker-1"), "wss://host:7373", datasets=build.datasets)
    told = task_environment(base_environment({}), ATTEMPT, build.launch, place)
    assert told["OPSCONSOLE_DATASET"] == told["OPSCONSOLE_DATASET_TRAIN"] == "/mnt/lab/a.csv"
    assert told["OPSCONSOLE_DATASET_MINE"] == "/trees/1/mine.csv"
    assert json.loads(told["OPSCONSOLE_DATASETS"])[2] == {
        "name": "", "where": "s3://lab/x?y=1", "location": "s3://lab/x?y=1", "format": "csv"
    }  # fmt: skip
    assert [one.found.where for one in build.datasets] == ["/Volumes/lab/a.csv", "mine.csv", "s3://lab/x"]


def test_the_tasks_of_a_job_look_once() -> None:
    look = Look()
    step = Datasets(look, IO)
    for index in range(3):
        assert run(step, JobDataset("lab:a.csv"), task_index=index).datasets[0].found.rows == 3
    assert look.asked == [("/mnt/lab", b"a.csv")]


def test_a_fault_is_told_by_the_name_that_was_typed() -> None:
    def broken() -> DatasetDescription:
        raise BrokenDataset(DatasetFault("has 1 value", "/mnt/lab/digits/train/0.csv", 3))

    with pytest.raises(BrokenDataset, match=r"^dataset lab:digits/train/0\.csv, line 3: has 1 value$"):
        run(Datasets(Look(broken), IO), JobDataset("lab:digits", "d"))


def test_what_cannot_be_looked_at_keeps_its_kind() -> None:
    def gone() -> DatasetDescription:
        raise NotFound("s3://lab/x is not there")

    with pytest.raises(NotFound, match=r"^dataset d: s3://lab/x is not there$"):
        run(Datasets(Look(gone), IO), JobDataset("s3://lab/x?signature=geheim", "d"))
    with pytest.raises(InputRefused, match="no mount"):
        run(Datasets(Look(), IO), JobDataset("nas:a/b.csv"))


def test_without_datasets_nothing_waits(tmp_path: Path) -> None:
    step = Datasets(Look(), WorkerIOConfig(input_path=tmp_path))
    assert step.is_quick(make_launch())
    assert not step.is_quick(make_launch(datasets=(JobDataset("a.csv"),)))
    assert run(step).datasets == ()
