"""Which folder of a worker is meant by the root of a path."""

from pathlib import Path

import pytest

from opsconsole_agent.probe.file_look import FilePlace
from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state.file_place import FilePlaces
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.mount import Mount
from opsconsole_protocol.stream.message import FileRoot, RootKind

JOB, ATTEMPT = "7k3m9q2w4t", "7k3m9q2w4t.3.1.ab12"


@pytest.fixture
def places(tmp_path: Path) -> FilePlaces:
    mounts = (Mount(label="lab", path="/mnt/lab", writable=True),)
    return FilePlaces(StateFolder(tmp_path), WorkerIOConfig(Path("/in"), Path("/out"), mounts=mounts))


def output(path: str = "", job_id: str = JOB) -> FileRoot:
    return FileRoot(kind=RootKind.OUTPUT, job_id=job_id, attempt_id=ATTEMPT, output_path=path)


def test_mounts(places: FilePlaces) -> None:
    found = {label: places.find(FileRoot(kind=RootKind.MOUNT, mount=label)) for label in ("input", "output", "lab")}
    assert found == {
        "input": FilePlace("/in", writable=True),
        "output": FilePlace("/out"),
        "lab": FilePlace("/mnt/lab", writable=True),
    }
    with pytest.raises(NotFound, match="this worker has no mount 'lbb'; it has input, output, lab"):
        places.find(FileRoot(kind=RootKind.MOUNT, mount="lbb"))


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("", ""),
        (f"/out/jobs/{JOB}", ""),
        (f"/out/jobs/{JOB}/task-3", "task-3"),
        (f"/out/jobs/{JOB}/task-3/attempts/3.1.ab12", "task-3/attempts/3.1.ab12"),
    ],
)
def test_outputs(places: FilePlaces, path: str, start: str) -> None:
    assert places.find(output(path)) == FilePlace("/out", ("jobs", JOB), start)


def test_outputs_that_the_worker_keeps_itself(places: FilePlaces, tmp_path: Path) -> None:
    path = f"{tmp_path}/outputs/jobs/{JOB}/task-3"
    assert places.find(output(path)) == FilePlace(f"{tmp_path}/outputs", ("jobs", JOB), "task-3")
    without = FilePlaces(StateFolder(tmp_path), WorkerIOConfig())
    assert without.find(output(path)) == FilePlace(f"{tmp_path}/outputs", ("jobs", JOB), "task-3")
    assert without.find(output()).base == f"{tmp_path}/outputs"


@pytest.mark.parametrize(
    "path",
    [
        "/etc", "/out/jobs", "/out/jobs/other", f"/out/jobs/{JOB}2", f"/out/jobs/{JOB}/../other", f"/was/jobs/{JOB}",
        f"/out/jobs/{JOB}/task-1/../../../etc",
    ],
)  # fmt: skip
def test_outputs_that_are_elsewhere(places: FilePlaces, path: str) -> None:
    with pytest.raises(Conflict, match="is not below this worker's output path, /out: it was changed since"):
        places.find(output(path))


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "../x", "a\0"])
def test_ids_that_name_no_folder(places: FilePlaces, job_id: str) -> None:
    for kind in (RootKind.OUTPUT, RootKind.WORK, RootKind.INPUT):
        with pytest.raises(InvalidRequest):
            places.find(FileRoot(kind=kind, job_id=job_id, attempt_id=ATTEMPT))
    with pytest.raises(InvalidRequest):
        places.find(FileRoot(kind=RootKind.WORK, job_id=JOB, attempt_id=job_id))


def test_the_working_folder_and_the_inputs_are_an_attempts_own(places: FilePlaces, tmp_path: Path) -> None:
    work = places.find(FileRoot(kind=RootKind.WORK, job_id=JOB, attempt_id=ATTEMPT))
    assert work == FilePlace(f"{tmp_path}/attempts", (ATTEMPT, "work"))
    inputs = places.find(FileRoot(kind=RootKind.INPUT, job_id=JOB, attempt_id=ATTEMPT))
    assert inputs == FilePlace(f"{tmp_path}/attempts", (ATTEMPT, "inputs"), also=f"{tmp_path}/content")
