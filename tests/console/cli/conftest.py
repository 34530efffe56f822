"""Command lines are run in this process against a fake coordinator; nothing of the user's own is looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opsconsole_console.cli import main
from tests.client.fake_server import FakeServer
from tests.client.transfer.far_end import FarEnd


@dataclass(frozen=True)
class Ran:
    """How a command line ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
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
def far(tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FarEnd:
    """The other end of every stream: a coordinator's store, and a worker's folders."""
    far = FarEnd(tmp_path / "far")
    far.join(server)
    monkeypatch.setattr("opsconsole_protocol.host.stream.transfer.move", far.move)
    return far


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are typed in: code, and data beside it."""
    folder = tmp_path / "here"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "train.py").write_text("print()")
    (folder / "data.csv").write_text("1,2,3")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("jobs", "--json")`."""

    def run_it(*words: str) -> Ran:
        capsys.readouterr()
        code = main(words)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_it
