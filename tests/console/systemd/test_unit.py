"""The text of a unit: what systemd reads is what was meant, whatever the words are (hard use 32)."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.systemd.unit import Unit, quoted
from opsconsole_protocol.error import InvalidRequest

AGENT = Unit("agent", "opsconsole-agent", ["/bin/true", "agent", "--state-dir", "/var/lib/a b"], is_system=True)


def test_an_agents_restart_leaves_keeper_and_tasks_alone() -> None:
    lines = AGENT.text().splitlines()
    assert 'ExecStart=/bin/true agent --state-dir "/var/lib/a b"' in lines
    assert {"KillMode=process", "OOMPolicy=continue", "Restart=always", "WantedBy=multi-user.target"} <= {*lines}


def test_a_users_service_starts_with_its_manager_and_names_no_user() -> None:
    lines = Unit("coordinator", "c", ["/bin/true"], user="bob").text().splitlines()
    assert "WantedBy=default.target" in lines
    assert not [line for line in lines if line.startswith("User=")]


def test_the_machines_service_can_run_as_somebody() -> None:
    assert "User=bob" in Unit("agent", "a", ["/bin/true"], user="bob", is_system=True).text().splitlines()


@pytest.mark.parametrize("word", ["a\nExecStart=/bin/rm", "\x1b[2J", "a\x7f", "\udcff"])
def test_a_word_that_would_end_the_line_is_refused(word: str) -> None:
    with pytest.raises(InvalidRequest, match="can't stand in a unit file"):
        quoted(word)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_no_word_leaves_its_place(word: str) -> None:
    text = quoted(word)
    if text.startswith('"'):
        inner = text[1:-1].replace("\\\\", "").replace('\\"', "")
        assert text.endswith('"')
        assert '"' not in inner
    else:
        assert text == word
        assert not any(sign.isspace() for sign in text)
    assert text.count("%") % 2 == 0
    assert text.count("$") % 2 == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze isn't here")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / AGENT.file_name
    path.write_text(AGENT.text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert path.name not in done.stderr
