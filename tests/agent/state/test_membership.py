"""An agent that was taken once finds its coordinator again without a flag (hard use 32)."""

from pathlib import Path

import pytest

from opsconsole_agent.state.membership import MEMBERSHIP_FILE, Membership, load_membership, save_membership
from opsconsole_protocol.host.private_file import PrivateFileError


def test_what_was_saved_comes_back_for_the_owner_alone(tmp_path: Path) -> None:
    assert load_membership(tmp_path) is None
    membership = Membership("wss://lab:7373", "ab" * 32, "id.secret")
    save_membership(tmp_path, membership)
    assert load_membership(tmp_path) == membership
    assert (tmp_path / MEMBERSHIP_FILE).stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(membership)
    save_membership(tmp_path, Membership(membership.url, membership.certificate_hash))
    assert "secret" not in (tmp_path / MEMBERSHIP_FILE).read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": 3}', '{"url": null}', "[" * 2000])
def test_what_is_damaged_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / MEMBERSHIP_FILE
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(PrivateFileError, match="is damaged: remove it") as caught:
        load_membership(tmp_path)
    assert "\n" not in caught.value.message
