"""The agent's memory on disk."""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opsconsole_agent.core.intent import Intent, Stop, StopCause
from opsconsole_agent.state.state_folder import DAY_S, StateFolder, StateFolderBroken, StoreMark, check_attempt_id
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.log import Source
from tests.agent.core.script import make_launch

A, B = AttemptId("j0b.0.0.aaaa"), AttemptId("j0b.1.0.bbbb")
INTENT = Intent(attempt_id=A, launch=make_launch(environment={"K": "ü", "KEY": "s3cret"}), ports={"http": 1})


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


def test_an_intent_comes_back_as_it_was_written(state: StateFolder) -> None:
    state.make(A)
    state.write_intent(INTENT)
    assert StateFolder(state.path).load() == ((INTENT,), ())


def test_a_changed_intent_replaces_the_first_also_in_another_life(state: StateFolder) -> None:
    for life in range(3):
        changed = Intent(attempt_id=A, launch=make_launch(), stop=Stop(StopCause.WANTED, f"life {life}", 1, 2))
        again = StateFolder(state.path)
        again.write_intent(INTENT)
        again.write_intent(changed)
        assert StateFolder(state.path).load() == ((changed,), ())


def test_a_spec_holds_secrets_and_is_for_its_owner_alone(state: StateFolder) -> None:
    old = os.umask(0)
    try:
        state.write_intent(INTENT)
        state.write_intent(INTENT)
    finally:
        os.umask(old)
    spec = Path(state.folder(A)) / "spec.json"
    assert stat.S_IMODE(spec.stat().st_mode) == 0o600
    assert stat.S_IMODE(spec.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"version":9,"intent":{"attempt_id":"x","launch":null}}', b"\xff"])
def test_a_damaged_spec_is_named_with_a_reason(state: StateFolder, content: bytes) -> None:
    state.write_intent(INTENT)
    (Path(state.folder(A)) / "spec.json").write_bytes(content)
    intents, damaged = StateFolder(state.path).load()
    assert intents == ()
    ((attempt_id, why),) = damaged
    assert attempt_id == A
    assert why.startswith(f"what was to run is unreadable in {state.folder(A)}/spec.json (")
    assert "\n" not in why


def test_a_spec_under_another_attempt_s_name_is_damaged(state: StateFolder) -> None:
    state.write_intent(INTENT)
    Path(state.folder(A)).rename(state.folder(B))
    intents, damaged = StateFolder(state.path).load()
    assert (intents, [attempt_id for attempt_id, _ in damaged]) == ((), [B])


def test_an_empty_spec_was_never_started_and_is_no_attempt(state: StateFolder) -> None:
    state.write_intent(INTENT)
    (Path(state.folder(A)) / "spec.json").write_bytes(b"")
    assert StateFolder(state.path).load() == ((), ())
    (Path(state.folder(A)) / "spec.json").unlink()
    assert StateFolder(state.path).load() == ((), ())


def test_a_forgotten_attempt_leaves_nothing_but_what_its_task_made(state: StateFolder) -> None:
    for attempt_id in (A, B):
        state.make(attempt_id)
        state.write_intent(Intent(attempt_id=attempt_id, launch=make_launch()))
        Path(state.log_file(attempt_id, Source.STDOUT)).write_text("hello")
    (Path(state.work(B)) / "model.pt").write_text("precious")
    state.remove(A)
    state.remove(B)
    assert not Path(state.folder(A)).exists()
    assert [path.name for path in Path(state.folder(B)).iterdir()] == ["work"]
    assert StateFolder(state.path).load() == ((), ())
    state.remove(A)


def test_a_folder_in_which_nothing_was_written_is_used_again(state: StateFolder) -> None:
    state.make(A)
    state.write_intent(INTENT)
    for source in (Source.STDOUT, Source.STDERR):
        descriptor = os.open(state.log_file(A, source), os.O_CREAT | os.O_WRONLY, 0o600)
        os.close(descriptor)
    inode = Path(state.folder(A)).stat().st_ino
    state.remove(A, clean=True)
    assert StateFolder(state.path).load() == ((), ())
    state.make(B)
    assert Path(state.folder(B)).stat().st_ino == inode
    assert not Path(state.folder(A)).exists()
    assert sorted(path.name for path in Path(state.folder(B)).iterdir()) == ["spec.spare", "stderr", "stdout", "work"]
    assert (Path(state.folder(B)) / "spec.spare").read_bytes() == b""
    state.make(A)
    assert Path(state.folder(A)).stat().st_ino != inode


def end_untouched(state: StateFolder, attempt_id: AttemptId) -> Path:
    """An attempt that comes and goes; where its folder was."""
    state.make(attempt_id)
    state.write_intent(Intent(attempt_id=attempt_id, launch=make_launch(environment={"KEY": "s3cret"})))
    folder = Path(state.folder(attempt_id))
    for name in ("stdout", "stderr"):
        (folder / name).touch(0o600)
    state.remove(attempt_id, clean=True)
    return folder


