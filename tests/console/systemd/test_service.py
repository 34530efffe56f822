"""`opsconsole service`: with a systemctl that writes down what it is told."""

import os
from pathlib import Path

import pytest

from opsconsole_agent.state.membership import Membership, load_membership
from opsconsole_console.cli import main

HASH = "ab" * 32
SECRET = "s" * 52
JOIN = f"wss://lab:7373#{HASH}.abcdefgh.{SECRET}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and a systemctl that says yes to everything."""
    for name in [name for name in os.environ if name.startswith(("OPSCONSOLE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("systemctl", "loginctl"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/said\n')
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tmp_path


def asked(home: Path) -> list[str]:
    return (home / "said").read_text().splitlines()


def test_an_agents_invitation_goes_into_its_state_folder_and_not_into_the_unit(home: Path) -> None:
    state = home / "state"
    words = ["--user", "--join", JOIN, "--name", "gpu-a", "--state-dir", str(state), "--tag", "zone=b"]
    assert main(["service", "install", "agent", *words]) == 0
    unit = (home / ".config/systemd/user/opsconsole-agent.service").read_text()
    assert SECRET not in unit
    assert f"agent --state-dir {state} --name gpu-a --tag zone=b" in unit
    assert load_membership(state) == Membership("wss://lab:7373", HASH, f"abcdefgh.{SECRET}")
    assert "systemctl --user enable opsconsole-agent.service" in asked(home)
    assert "systemctl --user restart opsconsole-agent.service" in asked(home)


def test_a_coordinators_unit_says_where_its_data_is(home: Path) -> None:
    assert main(["service", "install", "coordinator", "--user", "--listen", "0.0.0.0:7373"]) == 0
    unit = (home / ".config/systemd/user/opsconsole-coordinator.service").read_text()
    assert f"serve --data-dir {home}/.local/share/opsconsole --listen 0.0.0.0:7373" in unit


def test_showing_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", "show", "agent", "--system", "--join", JOIN]) == 0
    shown = capsys.readouterr().out
    assert "KillMode=process" in shown
    assert SECRET not in shown
    assert not (home / "said").exists()
    assert not (home / ".local").exists()


def test_uninstalling_leaves_data_and_identity(home: Path) -> None:
    state = home / "state"
    words = ["--user", "--state-dir", str(state)]
    main(["service", "install", "agent", *words, "--join", JOIN])
    assert main(["service", "uninstall", "agent", "--user"]) == 0
    assert not (home / ".config/systemd/user/opsconsole-agent.service").exists()
    assert load_membership(state) is not None
    assert main(["service", "uninstall", "agent", "--user"]) == 1


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["install", "agent", "--user"], "which coordinator? Add --join LINE", 2),
        (["install", "agent", "--user", "--join", "nonsense"], "join line", 2),
        (["install", "agent", "--user", "--join", JOIN, "--input-path", "/nowhere"], "/nowhere", 2),
        (["install", "agent", "--user", "--bogus"], "unknown argument '--bogus'", 2),
        (["install", "agent", "--user", "--service-name", "../x", "--join", JOIN], "can't be a service's name", 2),
        (["install", "agent", "--system", "--as", "no-such-user", "--join", JOIN], "there is no user", 2),
        (["show", "agent", "--user", "--as", "root", "--join", JOIN], "--as goes with", 2),
        (["install", "nothing"], "is none of", 2),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str, code: int
) -> None:
    assert main(["service", *words]) == code
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error
    assert not (home / ".config").exists()


def test_without_systemd_it_says_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(home / "nothing"))
    assert main(["service", "install", "agent", "--user", "--join", JOIN]) == 1
    assert "there is no systemd here" in capsys.readouterr().err
