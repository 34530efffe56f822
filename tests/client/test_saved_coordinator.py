"""Coordinators saved by name, one of them the default (hard use 33)."""

import fcntl
from pathlib import Path

import pytest

from opsconsole import saved_coordinator
from opsconsole.resolver import default_url, resolve
from opsconsole.saved_coordinator import SavedCoordinator
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "OPSCONSOLE_DATA_DIR", "OPSCONSOLE_URL", "OPSCONSOLE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def keep(host: str, name: str) -> None:
    saved_coordinator.save(
        SavedCoordinator(url=f"wss://{host}:7373", certificate_hash="ab" * 32, invitation_id="i", secret="s", name=name)
    )


def test_a_name_stands_where_an_address_does() -> None:
    keep("a.example", "lab")
    assert resolve("lab").url == "wss://a.example:7373"
    assert resolve("a.example").token == "s"


def test_the_first_is_the_default_until_another_is_chosen() -> None:
    keep("a", "a")
    assert default_url() is None
    assert saved_coordinator.offer_default("a")
    keep("b", "b")
    assert not saved_coordinator.offer_default("b")
    assert resolve().url == "wss://a:7373"
    saved_coordinator.choose_default("b")
    assert resolve().url == "wss://b:7373"
    saved_coordinator.choose_default(saved_coordinator.LOCAL)
    with pytest.raises(NotFound, match="no coordinator runs on"):
        resolve()


def test_flags_and_environment_beat_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keep("a", "a")
    keep("b", "b")
    saved_coordinator.choose_default("a")
    monkeypatch.setenv("OPSCONSOLE_URL", "b")
    assert resolve().url == "wss://b:7373"
    monkeypatch.delenv("OPSCONSOLE_URL")
    monkeypatch.setenv("OPSCONSOLE_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(NotFound, match="no coordinator runs on"):
        resolve()


def test_a_coordinator_on_this_machine_beats_what_nobody_chose(tmp_path: Path) -> None:
    keep("a", "a")
    saved_coordinator.offer_default("a")
    folder = tmp_path / ".local/share/opsconsole"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert default_url() is None
        saved_coordinator.choose_default("a")
        assert default_url() == "wss://a:7373"


def test_renaming_takes_the_default_along_and_forgetting_ends_it() -> None:
    keep("a", "a")
    keep("b", "b")
    saved_coordinator.choose_default("a")
    saved_coordinator.rename("a", "lab")
    assert default_url() == "wss://a:7373"
    with pytest.raises(Conflict):
        saved_coordinator.rename("lab", "b")
    with pytest.raises(NotFound, match="there are b, lab"):
        saved_coordinator.rename("a", "c")
    saved_coordinator.forget("lab")
    assert [one.shown_name for one in saved_coordinator.load_all()] == ["b"]
    assert default_url() is None


@pytest.mark.parametrize("name", ["", "local", "a b", "a/b", "a'b", "-x", "a\nb", "x" * 61, "a#b"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        saved_coordinator.check_name(name)
    assert saved_coordinator.free_name(name) == "coordinator"


def test_a_name_that_is_taken_gets_a_number() -> None:
    keep("a", "lab")
    assert saved_coordinator.free_name("lab") == "lab-2"