def test_a_task_that_leaves_nothing_costs_no_new_file_and_no_new_folder(state: StateFolder) -> None:
    ids = [AttemptId(f"j0b.{number}.0.aaaa") for number in range(4)]
    for attempt_id in ids[:2]:
        state.make(attempt_id)
    for attempt_id in ids[:2]:
        end_untouched(state, attempt_id)
    every = {path.stat().st_ino for path in state.path.rglob("*")}
    for attempt_id in ids[2:]:  # made twice, once for the spec and once for the start: that takes but one spare folder
        state.make(attempt_id)
        state.write_intent(Intent(attempt_id=attempt_id, launch=make_launch()))
        state.make(attempt_id)
    assert {path.stat().st_ino for path in state.path.rglob("*")} == every
    assert [intent.attempt_id for intent in StateFolder(state.path).load()[0]] == ids[2:]


def test_nobody_takes_a_spare_folder_apart(state: StateFolder) -> None:
    """Whoever clears up after the attempt that it was has nothing to do with it any more."""
    end_untouched(state, A)
    assert state.is_spare(A)
    state.remove_empty(A)
    state.sweep(time.time() + 365 * 86_400)
    state.make(B)
    assert Path(state.work(B)).is_dir()
    assert not state.is_spare(A)
    assert not state.is_spare(B)


def test_a_spare_folder_keeps_nothing_of_the_attempt_before(state: StateFolder) -> None:
    folder = end_untouched(state, A)
    assert (folder / "spec.spare").read_bytes() == b""
    assert StateFolder(state.path).load() == ((), ())
    state.make(B)
    state.write_intent(Intent(attempt_id=B, launch=make_launch()))
    state.remove(B)
    assert list((state.path / "attempts").iterdir()) == []


def test_a_spec_with_another_name_is_not_used_again(state: StateFolder, tmp_path: Path) -> None:
    state.make(A)
    state.write_intent(INTENT)
    for name in ("stdout", "stderr"):
        (Path(state.folder(A)) / name).touch(0o600)
    os.link(f"{state.folder(A)}/spec.json", tmp_path / "other")
    state.remove(A, clean=True)
    assert (tmp_path / "other").stat().st_size > 0
    state.make(B)
    state.write_intent(Intent(attempt_id=B, launch=make_launch()))
    assert Path(state.folder(B), "spec.json").stat().st_ino != (tmp_path / "other").stat().st_ino


@pytest.mark.parametrize(
    "touch",
    [
        lambda folder: (folder / "work" / "model.pt").write_text("precious"),
        lambda folder: (folder / "stdout").write_text("a line"),
        lambda folder: (folder / "more").mkdir(),
        lambda folder: (folder / "work").chmod(0o777),
        lambda folder: (folder / "stdout").symlink_to("/etc/passwd"),
    ],
)
def test_a_folder_in_which_something_was_done_is_not(state: StateFolder, touch: Callable[[Path], object]) -> None:
    state.make(A)
    state.write_intent(INTENT)
    touch(Path(state.folder(A)))
    inode = Path(state.folder(A)).stat().st_ino
    state.remove(A, clean=True)
    state.make(B)
    if Path(state.folder(A)).exists():
        assert Path(state.folder(B)).stat().st_ino != inode
    assert [path.name for path in Path(state.folder(B)).iterdir()] == ["work"]
    assert list(Path(state.work(B)).iterdir()) == []
    assert Path(state.work(B)).stat().st_mode & 0o777 == 0o700


def test_left_over_work_goes_when_it_is_old_and_living_attempts_never(state: StateFolder) -> None:
    state.make(A)
    state.make(B)
    state.write_intent(INTENT)
    (Path(state.work(B)) / "model.pt").write_text("precious")
    assert state.sweep(time.time()) == 0
    assert state.sweep(time.time() + 7 * DAY_S + 60) == 1
    assert Path(state.folder(A)).exists()
    assert not Path(state.folder(B)).exists()


def test_a_spec_that_cannot_be_written_raises_and_leaves_no_half(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.make(A)
    monkeypatch.setattr(os, "write", lambda _, data: len(data) - 1)
    with pytest.raises(OSError, match="No space left"):
        state.write_intent(INTENT)
    assert [path.name for path in Path(state.folder(A)).iterdir()] == ["work"]


def test_the_store_s_newest_sequence_is_remembered(state: StateFolder) -> None:
    assert state.load_store_mark() == StoreMark()
    for sequence in (5, 9):
        state.save_store_mark(StoreMark("store", sequence))
    assert StateFolder(state.path).load_store_mark() == StoreMark("store", 9)
    (state.path / "store.json").write_text("{")
    assert state.load_store_mark() == StoreMark()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateFolderBroken, match="check its owner, or name another --state-dir"):
        StateFolder(tmp_path / "state")


@pytest.mark.parametrize("text", ["", "..", "../x", "a/b", ".a", "a" * 129, "a\n", "a\0"])
def test_only_what_can_name_a_folder_is_an_attempt_id(text: str) -> None:
    with pytest.raises(InvalidRequest):
        check_attempt_id(text)
    assert check_attempt_id(A) == A


def test_what_is_left_in_a_working_folder_is_told_before_it_goes(tmp_path: Path) -> None:
    """A model written there was removed after a week without a word (hard use 22)."""
    state = StateFolder(tmp_path / "state", kept_days=2)
    state.make(A)
    assert state.left_words(A) == ""
    model = Path(state.work(A)) / "model.pt"
    model.write_text("x")
    assert state.left_words(A) == f"what it left in {state.work(A)} is removed after 2 days"
    assert state.sweep(time.time() + 1.9 * DAY_S) == 0
    assert model.exists()
    assert state.sweep(time.time() + 2.1 * DAY_S) == 1
