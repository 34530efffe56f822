"""Who has the files."""

import socket

import pytest

from opsconsole.transfer import this_host as module
from opsconsole.transfer.this_host import this_host
from opsconsole.transfer.user_folder import record_folder


def test_it_stays_the_same_and_is_called_as_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "mbp-7.local")
    first = this_host()
    assert first.name == "mbp-7"
    assert this_host() == first
    assert [path.name for path in record_folder().iterdir()] == ["host.json"]


def test_two_machines_with_one_home_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    first = this_host()
    monkeypatch.setattr(module, "_machine", lambda: "another")
    assert this_host().id != first.id


def test_two_people_on_one_machine_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    first = this_host()
    (record_folder() / "host.json").unlink()
    assert this_host().id != first.id
