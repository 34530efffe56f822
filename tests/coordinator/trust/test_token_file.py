"""The operator's token file."""

import stat
from pathlib import Path

import pytest

from opsconsole_coordinator.trust.token_file import ensure_token, read_token, token_path
from opsconsole_protocol.host.private_file import PrivateFileError
from opsconsole_protocol.trust.secret import is_secret


def test_it_is_made_once_for_its_owner(tmp_path: Path) -> None:
    assert read_token(tmp_path / "data") is None
    token = ensure_token(tmp_path / "data")
    assert is_secret(token)
    assert ensure_token(tmp_path / "data") == token == read_token(tmp_path / "data")
    assert stat.S_IMODE(token_path(tmp_path / "data").stat().st_mode) == 0o600
    assert ensure_token(tmp_path / "other") != token


def test_one_that_others_can_read_is_refused_and_not_replaced(tmp_path: Path) -> None:
    token = ensure_token(tmp_path)
    token_path(tmp_path).chmod(0o644)
    with pytest.raises(PrivateFileError, match="chmod 600") as caught:
        ensure_token(tmp_path)
    assert token not in caught.value.message
    token_path(tmp_path).chmod(0o600)
    assert read_token(tmp_path) == token


@pytest.mark.parametrize("text", ["", "\n", "hello", "x" * 53])
def test_a_damaged_one_is_named(tmp_path: Path, text: str) -> None:
    ensure_token(tmp_path)
    token_path(tmp_path).write_text(text)
    with pytest.raises(PrivateFileError, match="holds no token: remove it"):
        read_token(tmp_path)
