"""Results in the state folder: folders in which nothing was written are used again, and what was written stays."""

from pathlib import Path

import pytest

from opsconsole_agent.engine.own_output import OwnOutputs
from opsconsole_protocol.error import InvalidRequest

JOB = "j0b0000000"


def make(own: OwnOutputs, task: str = "", job_id: str = JOB) -> Path:
    """A task's folder."""
    parts = (task,) if task else ()
    return own.make(job_id, task, [*parts, *("/".join((*parts, name)) for name in ("models", "logs"))]) / task


@pytest.fixture
def own(tmp_path: Path) -> OwnOutputs:
    return OwnOutputs(tmp_path / "outputs", shared=False)


def test_an_untouched_folder_is_used_again(own: OwnOutputs) -> None:
    first = make(own, "task-0")
    inode = first.stat().st_ino
    assert own.reclaim(str(first))
    assert not first.exists()
    second = make(own, "task-1")
    assert second.stat().st_ino == inode
    assert sorted(path.name for path in second.iterdir()) == ["logs", "models"]


@pytest.mark.parametrize("what", ["models/best", "logs/new/", "other", "mode"])
def test_what_was_touched_stays(own: OwnOutputs, what: str) -> None:
    folder = make(own)
    if what == "mode":
        (folder / "models").chmod(0o755)
    elif what.endswith("/"):
        (folder / what).mkdir()
    else:
        (folder / what).touch()
    assert not own.reclaim(str(folder))
    assert folder.exists()


def test_a_retry_finds_what_was_written(own: OwnOutputs) -> None:
    own.reclaim(str(make(own, "task-1")))
    folder = make(own, "task-0")
    (folder / "models" / "checkpoint").write_text("9")
    own.reclaim(str(make(own, "task-2")))
    assert (make(own, "task-0") / "models" / "checkpoint").read_text() == "9"


def test_a_folder_for_another_job_is_made_as_well(own: OwnOutputs) -> None:
    own.reclaim(str(make(own, "task-0")))
    assert make(own, "task-3", "j0b0000001").is_dir()
    assert make(own, "", "j0b0000002").is_dir()


def test_nothing_else_is_ever_reclaimed(own: OwnOutputs, tmp_path: Path) -> None:
    for name in ("models", "logs"):
        (tmp_path / "mine" / name).mkdir(mode=0o700, parents=True)
    assert not own.reclaim(str(tmp_path / "mine"))
    with pytest.raises(InvalidRequest):
        make(own, "", "../../etc")


def test_spare_folders_of_an_agent_before_go(own: OwnOutputs, tmp_path: Path) -> None:
    own.reclaim(str(make(own)))
    OwnOutputs(tmp_path / "outputs", shared=True)
    assert list((tmp_path / "outputs" / "spare").iterdir()) == []


def test_what_a_task_put_in_the_place_of_folders_is_set_aside(own: OwnOutputs, tmp_path: Path) -> None:
    own.reclaim(str(make(own)))
    (tmp_path / "outputs" / "spare").rename(tmp_path / "moved")
    (tmp_path / "outputs" / "jobs").rename(tmp_path / "jobs")
    (tmp_path / "outputs" / "jobs").symlink_to(tmp_path / "jobs")
    assert make(own).is_dir()
    assert not (tmp_path / "outputs" / "jobs").is_symlink()
