"""What can go from a worker's state folder, and what never does (hard use 22, 36)."""

from pathlib import Path

import pytest

from opsconsole_agent.core.intent import Intent
from opsconsole_agent.probe.io_path import OutputRefused, WorkerIOConfig, measure_outputs, remove_outputs
from opsconsole_agent.state import leaving
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.log import Source
from tests.agent.core.script import make_launch

LIVE, ENDED, CLEAN = AttemptId("j0b.0.0.aaaa"), AttemptId("j0b.1.0.bbbb"), AttemptId("j0b.2.0.cccc")
LATER_MS = 1 << 50


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """One attempt that lives, one that has ended and left something, a folder for one to come, something set aside."""
    state = StateFolder(tmp_path / "state")
    for attempt_id in (LIVE, ENDED, CLEAN):
        state.make(attempt_id)
        state.write_intent(Intent(attempt_id=attempt_id, launch=make_launch()))
    logs = tmp_path / "state" / "logs"
    logs.mkdir()
    for attempt_id in (LIVE, ENDED):
        (Path(state.work(attempt_id)) / "model.pt").write_bytes(b"x" * 100_000)
        Path(state.kept_log(attempt_id, Source.STDOUT)).write_text("line\n")
    state.remove(ENDED, keep_logs=True)
    state.remove(CLEAN, clean=True)
    (tmp_path / "state" / "exit.log.damaged-1").write_text("?")
    (tmp_path / "state" / "credential.json").write_text("secret")
    return state


def test_only_what_nobody_needs_is_named_the_largest_first(state: StateFolder) -> None:
    found = leaving.look(state, LATER_MS)
    assert found[0].name == f"attempts/{ENDED}"
    assert found[0].bytes >= 100_000
    assert {one.name for one in found} == {f"attempts/{ENDED}", f"logs/{ENDED}.stdout", "exit.log.damaged-1"}
    assert leaving.look(state, found[0].at_ms - 60_000) == []


def test_what_was_named_is_removed_and_nothing_else(state: StateFolder) -> None:
    names = [one.name for one in leaving.look(state, LATER_MS)]
    asked = [*names, f"attempts/{LIVE}", "credential.json", "../../etc", "attempts", "logs"]
    removed, troubles = leaving.remove(state, asked)
    assert sorted(one.name for one in removed) == sorted(names)
    assert troubles == []
    assert leaving.look(state, LATER_MS) == []
    assert (Path(state.work(LIVE)) / "model.pt").exists()
    assert (state.path / "credential.json").exists()
    assert state.load()[0][0].attempt_id == LIVE


def test_what_came_to_life_since_it_was_named_stays(state: StateFolder) -> None:
    names = [one.name for one in leaving.look(state, LATER_MS)]
    state.write_intent(Intent(attempt_id=ENDED, launch=make_launch()))
    removed, _ = leaving.remove(state, names)
    assert [one.name for one in removed] == ["exit.log.damaged-1"]


def test_a_link_is_removed_not_followed(state: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (state.path / "attempts" / "link").symlink_to(tmp_path / "precious")
    removed, _ = leaving.remove(state, ["attempts/link"])
    assert [one.name for one in removed] == ["attempts/link"]
    assert (tmp_path / "precious" / "file").exists()


@pytest.fixture
def io(tmp_path: Path) -> WorkerIOConfig:
    """An output path with a job's folder, and one of somebody else."""
    for name in ("j0b", "other", "ended"):
        (tmp_path / "out" / "jobs" / name / "models").mkdir(parents=True)
        (tmp_path / "out" / "jobs" / name / "models" / "m.pt").write_bytes(b"x" * 50_000)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    return WorkerIOConfig(output_path=tmp_path / "out")


def test_outputs_go_of_the_jobs_that_are_named_and_hold_no_attempt(state: StateFolder, io: WorkerIOConfig) -> None:
    asked = ["j0b", "ended", "unknown"]  # of j0b an attempt lives here, whatever the coordinator says
    [found], is_more = leaving.look_at_outputs(state, io, asked)
    assert (found.job_id, found.path, is_more) == ("ended", f"{io.output_path}/jobs/ended", False)
    assert 50_000 <= found.bytes < 100_000
    removed, troubles, is_more = leaving.remove_outputs(state, io, asked)
    assert ([one.job_id for one in removed], troubles, is_more) == (["ended"], [], False)
    assert {path.name for path in Path(f"{io.output_path}/jobs").iterdir()} == {"j0b", "other"}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../precious", ""])
def test_a_name_that_leads_elsewhere_is_refused(state: StateFolder, io: WorkerIOConfig, name: str) -> None:
    for ask in (leaving.look_at_outputs, leaving.remove_outputs):
        with pytest.raises(OutputRefused, match="can't name a job's output folder"):
            ask(state, io, [name])


def test_no_link_on_the_way_to_an_output_or_in_it_is_followed(
    state: StateFolder, io: WorkerIOConfig, tmp_path: Path
) -> None:
    jobs = tmp_path / "out" / "jobs"
    (jobs / "linked").symlink_to(tmp_path / "precious")
    (jobs / "ended" / "out").symlink_to(tmp_path / "precious")
    (jobs / "file").write_bytes(b"x")
    found, _ = leaving.look_at_outputs(state, io, ["linked", "ended", "file"])
    assert {one.path for one in found} == {str(jobs / name) for name in ("linked", "ended", "file")}, (
        "all of it is named"
    )
    removed, troubles, _ = leaving.remove_outputs(state, io, ["linked", "ended", "file"])
    assert (sorted(one.job_id for one in removed), troubles) == (["ended", "file", "linked"], [])
    assert not any((jobs / name).is_symlink() or (jobs / name).exists() for name in ("linked", "ended", "file"))
    assert (tmp_path / "precious" / "file").exists()
    jobs.rename(tmp_path / "elsewhere")
    jobs.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputRefused, match="jobs can't be reached"):
        leaving.remove_outputs(state, io, ["other"])
    assert (tmp_path / "elsewhere" / "other" / "models" / "m.pt").exists()


def test_what_isnt_reached_in_time_is_said_to_be_more(io: WorkerIOConfig) -> None:
    assert measure_outputs(io, ["ended", "other"], budget_s=-1) == ([], True)
    assert remove_outputs(io, ["ended", "other"], budget_s=-1) == (frozenset(), [], True)
