"""Files on real workers, looked at through a real coordinator."""

import os
from pathlib import Path

import pytest

from opsconsole_protocol import api
from opsconsole_protocol.error import Conflict, InvalidRequest, OpsconsoleError, Unavailable
from opsconsole_protocol.file_listing import FileEntry, FileKind, FileQuery, FileSort, PartQuery
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.process.lab import Lab

pytestmark = pytest.mark.process
LAB_MOUNT = FileRoot(kind=RootKind.MOUNT, mount="lab")


def entries(lab: Lab, root: FileRoot, worker: str = "", **query: object) -> tuple[FileEntry, ...]:
    """What is in a folder."""
    request = api.ListFiles(worker=worker, query=FileQuery(root=root, **query))  # type: ignore[arg-type]
    answer = lab.ask(lambda client: client.run(client.client.request(request)))
    assert isinstance(answer, api.FileList)
    return answer.page.entries


def names(lab: Lab, root: FileRoot, worker: str = "", **query: object) -> list[bytes]:
    """The names of it."""
    return [entry.name for entry in entries(lab, root, worker, **query)]


def test_mounts_and_a_jobs_folders(lab: Lab) -> None:
    data = lab.folder / "lab-data"
    (data / "runs").mkdir(parents=True)
    (data / "runs" / "points.csv").write_text("x,y\n1,2\n")
    (data / "out").symlink_to(lab.folder)
    Path(os.fsdecode(os.fsencode(data) + b"/odd \xff")).touch()
    lab.serve()
    lab.agent("gpu-a", "--mount", f"lab={data}:rw")
    assert names(lab, LAB_MOUNT, "gpu-a") == [b"runs", b"odd \xff", b"out"]
    assert names(lab, LAB_MOUNT, "gpu-a", folder=b"runs") == [b"points.csv"]
    assert names(lab, LAB_MOUNT, "gpu-a", pattern="*.csv", sort=FileSort.TIME) == [b"runs/points.csv"]
    request = api.ReadFilePart(worker="gpu-a", query=PartQuery(root=LAB_MOUNT, path=b"runs/points.csv", offset=4))
    part = lab.ask(lambda client: client.run(client.client.request(request)))
    assert isinstance(part, api.FilePartAnswer)
    assert (part.part.data, part.part.size, part.worker) == (b"1,2\n", 8, "gpu-a")
    for path in (b"out", b"out/data", b"../data", b"/etc"):
        with pytest.raises((InvalidRequest, Conflict)):
            names(lab, LAB_MOUNT, "gpu-a", folder=path)
    job = lab.run("submit", "-q", "--wait", "--input", "lab:runs/points.csv", "--", "sh", "-c",
                  'cp "$OPSCONSOLE_INPUT_0" "$OPSCONSOLE_OUTPUT_PATH/models/copy.csv"; echo x > scratch').stdout.strip()  # fmt: skip
    output = FileRoot(kind=RootKind.OUTPUT, job_id=job)
    assert {b"logs", b"models"} <= set(names(lab, output))
    [copy] = entries(lab, output, folder=b"models")
    assert (copy.name, copy.kind, copy.size) == (b"copy.csv", FileKind.FILE, 8)
    assert names(lab, FileRoot(kind=RootKind.WORK, job_id=job)) == [b"scratch"]
    lab.kill(lab.processes["gpu-a"])
    lab.wait(lambda: isinstance(_refusal(lab, output), Unavailable), "the worker to be away")


def _refusal(lab: Lab, root: FileRoot) -> OpsconsoleError | None:
    try:
        entries(lab, root)
    except OpsconsoleError as error:
        return error
    return None


def test_who_may_only_look_sees_jobs_and_no_mounts(lab: Lab) -> None:
    (lab.folder / "in").mkdir()
    lab.serve()
    lab.agent("gpu-a", "--input-path", str(lab.folder / "in"))
    leave = 'touch "$OPSCONSOLE_OUTPUT_PATH/models/a"'
    job = lab.run("submit", "-q", "--wait", "--", "sh", "-c", leave).stdout.strip()
    viewer = {"OPSCONSOLE_DATA_DIR": "", "HOME": str(lab.folder / "vera")}
    (lab.folder / "vera").mkdir()
    line = lab.invite("viewer")
    assert "models/" in lab.run("ls", job, "--connect", line, environ=viewer).stdout
    refused = lab.run("ls", "gpu-a", "--connect", line, environ=viewer, code=None)
    assert (
        "this needs the role operator, and you are viewer: ask an admin for an invitation, or name a job"
        in refused.stderr
    )
    lab.run("get", job, "--to", "got", "--connect", line, environ=viewer)
    assert (lab.folder / "got" / "models" / "a").exists()
    for words in (("get", "gpu-a:"), ("put", "got/models/a", "gpu-a"), ("remove", "--yes", job)):
        assert lab.run(*words, "--connect", line, environ=viewer, code=1).stdout == ""


def test_a_mount_that_is_not_there_keeps_an_agent_from_starting(lab: Lab) -> None:
    lab.serve()
    process = lab.agent("gpu-a", "--mount", f"lab={lab.folder}/nowhere", join=False)
    process.wait(20)
    assert lab.said("gpu-a").splitlines() == [
        f"opsconsole: mount lab {lab.folder}/nowhere does not exist: create it, or change --mount lab=…"
    ]
