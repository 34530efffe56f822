"""Nothing of the user's own is looked at."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake_server import FakeServer
from tests.client.transfer.far_end import FarEnd


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user" / name))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def far(tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FarEnd:
    """The other end of every stream: a coordinator's store, and a worker's folders."""
    far = FarEnd(tmp_path / "far")
    far.join(server)
    monkeypatch.setattr("opsconsole_protocol.host.stream.transfer.move", far.move)
    return far
