"""The history of transfers is bounded, and stops nothing."""

import pytest

from opsconsole.transfer import history
from opsconsole.transfer.row import TransferKind, TransferPhase, TransferRow
from opsconsole.transfer.user_folder import record_folder


def row(number: int) -> TransferRow:
    return TransferRow(id=str(number), kind=TransferKind.PUT, phase=TransferPhase.DONE, title="a\nb")


def test_the_newest_comes_first() -> None:
    assert history.read(9) == []
    for number in range(5):
        history.add(row(number))
    assert [one.id for one in history.read(3)] == ["4", "3", "2"]


def test_what_cant_be_read_is_left_out() -> None:
    history.add(row(1))
    path = record_folder() / "history.jsonl"
    path.write_bytes(b"\xff{\n" + path.read_bytes() + b'{"id":')
    assert [one.id for one in history.read(9)] == ["1"]


def test_the_older_half_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "HISTORY_BYTES_MAX", 4_000)
    for number in range(100):
        history.add(row(number))
    found = [int(one.id) for one in history.read(1_000)]
    assert found == list(range(99, 99 - len(found), -1))
    assert len(found) > 5
    assert (record_folder() / "history.jsonl").stat().st_size <= 4_000


def test_a_disk_that_takes_nothing_stops_nothing() -> None:
    record_folder().parent.mkdir(parents=True)
    record_folder().touch()
    history.add(row(1))
    assert history.read(1) == []
