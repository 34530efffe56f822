"""The step that looks at a job's datasets before anything else of it runs, and refuses those that are broken."""

import asyncio
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from opsconsole_agent.engine.build import Build, StagedDataset, in_thread
from opsconsole_agent.engine.engine import StepProgress
from opsconsole_agent.probe.file_look import FilePlace
from opsconsole_agent.probe.io_path import WorkerIOConfig, find_input_folder
from opsconsole_protocol.bound import cut
from opsconsole_protocol.dataset import (
    BrokenDataset,
    DatasetDescription,
    DatasetFault,
    FoundDataset,
    JobDataset,
    found_dataset,
    is_url,
)
from opsconsole_protocol.error import OpsconsoleError, from_code
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import Launch

_KEPT_MAX = 200
"""Descriptions: the tasks of one job needn't look at its datasets one after the other."""


class DatasetLook(Protocol):
    """What looks at them; see `dataset/describer.py`."""

    def describe_at(self, place: FilePlace, path: bytes) -> DatasetDescription:
        """What is at a path below `place`. Raises BrokenDataset, OpsconsoleError; blocks."""

    def describe_url(self, url: str, environment: dict[str, str]) -> DatasetDescription:
        """What is at a URL, as a task with this environment reaches it. Raises BrokenDataset, OpsconsoleError; blocks."""


class _Spot(NamedTuple):
    """Where a dataset lies: below a folder out of which nothing leads. A URL has none."""

    place: FilePlace
    below: str

    @property
    def path(self) -> str:
        return f"{self.place.path.rstrip('/')}/{self.below}"


class Datasets:
    """Has every dataset of a launch looked at, one at a time for the whole worker: it may take much memory."""

    name = "datasets"

    def __init__(self, look: DatasetLook, io: WorkerIOConfig) -> None:
        self._look = look
        self._io = io
        self._slot = asyncio.Lock()
        self._known: dict[tuple[JobId, JobDataset, str], FoundDataset] = {}

    def is_quick(self, launch: Launch) -> bool:
        """Without datasets."""
        return not launch.datasets

    async def run(self, build: Build) -> None:
        """Look at them; raises BrokenDataset, OpsconsoleError or OSError."""
        launch = build.launch
        staged: list[StagedDataset] = []
        for dataset in launch.datasets:
            build.progress = StepProgress(f"{self.name}: {dataset.shown}", len(staged), len(launch.datasets))
            spot = None if is_url(dataset.where) else self._spot(build, dataset)
            location = dataset.where if spot is None else spot.path
            async with self._slot:
                key = (launch.job_id, dataset, location)
                found = self._known.get(key)
                if found is None:
                    found = await in_thread(self._describe, dataset, spot, launch.environment)
                    self._keep(key, found)
            if build.log is not None:
                build.log.say(f"dataset {dataset.words}: {found.words}")
            staged.append(StagedDataset(dataset, location, found))
        build.datasets = tuple(staged)

    def _spot(self, build: Build, dataset: JobDataset) -> _Spot:
        """Where it lies: an upload of this name comes before a file of the worker. Raises InputRefused."""
        upload = build.uploads.get(dataset.where)
        if upload is not None:
            return _Spot(FilePlace(str(Path(upload).parent)), Path(upload).name)
        folder, below = find_input_folder(self._io, dataset.where)
        return _Spot(FilePlace(folder), below)

    def _describe(self, dataset: JobDataset, spot: _Spot | None, environment: dict[str, str]) -> FoundDataset:
        try:
            if spot is None:
                description = self._look.describe_url(dataset.where, environment)
            else:
                description = self._look.describe_at(spot.place, spot.below.encode("utf-8", "surrogateescape"))
        except BrokenDataset as broken:
            raise BrokenDataset(_named(dataset, spot, broken.fault)) from None
        except OpsconsoleError as error:
            words = dataset.words if spot is not None else dataset.name  # what is wrong with a URL names it itself
            raise from_code(error.code, cut(f"{f'dataset {words}'.rstrip()}: {error.message}")) from None
        return found_dataset(dataset, description)

    def _keep(self, key: tuple[JobId, JobDataset, str], found: FoundDataset) -> None:
        self._known[key] = found
        if len(self._known) > _KEPT_MAX:
            del self._known[next(iter(self._known))]


def _named(dataset: JobDataset, spot: _Spot | None, fault: DatasetFault) -> DatasetFault:
    """The fault with the path as the submitter named it."""
    path = fault.path
    if spot is not None and path.startswith(spot.path):
        path = dataset.where + path[len(spot.path) :]
    return msgspec.structs.replace(fault, path=cut(f"dataset {path}"))
