"""Command lines are run in this process against a fake coordinator; nothing of the user's own is looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opsconsole_console.cli import main
from tests.client.fake_server import FakeServer


@dataclass(frozen=True)
class Ran:
    """How a command line ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("OPSCONSOLE_URL", "OPSCONSOLE_TOKEN", "OPSCONSOLE_DATA_DIR", "OPSCONSOLE_CONFIG", "OPSCONSOLE_JOIN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A fake coordinator that the environment leads to."""
    with FakeServer() as server:
        monkeypatch.setenv("OPSCONSOLE_DATA_DIR", str(server.write_data_dir(tmp_path / "coordinator")))
        yield server


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("jobs", "--json")`."""

    def run_it(*words: str) -> Ran:
        capsys.readouterr()
        code = main(words)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_it
