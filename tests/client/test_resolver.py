"""Finding the coordinator: arguments, environment, data folder, saved coordinators."""

from pathlib import Path

import msgspec
import pytest

from opsconsole.endpoint import EndpointError, default_data_dir
from opsconsole.resolver import resolve
from opsconsole.target import Target
from opsconsole_protocol.error import InvalidRequest, NotFound, Unauthenticated
from opsconsole_protocol.host.data_folder import ENDPOINT_FILE, TOKEN_FILE
from opsconsole_protocol.host.endpoint import Endpoint
from opsconsole_protocol.host.private_file import write_private

SECRET = "0" * 52


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def write_data_dir(folder: Path, url: str = "ws://127.0.0.1:7373") -> Path:
    write_private(folder / ENDPOINT_FILE, msgspec.json.encode(Endpoint(url, None, 1, "s", "lab")).decode())
    write_private(folder / TOKEN_FILE, "local-token\n")
    return folder


def test_the_default_data_folder(tmp_path: Path) -> None:
    assert default_data_dir({}) == tmp_path / "data" / "opsconsole"
    assert default_data_dir({"OPSCONSOLE_DATA_DIR": "/srv/ops"}) == Path("/srv/ops")


def test_the_data_folder_has_address_and_token(tmp_path: Path) -> None:
    assert resolve(data_dir=write_data_dir(tmp_path), environ={}) == Target("ws://127.0.0.1:7373", "local-token")


def test_a_flag_beats_the_environment_and_that_beats_the_data_folder(tmp_path: Path) -> None:
    write_data_dir(tmp_path / "data" / "opsconsole")
    environ = {"OPSCONSOLE_URL": "wss://far:1", "OPSCONSOLE_TOKEN": "env-token"}
    assert resolve("wss://flag:1", "flag-token", environ=environ) == Target("wss://flag:1", "flag-token")
    assert resolve(environ=environ) == Target("wss://far:1", "env-token")
    assert resolve(data_dir=write_data_dir(tmp_path / "other"), environ={"OPSCONSOLE_URL": "wss://far:1"}).url == (
        "ws://127.0.0.1:7373"
    )
    assert resolve(environ={}).token == "local-token"


def test_the_own_machines_address_needs_no_token(tmp_path: Path) -> None:
    write_data_dir(tmp_path / "data" / "opsconsole")
    assert resolve("127.0.0.1:7373", environ={}).token == "local-token"


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="opsconsole serve"):
        resolve(data_dir=tmp_path, environ={})
    with pytest.raises(Unauthenticated, match="opsconsole invite --role operator"):
        resolve("wss://far:1", environ={})
    (write_data_dir(tmp_path) / TOKEN_FILE).unlink()
    with pytest.raises(Unauthenticated, match=TOKEN_FILE):
        resolve(data_dir=tmp_path, environ={})


def test_a_damaged_endpoint_is_one_line(tmp_path: Path) -> None:
    write_private(tmp_path / ENDPOINT_FILE, "{")
    with pytest.raises(EndpointError, match="damaged"):
        resolve(data_dir=tmp_path, environ={})


def test_an_invitation_is_no_address_to_keep_using() -> None:
    with pytest.raises(InvalidRequest, match="use it once"):
        resolve(f"ws://127.0.0.1:7373#-.abcdefgh.{SECRET}", environ={})
