"""Pictures leave nothing behind, however taking them ends."""

import os
import signal
from pathlib import Path

import pytest

from tests.terminal.picture import shown_folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_folder_is_gone_when_taking_pictures_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    shown = tmp_path / "vast"

    def take() -> None:
        with shown_folder(shown) as folder:
            assert folder == shown
            (folder / "data").mkdir()
            os.kill(os.getpid(), number)

    with pytest.raises(SystemExit):
        take()
    assert not shown.exists()
    assert signal.getsignal(number) == before


def test_a_folder_that_was_there_is_left_as_it_was(tmp_path: Path) -> None:
    with shown_folder(tmp_path) as folder:
        assert folder != tmp_path
    assert tmp_path.exists()
    assert not folder.exists()
